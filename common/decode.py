"""Decoding on all cores: processes that read, shrink and write images while nothing big crosses a pipe."""

import os
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from common.cache import compress
from common.errors import UserError
from common.images import BadImage, shrink
from common.journal import write_at
from common.reader import Reader

CHUNK, HEADER_CHUNK = 8, 64
"""Images handed to a process at once."""


class Task(NamedTuple):
    """An image, the size it gets, and where its raw pixels go."""

    row: int
    path: str
    height: int
    width: int
    offset: int = 0


class Done(NamedTuple):
    """What became of a task: the length and checksum of what is stored, or the `reason` why it is not. `blob` holds
    the compressed file where the parent is to store it."""

    row: int
    reason: str = ""
    offset: int = 0
    length: int = 0
    crc: int = 0
    blob: bytes = b""


class Decoders:
    """`workers` processes that end with the `with` block, and with their parent if that is killed.

    They are forked before the pool starts its threads, touch neither torch nor anything of the parent's but `read`, and
    so may be started from any program, a notebook too.

    `sizes` and `decode` yield lists of results in any order. An OSError that comes out of them is about writing; a
    process that dies raises `BrokenProcessPool`.
    """

    def __init__(self, workers: int, read: Reader) -> None:
        self.channels = read.channels
        self._at_once = 3 * workers
        with told_where_it_cannot_start():
            self._pool = ProcessPoolExecutor(
                workers, get_context("fork"), initializer=begin, initargs=(os.getpid(), read)
            )

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *exception) -> None:
        started = list((self._pool._processes or {}).values())
        self._pool.shutdown(cancel_futures=True)
        for process in started:
            process.kill()  # all have ended, unless one could not be started: then the pool forgets the others

    def sizes(self, paths: list[str]) -> Iterator[list[tuple[int, tuple[int, int] | str]]]:
        """(row, (height, width) or the reason why there is none) for each path."""
        return self._each(size_chunk, list(enumerate(paths)), HEADER_CHUNK)

    def decode(self, tasks: list[Task], pixels: Path | None) -> Iterator[list[Done]]:
        """Raw rows into the file `pixels`, or compressed blobs to the caller where it is None."""
        return self._each(partial(decode_chunk, pixels=pixels), tasks, CHUNK)

    def _each(self, function: Callable, items: list, size: int) -> Iterator[list]:
        """`function` on chunks of `items`, only so many at a time that results do not pile up."""
        chunks: Iterable = (items[i : i + size] for i in range(0, len(items), size))
        with told_where_it_cannot_start():
            waiting = {self._pool.submit(function, chunk) for chunk in islice(chunks, self._at_once)}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            waiting |= {self._pool.submit(function, chunk) for chunk in islice(chunks, len(finished))}


@contextmanager
def told_where_it_cannot_start() -> Iterator[None]:
    """Raises UserError where the system refuses another process."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot start processes to decode images: {error.strerror or error}; they need /dev/shm, and files: "
            "`ulimit -n 1024` allows enough, --workers 1 wants fewer"
        ) from error


def begin(parent: int, read: Reader) -> None:
    """Set up a decoding process."""
    global _read
    _read = read
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """A killed parent tells nobody, and a pool's process would wait for work forever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def size_chunk(paths: list[tuple[int, str]]) -> list[tuple[int, tuple[int, int] | str]]:
    results = []
    for row, path in paths:
        try:
            results.append((row, _read.size(path)))
        except BadImage as error:
            results.append((row, error.reason))
    return results


def decode_chunk(tasks: list[Task], pixels: Path | None) -> list[Done]:
    file = None if pixels is None else os.open(pixels, os.O_WRONLY)
    try:
        return [decode_one(task, file) for task in tasks]
    finally:
        if file is not None:
            os.close(file)


def decode_one(task: Task, file: int | None) -> Done:
    try:
        image = shrink(_read(task.path, min(task.height, task.width)), task.height, task.width)
    except BadImage as error:
        return Done(task.row, error.reason)
    if file is None:
        blob = compress(image)
        return Done(task.row, length=len(blob), crc=zlib.crc32(blob), blob=blob)
    pixels = np.ascontiguousarray(image)
    write_at(file, pixels, task.offset)
    return Done(task.row, offset=task.offset, length=pixels.nbytes, crc=zlib.crc32(pixels))
