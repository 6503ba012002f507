"""What only a GPU can show: the device feed alone, and training from it beside one fixed batch and timm's loader.

    python -m benchmarks.bench_device

ResNet-50 at 256, bf16, from 600×800 JPEGs. Contestants take turns, and medians of the rounds are compared. Without a
GPU the rows say so.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro

from benchmarks.bench_feed import draw_all
from benchmarks.table import Row, as_text, to_frame, write
from common.augment import Policy
from common.cache import Cache
from common.feed import Feed
from common.models.build import build
from common.options import Options
from common.outputs import activate, targets_of
from common.prepare import prepare
from common.recipe import Recipe
from common.train.fold import Fold
from common.train.gradients import Execution
from common.train.losses import loss_function

POLICIES = ("base", "heavy", "randaugment")
FEED, OF_FIXED, OF_TIMM = 15, 0.97, 2
"""What must hold: of timm's loader alone, of training on one fixed batch, of training from timm's loader."""

Batches = Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]]
"""Begins a round: uint8 images and rows of targets, on the GPU."""


@dataclass(frozen=True)
class Arguments:
    backbone: str = "resnet50"
    """A timm or torchvision name; its weights are random."""
    input_size: int = 256
    """Pixels."""
    batch_size: int = 128
    """Images a step."""
    images: int = 6144
    """Photographs in the made-up data set: many batches a round, and as many for each of 16 workers."""
    rounds: int = 7
    """Turns of each contestant."""
    workers: int = -1
    """Processes of each contestant; -1: what training takes by default."""
    csv: str = ""
    """File for the table."""


def what(arguments: Arguments) -> dict[str, list[str]]:
    """The names of the rows."""
    training = f"training, CUDA, {arguments.backbone} {arguments.input_size}"
    return {
        "feed": [f"feed alone, CUDA, {arguments.input_size}, {policy} policy" for policy in POLICIES],
        "fixed": [f"{training}, {policy} policy" for policy in POLICIES],
        "timm": [f"{training}, base policy, from timm's loader"],
    }


def timm_loader(folder: Path, arguments: Arguments, workers: int):
    """timm's loader with its prefetcher, for the crops and flips of `base`; images float32 in [0, 255]."""
    from timm.data import create_dataset, create_loader

    return create_loader(
        create_dataset("", root=str(folder)),
        (3, arguments.input_size, arguments.input_size),
        arguments.batch_size,
        is_training=True,
        scale=(0.65, 1.0),
        hflip=0.5,
        color_jitter=0.0,
        interpolation="bilinear",
        mean=(0, 0, 0),
        std=(1 / 255,) * 3,
        num_workers=workers,
        persistent_workers=True,
    )


def rate(batches: Batches, step: Callable[..., None] = lambda images, rows: None) -> float:
    """Images a second of one round."""
    torch.cuda.synchronize()
    images, start = 0, time.perf_counter()
    for batch in batches():
        step(*batch)
        images += len(batch[1])
    torch.cuda.synchronize()
    return images / (time.perf_counter() - start)


def in_turn(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Rates of each; a first round warms up and does not count."""
    for contestant in contestants.values():
        contestant()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            rates[name].append(contestant())
    return rates


def row(name: str, ours: list[float], against: str, theirs: list[float], at_least: float | None) -> Row:
    """Held to the median of the ratios of neighbouring turns."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    bound = statistics.median(theirs)
    spread = f"(from {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds)"
    return Row(name, bound * statistics.median(ratios), "images/s", against, bound, at_least, note=spread)


def measured(folder: Path, arguments: Arguments) -> list[Row]:
    options = Options(device="cuda", feed="device", workers=arguments.workers)
    files, workers = draw_all(folder / "raw", arguments.images), options.feed_workers()
    table = pd.DataFrame({"id": [file.stem for file in files], "path": [str(file) for file in files]})
    cache = prepare(table, "bench", arguments.input_size, folder / "cache", format="raw", workers=workers)
    recipe = Recipe(
        backbone=arguments.backbone, weights="none", input_size=arguments.input_size,
        batch_size=arguments.batch_size, epochs=10_000,
    )  # fmt: skip
    feeds = {policy: device_feed(cache, policy, recipe, options) for policy in POLICIES}
    fold = training(feeds["base"], recipe, folder)
    timm = timm_loader(folder / "raw", arguments, workers)
    fixed = [part.clone() for part in next(iter(feeds["base"].epoch(0)))]
    batches: dict[str, Batches] = {policy: lambda feed=feed: feed.epoch(1) for policy, feed in feeds.items()}
    batches |= {"timm": lambda: timm, "fixed": lambda: [fixed] * fold.train_feed.steps_per_epoch}
    alone = in_turn({name: lambda b=batches[name]: rate(b) for name in (*POLICIES, "timm")}, arguments.rounds)
    trained = in_turn({name: lambda b=b: rate(b, fold.train_step) for name, b in batches.items()}, arguments.rounds)
    for feed in feeds.values():
        feed.close()
    names = what(arguments)
    return [
        *(row(name, alone[policy], "timm's loader, base policy", alone["timm"], FEED if policy == "base" else None)
          for name, policy in zip(names["feed"], POLICIES, strict=True)),
        *(row(name, trained[policy], "one fixed batch", trained["fixed"], OF_FIXED)
          for name, policy in zip(names["fixed"], POLICIES, strict=True)),
        row(names["timm"][0], trained["base"], "training from timm's loader", trained["timm"], OF_TIMM),
    ]  # fmt: skip


def device_feed(cache: Cache, policy: str, recipe: Recipe, options: Options) -> Feed:
    size, rows = recipe.input_size, np.arange(len(cache))
    workers, device = options.feed_workers(), options.torch_device()
    transform = Policy(policy).transform(size)
    return options.feed_of(cache, rows, size, transform, recipe.batch_size, 0, workers, device, drop_last=True)


def training(feed: Feed, recipe: Recipe, folder: Path) -> Fold:
    targets = targets_of(np.arange(len(feed.rows)) % 5, recipe, "multiclass", 5)
    how = Execution(compiled=True, not_compiled=print)
    network, loss = build(recipe, 5), loss_function(recipe)
    fold = Fold(network, recipe, feed, targets, folder, feed.device, loss, activate, how=how)
    fold.network.train()
    return fold


def main(arguments: Arguments) -> None:
    if torch.cuda.is_available():
        with tempfile.TemporaryDirectory() as folder:
            rows = measured(Path(folder), arguments)
    else:
        print("not measured: no GPU here")
        rows = [Row(name, None, "images/s", note="no GPU here") for names in what(arguments).values() for name in names]
    write(rows, arguments.csv)
    print(as_text(to_frame(rows)))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
