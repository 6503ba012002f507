"""Several servers may share one memory: one of them claims a piece of work, until it is done or that one dies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common.locks import held


@contextmanager
def claimed(lock: Path, wait: bool = False) -> Iterator[bool]:
    """Whether the work that the file `lock` stands for is ours while the block lasts; with `wait` it comes to be."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as own:
        try:
            own.enter_context(held(lock, wait))
        except BlockingIOError:
            yield False
        else:
            yield True
