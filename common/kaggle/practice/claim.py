"""Several servers may share one memory: one of them claims a piece of work, until it is done or that one dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claimed(lock: Path, wait: bool = False) -> Iterator[bool]:
    """Whether the work that the file `lock` stands for is ours while the block lasts; with `wait` it comes to be."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
