"""Where and with what a command works. Nothing here changes a result, so nothing here is part of a run's identity."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import UserError

MOST_PROCESSES = 1024
"""At once on one machine: what is asked for beyond is a slip, and would start processes until nothing else runs."""


@dataclass(frozen=True)
class Options:
    data: str = ""
    """Folder of the raw download, or 'sample' for sample data; empty: data/<competition>."""
    again: bool = False
    """Do it again although it was done before."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Fuse the network's operations by torch.compile, a minute before the first step; 'auto' does so on a GPU."""
    feed: Literal["auto", "workers", "device"] = "auto"
    """Where images are augmented; 'auto': by a GPU itself, beside a CPU in worker processes. The draws are the same,
    the images the same to within rounding; a run goes on as it began."""
    workers: int = -1
    """Processes that feed the device; -1: one a core up to 16 beside a GPU, one beside a CPU."""
    cache: Path = Path("cache")
    """Folder of the prepared images."""
    cache_format: Literal["auto", "raw", "jpeg"] = "auto"
    """'raw' is fastest, 'jpeg' a tenth of the size; 'auto' takes raw where it fits."""
    skip_bad: bool = False
    """Leave out images that cannot be read, and say so in the run."""
    state_every: float = 120.0
    """Seconds between resumable states of a training: at most this much is lost to a kill."""
    runs: Path = Path("runs")
    """Folder of the runs."""

    def __post_init__(self) -> None:
        if not -1 <= self.workers <= MOST_PROCESSES:
            raise UserError(f"workers: must be from -1 to {MOST_PROCESSES} (got {self.workers})")
        if not self.state_every >= 0:
            raise UserError(f"state_every: must be 0 seconds or more (got {self.state_every})")

    def torch_device(self):
        """The torch.device; UserError where 'cuda' is asked for and absent, or too few for torchrun's processes."""
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device: no CUDA device here; use --device cpu or auto")
        if self.device == "cpu" or not torch.cuda.is_available():
            return torch.device("cpu")
        if "LOCAL_RANK" not in os.environ:
            return torch.device("cuda")
        here, gpus = processes_here(), torch.cuda.device_count()
        if here > gpus:
            raise UserError(f"{here} processes on a machine with GPUs for {gpus}; set GPUS={gpus}, or --device cpu")
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))

    def compiled(self) -> bool:
        return self.compile == "on" or (self.compile == "auto" and self.torch_device().type == "cuda")

    def feed_kind(self) -> str:
        """'workers' or 'device'."""
        return self.feed if self.feed != "auto" else "device" if self.torch_device().type == "cuda" else "workers"

    def feed_of(self, *arguments, **settings):
        """The feed of that kind; arguments as of `common.feed.Feed`."""
        from common.feed import Feed
        from common.feed_device import DeviceFeed

        if self.feed_kind() == "workers":
            return Feed(*arguments, **settings)
        return DeviceFeed(*arguments, **settings, compiled=self.compiled())

    def feed_workers(self) -> int:
        if self.workers >= 0:
            return self.workers
        return min((os.cpu_count() or 1) // processes_here() or 1, 16) if self.torch_device().type == "cuda" else 1


def processes_here() -> int:
    """That torchrun started on this machine; without it, this one."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
