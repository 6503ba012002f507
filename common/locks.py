"""Locks on files, which the system frees when their process dies, however that may be."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HELD: set[int] = set()


def let_go() -> None:
    """A process that was forked and outlives its parent must not keep the parent's locks."""
    while HELD:
        os.close(HELD.pop())


os.register_at_fork(after_in_child=let_go)


@contextmanager
def held(path: Path, wait: bool = True) -> Iterator[None]:
    """The block has the file's lock alone; the empty file stays.

    Raises:
        BlockingIOError: another process has it, and this one does not `wait`.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    HELD.add(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if file in HELD:
            HELD.remove(file)
            os.close(file)
