"""Where a device finds the pixels of a batch: the whole cache in its memory, or each batch brought to it in time."""

import math
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple
from weakref import WeakKeyDictionary, proxy

import numpy as np
import torch

from common.augment.device import Pictures
from common.progress import Progress

MARGIN = 6 << 30
"""Bytes of a GPU that images leave to the network."""
AT_ONCE = 64 << 20
"""Bytes that are copied to a device together."""
THREADS = 8
"""That read images from the memory map; they wait for the disk or copy, both without Python's lock."""


class Batch(NamedTuple):
    """Where the images of a batch lie, and their rows, int64 (n,), on the device."""

    pictures: Pictures
    rows: torch.Tensor


def on(device: torch.device, array: np.ndarray | torch.Tensor) -> torch.Tensor:
    """On the device; nothing waits for the copy. Torch keeps the pinned memory between until the device has read it."""
    tensor = torch.as_tensor(array).contiguous()  # else it would not be the pinned memory that is copied
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Streamed:
    """Reads the images of a batch from the cache while the one before is worked on."""

    def __init__(self, cache, device: torch.device) -> None:
        self.cache, self.device = cache, device
        self.pool = ThreadPoolExecutor(THREADS)

    def batches(self, plan: Iterable[np.ndarray]) -> Iterator[Batch]:
        """The batches of these rows, int64 (n,) each, in order."""
        coming = None
        for rows in chain(plan, [None]):
            following = None if rows is None else self.read(rows)
            if coming is not None:
                yield self.brought(*coming)
            coming = following

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, torch.Tensor, np.ndarray, list[Future]]:
        """Begin to read: the rows, memory for their pixels, where each begins in it, and what is still to be read."""
        shapes = self.cache.shapes[rows]
        ends = np.cumsum(shapes.prod(axis=1))
        pinned = self.device.type == "cuda"
        memory = torch.empty((int(ends[-1]), self.cache.channels), dtype=torch.uint8, pin_memory=pinned)
        begin, pixels = ends - shapes.prod(axis=1), memory.numpy()

        def fill(some: list[int]) -> None:
            for i in some:
                pixels[begin[i] : ends[i]] = self.cache[int(rows[i])].reshape(-1, self.cache.channels)

        shares = [list(range(first, len(rows), THREADS)) for first in range(min(THREADS, len(rows)))]
        return rows, memory, begin, [self.pool.submit(fill, share) for share in shares]

    def brought(self, rows: np.ndarray, memory: torch.Tensor, begin: np.ndarray, reading: list[Future]) -> Batch:
        for share in reading:
            share.result()
        height, width = (on(self.device, side) for side in self.cache.shapes[rows].T.astype(np.float32))
        there = memory.to(self.device, non_blocking=True)
        return Batch(Pictures(there, on(self.device, begin), height, width), on(self.device, rows))

    def close(self) -> None:
        self.pool.shutdown()


class Resident:
    """All images in the memory of the device."""

    def __init__(self, cache, device: torch.device) -> None:
        self.device, self.cache = device, proxy(cache)  # else the cache would never be let go
        self.pixels, begin = mapped(cache) if device.type == "cpu" else copied(cache, device)
        self.begin, self.sides = torch.from_numpy(begin).to(device), torch.from_numpy(cache.shapes).float().to(device)

    def batches(self, plan: Iterable[np.ndarray]) -> Iterator[Batch]:
        for numbers in plan:
            self.cache.check(numbers)
            rows = on(self.device, numbers)
            height, width = self.sides[rows].unbind(1)
            yield Batch(Pictures(self.pixels, self.begin[rows], height, width), rows)

    def close(self) -> None:
        """The memory is free when the cache is: another feed of it may come."""


def mapped(cache) -> tuple[torch.Tensor, np.ndarray]:
    """The cache itself: uint8 (N, C), and where the first pixel of each image lies."""
    memory, begin = cache.raw()
    with warnings.catch_warnings(action="ignore"):  # that it must not be written to
        pixels = torch.frombuffer(memory, dtype=torch.uint8)
    return pixels.view(-1, cache.channels), begin // cache.channels


def copied(cache, device: torch.device) -> tuple[torch.Tensor, np.ndarray]:
    """A copy of the cache on the device."""
    ends = np.cumsum(cache.shapes.prod(axis=1))
    pixels = torch.empty((int(ends[-1]), cache.channels), dtype=torch.uint8, device=device)
    parts = np.array_split(np.arange(len(cache)), min(math.ceil(pixels.numel() / AT_ONCE), len(cache)))
    reader = Streamed(cache, device)
    with Progress(len(cache), "copy the images to the GPU") as progress:
        for rows, batch in zip(parts, reader.batches(parts), strict=True):
            first = ends[rows[0]] - math.prod(cache.shapes[rows[0]])
            pixels[first : ends[rows[-1]]] = batch.pictures.pixels
            progress.update(len(rows))
    reader.close()
    torch.cuda.synchronize(device)
    return pixels, ends - cache.shapes.prod(axis=1)


_resident: WeakKeyDictionary = WeakKeyDictionary()
"""Of each cache that is in use: on which device it lies. The feeds of training and validation share it."""


def pixels_of(cache, device: torch.device) -> Resident | Streamed:
    """Resident where the images fit: on a GPU into what is free now, less a margin; on a CPU where the cache is raw."""
    there = _resident.setdefault(cache, {})
    if device not in there and fits(cache, device):
        there[device] = Resident(cache, device)
    return there[device] if device in there else Streamed(cache, device)


def fits(cache, device: torch.device) -> bool:
    if device.type == "cpu":
        return cache.raw() is not None
    free, _ = torch.cuda.mem_get_info(device)
    return int(cache.shapes.prod(axis=1).sum()) * cache.channels + MARGIN <= free
