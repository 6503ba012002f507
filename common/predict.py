"""Predictions: folds × checkpoints × test-time views, averaged as probabilities."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.augment import evaluation_transform
from common.competition import Competition
from common.data import fingerprint, prepared
from common.errors import UserError
from common.feed import Feed
from common.models.build import Network, build
from common.models.weights import read_weights
from common.options import Options
from common.outputs import activate, all_outputs_of
from common.precision import autocast
from common.progress import Progress, clock
from common.recipe import Recipe
from common.run import Run
from common.stored import read_table, write_table
from common.views import View, views


@dataclass(frozen=True)
class Replica:
    """A network on its device, what turns its outputs into predictions, and the metadata (rows of the cache, d) that is
    looked up by row, like targets in training; None where the recipe has none."""

    network: Network
    device: torch.device
    activate: Callable[[torch.Tensor], torch.Tensor]
    metadata: torch.Tensor | None = None


def predict_outputs(
    network: Network,
    feed: Feed,
    device: torch.device,
    activate: Callable[[torch.Tensor], torch.Tensor],
    metadata: torch.Tensor | None = None,
) -> np.ndarray:
    """The activated outputs of one network without further views, float32 (n,) or (n, K), in the order of the feed's
    rows."""
    return outputs_of_replicas([Replica(network, device, activate, metadata)], feed, views("none"))


def outputs_of_replicas(
    replicas: Sequence[Replica], feed: Feed, seen_as: Sequence[View], progress: Progress | None = None
) -> np.ndarray:
    """Mean over the views of the activated outputs, float32 (n,) or (n, K), in the order of the feed's rows."""
    outputs = computed(replicas, feed, seen_as, progress)
    if not np.isfinite(outputs).all():  # float16 ends at 65,504; see `common.precision`
        outputs = computed(replicas, feed, seen_as, full_precision=True)
    return outputs


@torch.inference_mode()
def computed(
    replicas: Sequence[Replica],
    feed: Feed,
    seen_as: Sequence[View],
    progress: Progress | None = None,
    full_precision: bool = False,
) -> np.ndarray:
    """Replicas of one network on several devices take the batches in turn. Nothing waits for a device before the last
    batch, so that all of them are busy, and a batch comes out the same wherever it is computed."""
    for replica in replicas:
        replica.network.eval()
    batches, at_once = [], feed.batch_size
    for (images, rows), replica in zip(feed.epoch(0), cycle(replicas), strict=False):
        see = partial(seen_by, replica, seen_as, full_precision)
        while (batch := in_parts(see, images, rows, at_once)) is None:
            at_once //= 2
        batches.append(batch)
        if progress:
            progress.update(len(rows))
    return torch.cat([batch.cpu() for batch in batches]).numpy()


def seen_by(
    replica: Replica, seen_as: Sequence[View], full_precision: bool, images: torch.Tensor, rows: torch.Tensor
) -> torch.Tensor:
    network, device = replica.network, replica.device
    beside = None if replica.metadata is None else replica.metadata[rows.to(device)]
    with torch.autocast(device.type, enabled=False) if full_precision else autocast(device):
        inputs = network.normalize(images.to(device, non_blocking=True))
        return torch.stack([replica.activate(network.answer(view(inputs), beside)) for view in seen_as]).mean(0)


def in_parts(
    see: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], images: torch.Tensor, rows: torch.Tensor, at_once: int
) -> torch.Tensor | None:
    """What is seen of so many images at a time; None where memory runs out: a batch may have been chosen for a larger
    device, or have been trained on in parts. (What was allocated is freed with this frame.)"""
    try:
        return torch.cat([see(*part) for part in zip(images.split(at_once), rows.split(at_once), strict=True)])
    except torch.OutOfMemoryError:
        if at_once == 1:
            raise
        return None


def metadata_of(
    competition: Competition, recipe: Recipe, table: pd.DataFrame, device: torch.device
) -> torch.Tensor | None:
    """What is known beside the images of a table, float32 (n, d) on the device; None where the recipe does without."""
    if not recipe.metadata:
        return None
    return torch.from_numpy(competition.read_metadata(table)).to(device)


def evaluation_feed(cache, rows: np.ndarray, recipe: Recipe, options: Options) -> Feed:
    """Images in order, resized and centre-cropped, each once."""
    return options.feed_of(
        cache,
        rows,
        recipe.input_size,
        evaluation_transform(recipe.input_size),
        batch_size=recipe.micro_batch or recipe.batch_size,
        seed=recipe.seed,
        workers=options.feed_workers(),
        device=options.torch_device(),
        shuffle=False,
        drop_last=False,
    )


class Predictor:
    """The networks of a recipe, one on each device, that take the weights of one file after the other.

    `metadata` is that of the feed's cache; see `metadata_of`.
    """

    def __init__(
        self,
        competition: Competition,
        recipe: Recipe,
        devices: Sequence[torch.device],
        metadata: torch.Tensor | None,
    ) -> None:
        columns = 0 if metadata is None else metadata.shape[1]
        self.competition, self.recipe, self.metadata = competition, recipe, metadata
        self.views = views(recipe.tta)
        self.networks = []
        for device in devices:
            network = build(recipe, all_outputs_of(recipe, competition), weights=False, metadata=columns)
            self.networks.append((network.to(device, memory_format=torch.channels_last), device))
        self.replicas: list[Replica] = []

    def load(self, file: Path) -> None:
        state = read_weights(file)
        gallery = {name: state.pop(name) for name in list(state) if name.startswith("gallery.")}
        task, classes = self.competition.task, len(self.competition.classes)
        self.replicas = []
        for network, device in self.networks:
            network.load_weights(state)
            here = {name: tensor.to(device) for name, tensor in gallery.items()}
            act = partial(activate, recipe=self.recipe, task=task, classes=classes, gallery=here)
            metadata = None if self.metadata is None else self.metadata.to(device)
            self.replicas.append(Replica(network, device, act, metadata))

    def __call__(self, feed: Feed, most_views: int | None = None, progress: Progress | None = None) -> np.ndarray:
        """The predictions of the weights that were loaded last, (n,) or (n, K), averaged over the recipe's views, or
        the first `most_views` of them."""
        return outputs_of_replicas(self.replicas, feed, self.views[:most_views], progress)


def predict_members(
    competition: Competition,
    recipe: Recipe,
    weights: Sequence[Path],
    feed: Feed,
    devices: Sequence[torch.device],
    what: str,
    metadata: torch.Tensor | None,
) -> np.ndarray:
    """One prediction for each weights file, averaged over the recipe's views: (members, n) or (members, n, K)."""
    predictor, members = Predictor(competition, recipe, devices, metadata), []
    with Progress(len(weights) * len(feed.rows), what) as progress:
        for file in weights:
            predictor.load(file)
            members.append(predictor(feed, progress=progress))
    return np.stack(members)


def devices_of(options: Options) -> list[torch.device]:
    """Every GPU of this machine, or its CPU."""
    device = options.torch_device()
    if device.type != "cuda":
        return [device]
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


def predict_test(
    competition: Competition, run: Run, test: pd.DataFrame, options: Options, part: str = "test"
) -> pd.DataFrame:
    """`test.parquet` of a run, or that of another `part` of the data: `id`, `member` (one a fold and checkpoint), its
    `fold`, outputs. Kept unless the images changed.

    Raises:
        UserError: a test image cannot be read (also with `--skip-bad`: a submission needs
            every row).
    """
    file, images = run.folder / f"{part}.parquet", fingerprint(competition, test)
    if file.is_file() and run.about.get(part) == images and not options.again:
        return read_table(file)
    recipe = run.recipe
    cache, _ = prepared(competition, test.assign(source=part), recipe, replace(options, skip_bad=False))
    weights, devices = run.weights(), devices_of(options)
    with evaluation_feed(cache, np.arange(len(test)), recipe, options) as feed:
        files, metadata = [file for _, file in weights], metadata_of(competition, recipe, test, devices[0])
        start = time.monotonic()
        outputs = predict_members(competition, recipe, files, feed, devices, f"predict {run.id}", metadata)
        seconds = time.monotonic() - start
    pace = f"{1000 * seconds / max(len(test), 1):.1f} s per 1,000 images"
    print(
        f"predict {run.id}: {len(test):,} images by {len(files)} networks in {clock(seconds)}, {pace}", file=sys.stderr
    )
    parts = [to_table(test["id"], part, member=member, fold=weights[member][0]) for member, part in enumerate(outputs)]
    table = pd.concat(parts, ignore_index=True)
    run.update(**{part: None})  # a kill between the two must not leave old predictions under a new name
    write_table(file, table)
    run.update(**{part: images})
    return table


def members_of(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The ids (n,) and the outputs (members, n) or (members, n, K) of a test table."""
    parts = [part for _, part in table.groupby("member")]
    return parts[0]["id"].to_numpy(), np.stack([from_table(part) for part in parts])


def to_table(ids: Sequence[str], outputs: np.ndarray, **columns) -> pd.DataFrame:
    """`id`, the extra columns, and `output` for (n,) or `p0`, `p1`, … for (n, K)."""
    if outputs.ndim == 1:
        return pd.DataFrame({"id": ids, **columns, "output": outputs})
    return pd.DataFrame({"id": ids, **columns, **{f"p{k}": outputs[:, k] for k in range(outputs.shape[1])}})


def from_table(table: pd.DataFrame) -> np.ndarray:
    """The outputs of `to_table`: (n,) or (n, K)."""
    if "output" in table:
        return table["output"].to_numpy()
    columns = [name for name in table if name[0] == "p" and name[1:].isdigit()]
    if not columns:
        raise UserError(f"a prediction table needs `output` or `p0`, `p1`, …; found {', '.join(table)}")
    return table[sorted(columns, key=lambda name: int(name[1:]))].to_numpy()
