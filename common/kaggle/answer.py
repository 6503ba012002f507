"""The answer inside a Kaggle notebook: mounted test images → submission.csv, within the hours that Kaggle gives.

The hidden test set is larger than the one a notebook is pushed with, and a notebook that overruns scores nothing. So
the speed is measured on the first images, and what does not fit in the time is left out, and said: views first, then
networks.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.competition import Competition
from common.data import prepared
from common.ensemble import answers, average, members_of_blend
from common.feed import Feed
from common.options import Options
from common.predict import Predictor, devices_of, evaluation_feed, metadata_of, to_table
from common.progress import Progress, clock
from common.run import Run
from common.submission import validate, write

KEPT_BACK = 0.1
"""Share of the hours that is planned to be left at the end."""
MEASURED_BATCHES = 2
"""Batches on each device from which the speed is told."""


@dataclass(frozen=True)
class Part:
    """A run that the answer is made of, with its test images ready, and how long it takes."""

    run: Run
    files: list[Path]
    predictor: Predictor
    cache: object
    plain: float
    """Seconds an image with one view, measured."""
    whole: float
    """Seconds an image with all views, measured."""

    @property
    def views(self) -> int:
        return len(self.predictor.views)

    def seconds(self, views: int) -> float:
        """Expected of one weights file with the first `views` views."""
        further = max(self.whole - self.plain, 0) / max(self.views - 1, 1)
        return len(self.cache) * (self.plain + further * (min(views, self.views) - 1))


def answer(
    competition: Competition,
    run: Run,
    raw: Path,
    csv: Path,
    options: Options,
    hours: float = 9.0,
    started: float | None = None,
    devices: Sequence[torch.device] | None = None,
) -> pd.DataFrame:
    """Predict the test images in `raw` with a run or a blend, whose folder may be read-only, and write `csv`.

    Args:
        options: its `cache` is the folder of the prepared images.
        hours: what Kaggle gives the whole notebook.
        started: `time.monotonic()` when the notebook began; None: now.
        devices: where to predict; None: on all GPUs, or the CPU.

    Returns:
        The submission, as `common.submission.validate` reads it again.

    Raises:
        UserError: a table or an image cannot be read, or the submission does not fit the sample submission.
    """
    began = time.monotonic() if started is None else started
    end = began + hours * 3600 * (1 - KEPT_BACK)
    devices = devices or devices_of(options)
    test = competition.read_test(raw).drop(columns="label", errors="ignore")
    print(f"{len(test):,} test images, {len(devices)} × {devices[0].type}, {hours:g} hours", flush=True)
    runs = members_of_blend(competition, run) if "blend" in run.about else [run]
    parts = [ready(competition, one, test, options, devices) for one in runs]
    views, counts = plan(parts, end - time.monotonic())
    tell(parts, views, counts, time.monotonic() - began)
    outputs = predicted(parts, views, counts, end, options)
    ids, values = answers(run, together(run, test, outputs))
    write(csv, ids, values, competition, raw)
    print(f"{csv} after {clock(time.monotonic() - began)}", flush=True)
    return validate(csv, competition, raw / competition.sample_submission)


def ready(
    competition: Competition, run: Run, test: pd.DataFrame, options: Options, devices: Sequence[torch.device]
) -> Part:
    """The images prepared and the speed measured."""
    recipe, start = run.recipe, time.monotonic()
    cache, _ = prepared(competition, test.assign(source="test"), recipe, options)
    print(f"run {run.id}: images for {recipe.input_size} px in {clock(time.monotonic() - start)}", flush=True)
    files = [file for _, file in run.weights()]
    predictor = Predictor(competition, recipe, devices, metadata_of(competition, recipe, test, devices[0]))
    predictor.load(files[0])
    some = min(len(test), MEASURED_BATCHES * recipe.batch_size * len(devices))
    with evaluation_feed(cache, np.arange(some), recipe, options) as feed:
        predictor(feed, most_views=1)  # starts the workers, and lets libraries choose their kernels
        plain = whole = seconds_an_image(predictor, feed, views=1)
        if len(predictor.views) > 1:
            whole = seconds_an_image(predictor, feed, views=len(predictor.views))
    told = f"{1000 * plain:.1f} s per 1,000 images with one view, {1000 * whole:.1f} s with {len(predictor.views)}"
    print(f"run {run.id}: {recipe.backbone}, {told}", flush=True)
    return Part(run, files, predictor, cache, plain, whole)


def seconds_an_image(predictor: Predictor, feed: Feed, views: int) -> float:
    start = time.monotonic()
    predictor(feed, most_views=views)
    return (time.monotonic() - start) / len(feed.rows)


def plan(parts: Sequence[Part], left: float) -> tuple[int, list[int]]:
    """The number of views, and the number of weights files of each part, that fit into `left` seconds: as many views
    as all files can have; else one view, and as many files as fit, evenly from all parts, one at least."""
    counts = [len(part.files) for part in parts]

    def fits(views: int) -> bool:
        return sum(count * part.seconds(views) for count, part in zip(counts, parts, strict=True)) <= left

    for views in range(max(part.views for part in parts), 0, -1):
        if fits(views):
            return views, counts
    while not fits(1) and sum(counts) > 1:
        largest = max(range(len(parts)), key=lambda place: (counts[place], place))
        counts[largest] -= 1
    return 1, counts


def tell(parts: Sequence[Part], views: int, counts: Sequence[int], elapsed: float) -> None:
    all_views, all_files = max(part.views for part in parts), sum(len(part.files) for part in parts)
    if views < all_views:
        print(f"NOT ENOUGH TIME for everything: {views} of {all_views} views", flush=True)
    if sum(counts) < all_files:
        print(f"NOT ENOUGH TIME for everything: {sum(counts)} of {all_files} weights files", flush=True)
    seconds = sum(count * part.seconds(views) for count, part in zip(counts, parts, strict=True))
    print(f"{sum(counts)} weights files × {views} views, to end after {clock(elapsed + seconds)}", flush=True)


def predicted(
    parts: Sequence[Part], views: int, counts: Sequence[int], end: float, options: Options
) -> dict[str, np.ndarray]:
    """Run id → the outputs of as many of its weights files, (members, n) or (members, n, K). A part stops early, and
    says so, where it takes longer than was measured and would leave no time for one file of each part behind it."""
    outputs = {}
    for place, (part, count) in enumerate(zip(parts, counts, strict=True)):
        behind = sum(parts[later].seconds(views) for later in range(place + 1, len(parts)) if counts[later])
        members, took = [], part.seconds(views)
        with evaluation_feed(part.cache, np.arange(len(part.cache)), part.run.recipe, options) as feed:
            for number, file in enumerate(part.files[:count], start=1):
                if (outputs or members) and time.monotonic() + took + behind > end:
                    print(f"NOT ENOUGH TIME: run {part.run.id} ends with {number - 1} of {count} files", flush=True)
                    break
                start = time.monotonic()
                part.predictor.load(file)
                with Progress(len(part.cache), f"run {part.run.id}, weights {number} of {count}") as progress:
                    members.append(part.predictor(feed, views, progress))
                took = time.monotonic() - start
        if members:
            outputs[part.run.id] = np.stack(members)
    return outputs


def together(run: Run, test: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
    """The table that `common.ensemble.answers` decides: of a run one row an image and member; of a blend the average
    over those runs that were predicted."""
    if blend := run.about.get("blend"):
        by = [weight for run_id, weight in zip(blend["of"], blend["by"], strict=True) if run_id in outputs]
        members = average({**blend, "by": by}, [parts.mean(0) for parts in outputs.values()])[None]
    else:
        members = outputs[run.id]
    return pd.concat([to_table(test["id"], member, member=number) for number, member in enumerate(members)])
