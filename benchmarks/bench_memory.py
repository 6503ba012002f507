"""Memory of a process of the feed, for few images and for many: it must not grow with their number.

    python -m benchmarks.bench_memory [--images 60000]

The cache is a sparse file of black images, 160×160 as for inputs of 128 pixels, so that it takes no disk.
"""

import json
import multiprocessing
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from benchmarks.table import Row, write
from common.augment import Policy
from common.cache import ENTRY, Cache
from common.feed import Feed

SIDE, SIZE, BATCH = 160, 128, 64


@dataclass(frozen=True)
class Arguments:
    images: int = 60_000
    """Of the larger cache."""
    few: int = 6_000
    """Of the smaller one."""
    csv: str = ""
    """File for the table."""


def black_cache(folder: Path, n: int) -> Cache:
    folder.mkdir()
    length = SIDE * SIDE * 3
    entries = np.zeros(n, ENTRY)
    entries["offset"], entries["length"] = np.arange(n) * length, length
    entries["height"] = entries["width"] = SIDE
    entries["crc"] = zlib.crc32(bytes(length))
    np.save(folder / "index.npy", entries)
    with open(folder / "pixels.bin", "wb") as file:
        file.truncate(n * length)
    facts = {"ids": [str(i) for i in range(n)], "skipped": [], "fingerprint": "", "format": "raw", "input_size": SIZE}
    (folder / "cache.json").write_text(json.dumps(facts))
    return Cache(folder)


def peak(cache: Cache) -> float:
    """Largest resident memory of a worker in an epoch, in GB: its own, and what it shares with the main process."""
    transform = Policy("base").transform(SIZE)
    with Feed(cache, np.arange(len(cache)), SIZE, transform, BATCH, seed=0, workers=1) as feed:
        for _ in feed.epoch(0):
            pass
        (worker,) = multiprocessing.active_children()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e9


def main(arguments: Arguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        few, many = (peak(black_cache(Path(folder) / str(n), n)) for n in (arguments.few, arguments.images))
    note = f"{few:.2f} GB with {arguments.few:,} images"
    row = Row(f"feed memory per process, {arguments.images:,} images", many, "GB", at_most=1.0, note=note)
    growth = Row(f"the same, growth from {arguments.few:,} images", many - few, "GB", at_most=0.1)
    write([row, growth], arguments.csv)
    print(f"memory of a feed's process: {note}, {many:.2f} GB with {arguments.images:,}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
