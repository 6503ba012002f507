"""The feed that augments on the device: workers draw what is to be done to each image, the device does it.

Order and draws are those of `Feed`, so that the batches are the same to within rounding (`common.augment.device`). A
batch is made on a stream of its own while the network is busy with the one before, and nothing waits for the device.
"""

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from common.augment.device import Work, augment, look, work_of
from common.compiled import Compiled
from common.feed import Feed, Plan
from common.pixels import Resident, Streamed, pixels_of


class DeviceFeed(Feed):
    """Batches of the images `rows` of a cache that was prepared for `size`; see `Feed`.

    Its `transform` has the method `draw` of `common.augment.Transform`, and its images stay in the memory of the device
    where they fit. `compiled`: the lookup of pixels goes through torch.compile, which makes one pass of it.
    """

    def __init__(self, *arguments, compiled: bool = False, **settings) -> None:
        super().__init__(*arguments, **settings)
        self._look = Compiled(look, say_not_compiled) if compiled else look
        self._pixels: Resident | Streamed | None = None
        self._stream: torch.cuda.Stream | None = None

    def close(self) -> None:
        super().close()
        if self._pixels is not None:
            self._pixels.close()
        self._pixels = None

    def _dataset(self, slots: int) -> Dataset:
        with torch.inference_mode(False):  # they are looked at in training too
            self._pixels = pixels_of(self.cache, self.device)
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)
        return Draws(self.cache.shapes, self.cache.channels, self.transform)

    def _batches(self, plan: Plan) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        before = None
        batches = self._pixels.batches(rows for rows, _ in plan)
        for slot, work in self._made():
            self._keys.free.append(slot)
            # Without a GPU there is no stream, and it does nothing. `look` would be compiled for each mode of autograd.
            with torch.cuda.stream(self._stream), torch.inference_mode(False):
                batch = next(batches)
                images = augment(batch.pictures, work.on(self.device), self.size, self._look)
                ready = self._stream.record_event() if self._stream else None
            if before is not None:
                yield self._handed_over(*before)
            before = images, batch.rows, ready
        yield self._handed_over(*before)

    def _handed_over(
        self, images: torch.Tensor, rows: torch.Tensor, ready: "torch.cuda.Event | None"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """To the stream of the network, which goes on when they are ready."""
        if ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready)
            images.record_stream(stream)
            rows.record_stream(stream)
        return images, rows


class Draws(Dataset):
    """(slot, rows, seeds) → the slot and the work on the batch."""

    def __init__(self, shapes: np.ndarray, channels: int, transform) -> None:
        self.shapes, self.channels, self.transform = shapes, channels, transform

    def __getitem__(self, key: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, Work]:
        slot, rows, seeds = key
        shapes = self.shapes[rows].tolist()
        pairs = zip(shapes, seeds.tolist(), strict=True)
        return slot, work_of([self.transform.draw(*shape, self.channels, seed) for shape, seed in pairs])


def say_not_compiled(reason: str) -> None:
    print(f"the feed goes on without torch.compile, which could not: {reason}", file=sys.stderr, flush=True)
