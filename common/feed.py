"""Cache → batches on the device: uint8, augmented in worker processes, the same whatever their number. What augments on
the device is `common.feed_device`, with the same order and the same draws.

Order and augmentation are functions of (seed, epoch, row) alone. So a run with eight workers equals one with none, and
a run that was killed in the middle of an epoch goes on with exactly the batches that were left.

Workers write their images into a few batches of shared memory that are used again and again. A fresh one for every
batch, as a DataLoader does it, costs as much as the augmentation: its pages have to be zeroed and mapped, twice. Being
anonymous, this memory is not bounded by the size of /dev/shm either, which containers keep small.
"""

import math
import mmap
import signal
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from common.errors import MachineError, UserError
from common.processes import die_with_the_parent

Transform = Callable[[np.ndarray, int], np.ndarray]
Plan = list[tuple[np.ndarray, np.ndarray]]
"""(rows, seeds) of each batch to come."""

AHEAD = 2
"""Batches that each worker makes in advance."""


class Feed:
    """Batches of the images `rows` of a cache.

    Args:
        cache: `cache[row]` → uint8 (H, W, C); see `common.cache`.
        rows: int (n,), positions in the cache; what is yielded beside the images.
        size: side of the square images.
        transform: (image uint8 (H, W, C), seed in [0, 2**63)) → uint8 (size, size, C).
        batch_size: images a batch.
        seed: of order and augmentation.
        workers: processes; 0 works in this one.
        device: where the batches go; to a GPU through pinned memory, so that the copy does not wait for it.
        shuffle: a new order every epoch, in place of the order of `rows`.
        drop_last: leave out a last batch that is not full.
        weights: float (n,), how often a row is shown in comparison with others; None: each once an epoch. The length
            of an epoch stays that of `rows`.
        share: (i, n): every n-th image of each batch from the i-th on, where n processes train together.

    The workers start with the first epoch and stay until `close()` or the end of the `with` block. One epoch at a time.
    """

    def __init__(
        self,
        cache,
        rows: np.ndarray,
        size: int,
        transform: Transform,
        batch_size: int,
        seed: int,
        workers: int = 1,
        device: torch.device | str = "cpu",
        shuffle: bool = True,
        drop_last: bool = False,
        weights: np.ndarray | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.cache, self.rows, self.size, self.transform = cache, np.asarray(rows, dtype=np.int64), size, transform
        self.batch_size, self.seed, self.shuffle, self.drop_last = batch_size, seed, shuffle, drop_last
        self.workers, self.device, self.weights, self.share = workers, torch.device(device), weights, share
        self._loader: DataLoader | None = None
        self._keys: Keys | None = None
        self._slots: torch.Tensor | None = None

    @property
    def steps_per_epoch(self) -> int:
        steps = len(self.rows) / self.batch_size
        return math.floor(steps) if self.drop_last else math.ceil(steps)

    def images_in(self, step: int) -> int:
        """Images of a batch, over all shares."""
        return min(self.batch_size, len(self.rows) - step * self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The batches of an epoch from `first_step` on.

        Yields:
            images uint8 (B, C, size, size), in channels-last memory, and rows int64 (B,), both on the device and both
            the caller's to keep.

        Raises:
            UserError: a worker process died.
        """
        plan = self._plan(epoch, first_step)
        if not plan:
            return
        if self._loader is None:
            self._start()
        self._keys.plan = plan
        yield from self._batches(plan)

    def rows_of(self, epoch: int) -> list[np.ndarray]:
        """The rows of an epoch's batches, without the images: int64 (B,) each."""
        return [rows for rows, _ in self._plan(epoch, first_step=0)]

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """The rows of one batch, those of all shares: int64 (B,)."""
        return self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def close(self) -> None:
        """End the workers. A later epoch starts new ones."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()  # at once, also where somebody still holds a half-read epoch
        self._loader = self._keys = self._slots = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _order(self, epoch: int) -> np.ndarray:
        """The rows of an epoch in their order."""
        order, random = self.rows, np.random.default_rng((self.seed, epoch))
        if self.weights is not None:
            order = drawn(order, self.weights, random)
        return random.permutation(order) if self.shuffle else order

    def _plan(self, epoch: int, first_step: int) -> Plan:
        order = self._order(epoch)
        seeds = image_seeds(self.seed, epoch, order)
        starts = range(first_step * self.batch_size, self.steps_per_epoch * self.batch_size, self.batch_size)
        first, every = self.share
        batches = [slice(i + first, i + self.batch_size, every) for i in starts]
        return [(order[batch], seeds[batch]) for batch in batches]

    def _batches(self, plan: Plan) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """What `epoch` yields, from what the workers make of the plan."""
        for (rows, _), slot in zip(plan, self._made(), strict=True):
            images = self._on_device(self._slots[slot, : len(rows)])
            self._keys.free.append(slot)
            yield images.permute(0, 3, 1, 2), self._on_device(torch.from_numpy(rows))

    def _dataset(self, slots: int) -> Dataset:
        """What the workers run for each of `Keys`."""
        channels = self.cache[int(self.rows[0])].shape[2]
        self._slots = shared_memory((slots, self.batch_size, self.size, self.size, channels))
        return Batches(self.cache, self.transform, self._slots.numpy())

    def _start(self) -> None:
        if self.workers:
            check_processes()
        slots = AHEAD * self.workers + 1  # those in the making, and the one that is copied out
        self._keys = Keys(slots)
        self._loader = DataLoader(
            self._dataset(slots),
            batch_size=None,
            sampler=self._keys,
            num_workers=self.workers,
            worker_init_fn=begin,
            persistent_workers=self.workers > 0,
            prefetch_factor=AHEAD if self.workers else None,
            multiprocessing_context="fork" if self.workers else None,
            generator=torch.Generator(),  # else every epoch would draw from the global one
        )

    def _made(self) -> Iterator[Any]:
        try:
            yield from made_by(self._loader)
        except MachineError:
            self.close()
            raise

    def _on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the device. The pinned memory between is kept by torch until the device has read it."""
        if self.device.type == "cuda":
            return tensor.contiguous().pin_memory().to(self.device, non_blocking=True)
        return tensor.clone().to(self.device)


def made_by(loader: DataLoader) -> Iterator[Any]:
    """What the workers of a loader make.

    Raises:
        UserError: one of them made it in place of a batch.
        MachineError: one of them died.
    """
    try:
        for made in without_alarms(loader):
            if isinstance(made, UserError):
                raise made
            yield made
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):  # what torch says of a process, not of an exception
            raise
        raise MachineError(f"a worker of the feed died: {error} (out of memory?); --workers N takes fewer") from error


def without_alarms(loader: DataLoader) -> Iterator[Any]:
    """Its iterator. Torch would tell of a worker's death by an exception wherever the process is at that moment, in a
    step or a file; without its signal handler the death is told where the next batch is waited for, seconds later."""
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    if signal.getsignal(signal.SIGCHLD) is not before:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    return batches


def drawn(rows: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many of `rows` (n,) as there are, in proportion to `weights` (n,): by systematic sampling, so that each row
    comes as often as its share says, rounded up or down."""
    ends = np.cumsum(weights) / np.sum(weights)
    places = (np.arange(len(rows)) + random.random()) / len(rows)
    return rows[np.searchsorted(ends, places, side="right").clip(max=len(rows) - 1)]


def image_seeds(seed: int, epoch: int, rows: np.ndarray) -> np.ndarray:
    """uint64 (n,), below 2**63: a hash of (seed, epoch, row, how often the row came before) for each of `rows`, by
    SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    start = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    key = rows.astype(np.uint64) + (earlier(rows).astype(np.uint64) << np.uint64(40))
    x = start + (key + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) >> np.uint64(1)


def earlier(rows: np.ndarray) -> np.ndarray:
    """int64 (n,): how often each of `rows` stands before it."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    begins = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    counts = np.arange(len(rows)) - np.repeat(begins, np.diff(np.r_[begins, len(rows)]))
    result = np.empty(len(rows), dtype=np.int64)
    result[order] = counts
    return result


def check_processes() -> None:
    """Raises UserError where processes cannot be given what they share."""
    try:
        get_context("fork").Semaphore()
    except OSError as error:
        raise UserError(
            f"cannot start the feed's processes: /dev/shm: {error.strerror}; --workers 0 needs none"
        ) from error


def shared_memory(shape: tuple[int, ...]) -> torch.Tensor:
    """uint8 of `shape`, in memory that forked processes share."""
    return torch.frombuffer(mmap.mmap(-1, math.prod(shape)), dtype=torch.uint8).view(shape)


class Keys(Sampler):
    """What the workers are asked for: (slot, rows, seeds) of the batches to come. A slot is not handed out again before
    its batch was copied; a new epoch begins when no worker has work left of the last one."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.plan: Plan = []
        self.free: deque[int] = deque()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        self.free = deque(range(self.slots))
        for rows, seeds in self.plan:
            yield self.free.popleft(), rows, seeds

    def __len__(self) -> int:
        return len(self.plan)


class Batches(Dataset):
    """(slot, rows, seeds) → slot, which then holds the batch; or the error of a damaged image, which as an exception
    would come out of a worker as its traceback."""

    def __init__(self, cache, transform: Transform, slots: np.ndarray) -> None:
        self.cache, self.transform, self.slots = cache, transform, slots

    def __getitem__(self, key: tuple[int, np.ndarray, np.ndarray]) -> int | UserError:
        slot, rows, seeds = key
        try:
            for i, (row, seed) in enumerate(zip(rows.tolist(), seeds.tolist(), strict=True)):
                self.slots[slot, i] = self.transform(self.cache[row], seed)
        except UserError as error:
            return error
        return slot


def begin(worker: int) -> None:
    """Set up a worker: the cores are shared out by process, and it dies with its parent, whom torch's own workers look
    for every five seconds, and never if it was killed before their first look."""
    die_with_the_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
