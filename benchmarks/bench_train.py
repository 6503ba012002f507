"""Images/s of training beside the same step on one fixed batch in memory: what the images cost.

    make bench-train [ARGS="--backbone mobilenetv3_small_100 --input-size 224"]

Contestants take turns, and the medians over the rounds are compared, because machines are shared and noisy.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import tyro

from benchmarks.table import Row, write
from common.augment import Policy
from common.models.build import build
from common.options import Options
from common.outputs import activate, targets_of
from common.prepare import prepare
from common.recipe import Recipe
from common.train.fold import Fold
from common.train.losses import loss_function

WANTED = {"cpu": 0.95, "cuda": 0.97}


@dataclass(frozen=True)
class Arguments:
    backbone: str = "mobilenetv3_small_100"
    """A timm or torchvision name; its weights are random."""
    input_size: int = 224
    """Pixels."""
    batch_size: int = 32
    """Images a step."""
    augment: str = "base"
    """Policy of the feed."""
    images: int = 640
    """Photographs in the made-up data set, 600 × 800 JPEG."""
    rounds: int = 7
    """Turns of each contestant."""
    workers: int = -1
    """Processes of the feed; -1: what training takes by default."""
    device: str = "cpu"
    """cpu or cuda, of which `bench_device` has more to say."""
    csv: str = ""
    """File for the table."""


def photographs(folder: Path, n: int) -> pd.DataFrame:
    """n JPEGs of smooth shapes with some grain, 600 × 800."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(n):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (800, 600), interpolation=cv2.INTER_CUBIC)
        grain = random.integers(0, 24, (600, 800, 1), dtype=np.uint8)
        path = folder / f"{i}.jpg"
        cv2.imwrite(str(path), cv2.add(picture, np.repeat(grain, 3, axis=2)))
        rows.append((str(i), str(path)))
    return pd.DataFrame(rows, columns=["id", "path"])


def main(arguments: Arguments) -> None:
    options = Options(device=arguments.device, workers=arguments.workers)
    device, size = options.torch_device(), arguments.input_size
    recipe = Recipe(
        backbone=arguments.backbone, weights="none", input_size=size, batch_size=arguments.batch_size, epochs=10_000
    )
    with tempfile.TemporaryDirectory() as folder:
        table = photographs(Path(folder), arguments.images)
        cache = prepare(table, "bench", size, Path(folder) / "cache")
        transform = Policy(arguments.augment).transform(size)
        rows, workers = np.arange(len(cache)), options.feed_workers()
        targets = targets_of(rows % 5, recipe, "multiclass", 5)
        with options.feed_of(
            cache, rows, size, transform, recipe.batch_size, 0, workers, device, drop_last=True
        ) as feed:
            network = build(recipe, 5)
            fold = Fold(network, recipe, feed, targets, Path(folder), device, loss_function(recipe), activate)
            fold.network.train()
            write([compare(fold, arguments.rounds, arguments.augment)], arguments.csv)


def compare(fold: Fold, rounds: int, augment: str) -> Row:
    """Prints images/s of both, and the median of the ratios of neighbouring turns, which the row is held to."""
    batch = [part.clone() for part in next(iter(fold.train_feed.epoch(0)))]
    steps = fold.train_feed.steps_per_epoch

    def turn(batches) -> float:
        images, start = 0, time.perf_counter()
        for batch in batches:
            fold.train_step(*batch)
            images += len(batch[1])
        if fold.device.type == "cuda":
            torch.cuda.synchronize()
        return images / (time.perf_counter() - start)

    turn([batch] * 3)
    fixed, fed = [], []
    for epoch in range(rounds):
        fixed.append(turn([batch] * steps))
        fed.append(turn(fold.train_feed.epoch(epoch)))
    ratios = [ours / bound for ours, bound in zip(fed, fixed, strict=True)]
    print(f"{fold.recipe.backbone} at {fold.recipe.input_size}, batch {fold.recipe.batch_size}, {fold.device}")
    print(f"  one fixed batch in memory   {statistics.median(fixed):8.1f} images/s")
    print(f"  training from the feed      {statistics.median(fed):8.1f} images/s")
    spread = f"(from {min(ratios):.3f} to {max(ratios):.3f} in {rounds} rounds)"
    print(f"  ratio                       {statistics.median(ratios):8.3f} {spread}")
    recipe, at_least = fold.recipe, WANTED[fold.device.type]
    what = f"training, {fold.device.type.upper()}, {recipe.backbone} {recipe.input_size}, {augment} policy"
    ours = statistics.median(fixed) * statistics.median(ratios)
    return Row(what, ours, "images/s", "one fixed batch", statistics.median(fixed), at_least, note=spread)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
