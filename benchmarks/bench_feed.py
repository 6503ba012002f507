"""Images a second of our feed, timm's loader and torchvision's, in one run: `make bench-feed`.

All read the same 600×800 JPEGs with the same number of workers, crop at random (area ≥ 0.65) to 256, mirror half of
them and batch by 128. They take turns, so that a busy machine is busy for all, and the median of the rounds counts.
What it should show: ours at least 15 times timm's, and a cache that has paid for itself after the first epoch or two.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from timm.data import create_dataset, create_loader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.table import Row, write
from common.augment import Policy
from common.cache import Cache
from common.feed import Feed
from common.prepare import prepare

HEIGHT, WIDTH, SIZE, BATCH, AREA = 600, 800, 256, 128, (0.65, 1.0)
QUALITY = 84
"""Of the JPEGs: about 100 kB each, as the photographs of the cassava competition."""
SCENES = 40
"""Pictures drawn from scratch; the others are these, shifted, mirrored and lit differently."""
WANTED = 15.0


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """A picture with the spectrum of a photograph: noise at all scales, the coarse ones strongest; uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.float32)
    for octave in range(1, 8):
        coarse = random.normal(0, 90 / 2 ** (0.6 * octave), (3 * 2**octave, 4 * 2**octave, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += random.normal(0, 3, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def draw(folder: Path, seed: int, count: int, height: int, width: int) -> None:
    """`count` JPEGs of one scene."""
    cv2.setNumThreads(0)
    picture, random = scene(seed, height, width), np.random.default_rng(seed)
    for i in range(count):
        shifted = np.roll(picture, random.integers(0, height, 2), axis=(0, 1))[:, :: random.choice([-1, 1])]
        lit = cv2.convertScaleAbs(shifted, alpha=random.uniform(0.8, 1.1), beta=random.uniform(-20, 20))
        cv2.imwrite(str(folder / f"{seed:02}_{i:04}.jpg"), lit, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))


def draw_all(root: Path, count: int, height: int = HEIGHT, width: int = WIDTH) -> list[Path]:
    folder = root / "class"
    folder.mkdir(parents=True)
    shares = [count // SCENES + (seed < count % SCENES) for seed in range(SCENES)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(draw, [folder] * SCENES, range(SCENES), shares, [height] * SCENES, [width] * SCENES))
    return sorted(folder.iterdir())


def timm_loader(root: Path, workers: int, prefetcher: bool):
    """timm's training loader; with its prefetcher, uint8 leaves the workers and is normalised in batches."""
    return create_loader(
        create_dataset("", root=str(root)),
        (3, SIZE, SIZE),
        BATCH,
        is_training=True,
        scale=AREA,
        hflip=0.5,
        color_jitter=0.0,
        interpolation="bilinear",
        num_workers=workers,
        device=torch.device("cpu"),
        use_prefetcher=prefetcher,
        persistent_workers=True,
    )


def torchvision_loader(root: Path, workers: int):
    transform = v2.Compose([v2.RandomResizedCrop(SIZE, scale=AREA), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    return torch.utils.data.DataLoader(
        ImageFolder(root, transform), BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=True
    )


def our_feed(cache: Cache, workers: int) -> Feed:
    transform = Policy("base", 1.0, "horizontal").transform(SIZE)
    return Feed(cache, np.arange(len(cache)), SIZE, transform, BATCH, seed=0, workers=workers, drop_last=True)


def images_per_second(epoch: Callable, epochs: int) -> float:
    start, images = time.perf_counter(), 0
    for _ in range(epochs):
        images += sum(len(batch) for batch, _ in epoch())
    return images / (time.perf_counter() - start)


def measure(contestants: dict[str, tuple[Callable, int]], rounds: int) -> dict[str, list[float]]:
    """Rates of each contestant, (an epoch's iterator, epochs a round); a first round warms up and does not count."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, (epoch, epochs) in contestants.items():
            rate = images_per_second(epoch, epochs if number else 1)
            if number:
                rates[name].append(rate)
        print(f"round {number} of {rounds}" if number else "warmed up", file=sys.stderr, flush=True)
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2, help="processes of each contestant")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", default="", help="file for the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, workers = Path(folder), arguments.workers
        files = draw_all(root / "raw", arguments.images)
        kilobytes = statistics.mean(file.stat().st_size for file in files) / 1e3
        print(f"{len(files):,} JPEGs of {HEIGHT}×{WIDTH}, {kilobytes:.0f} kB each; {workers} workers", flush=True)
        start = time.perf_counter()
        table = pd.DataFrame({"id": [file.stem for file in files], "path": [str(file) for file in files]})
        cache = prepare(table, "bench", SIZE, root / "cache", format="raw", workers=workers)
        seconds = time.perf_counter() - start
        with our_feed(cache, workers) as feed:
            loaders = {
                "timm create_loader": timm_loader(root / "raw", workers, prefetcher=False),
                "timm create_loader, prefetcher": timm_loader(root / "raw", workers, prefetcher=True),
                "torchvision ImageFolder": torchvision_loader(root / "raw", workers),
            }
            contestants = {name: (lambda loader=loader: loader, 1) for name, loader in loaders.items()}
            contestants["ours, from the cache"] = (lambda: feed.epoch(0), 8)
            rates = measure(contestants, arguments.rounds)
    write(rows_of(rates, workers), arguments.csv)
    return report(rates, len(files), seconds)


def rows_of(rates: dict[str, list[float]], workers: int) -> list[Row]:
    """One row a contestant; ours must beat timm's faster setting by `WANTED`."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    *others, ours = medians.items()
    best = max((rate, name) for name, rate in others if name.startswith("timm"))[1]
    what = f"feed, base policy, {HEIGHT}×{WIDTH} JPEG → {SIZE}, {workers} workers"
    return [Row(what, ours[1], "images/s", n, rate, at_least=WANTED if n == best else None) for n, rate in others]


def report(rates: dict[str, list[float]], images: int, prepare_seconds: float) -> int:
    """Print the table; exit code 1 where ours is not fast enough."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    *others, ours = medians.items()
    print(f"\n{'':32}{'images/s':>9}{'lowest':>9}{'highest':>9}{'ours is':>9}")
    for name, rate in medians.items():
        low, high = min(rates[name]), max(rates[name])
        print(f"{name:32}{rate:9,.0f}{low:9,.0f}{high:9,.0f}{ours[1] / rate:8.1f}×")
    print(f"\npreparing: {prepare_seconds:.1f} s, {images / prepare_seconds:,.0f} images/s, once")
    for name, rate in others:
        saved = images / rate - images / ours[1]
        print(f"  has paid for itself against {name} after {prepare_seconds / saved:.1f} epochs")
    ratio = ours[1] / max(rate for name, rate in others if name.startswith("timm"))
    print(f"ours is {ratio:.1f}× timm's faster setting; wanted: {WANTED:.0f}×")
    return 0 if ratio >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
