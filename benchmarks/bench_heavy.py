"""The feed with the heavy policy at 512 pixels from large JPEGs, beside the same pipeline on the raw files.

    python -m benchmarks.bench_heavy [--workers 2]

Both read the same 1,536×2,048 JPEGs and apply the same albumentations pipeline with the same number of workers. One
decodes each file in full every epoch, as the usual Dataset does; ours has done so once.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from torch.utils.data import DataLoader, Dataset

from benchmarks.bench_feed import draw_all, measure
from benchmarks.table import Row, write
from common.augment import Policy
from common.feed import Feed, begin
from common.images import read_rgb
from common.prepare import prepare

HEIGHT, WIDTH, SIZE, BATCH = 1536, 2048, 512, 16
WANTED = 2.5


@dataclass(frozen=True)
class Arguments:
    images: int = 160
    """JPEGs."""
    workers: int = 2
    """Processes of each contestant."""
    rounds: int = 3
    """Turns of each that count."""
    augment: str = "heavy"
    """Policy."""
    csv: str = ""
    """File for the table."""


class RawFiles(Dataset):
    def __init__(self, files: list[Path], transform) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return self.transform(read_rgb(self.files[row]), row), row


def main(arguments: Arguments) -> None:
    transform, workers = Policy(arguments.augment).transform(SIZE), arguments.workers
    with tempfile.TemporaryDirectory() as folder:
        files = draw_all(Path(folder) / "raw", arguments.images, HEIGHT, WIDTH)
        table = pd.DataFrame({"id": [file.stem for file in files], "path": [str(file) for file in files]})
        cache = prepare(table, "bench", SIZE, Path(folder) / "cache", format="raw", workers=workers)
        raw = DataLoader(
            RawFiles(files, transform),
            BATCH,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=workers > 0,
            worker_init_fn=begin,
        )
        rows = np.arange(len(cache))
        with Feed(cache, rows, SIZE, transform, BATCH, seed=0, workers=workers, drop_last=True) as feed:
            rates = measure({"raw": (lambda: raw, 1), "ours": (lambda: feed.epoch(0), 1)}, arguments.rounds)
    theirs, ours = (statistics.median(rates[name]) for name in ("raw", "ours"))
    what = f"feed, {arguments.augment} policy at {SIZE} from {WIDTH:,}×{HEIGHT:,} JPEGs, {workers} workers"
    row = Row(what, ours, "images/s", "the same pipeline on the raw files", theirs, at_least=WANTED)
    write([row], arguments.csv)
    print(f"{what}: {ours:.1f} images/s beside {theirs:.1f} from the raw files, {row.value:.1f}×; wanted: {WANTED}×")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
