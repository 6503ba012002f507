"""How long a prediction will take, measured on a few batches: a notebook on Kaggle has nine hours for all of it."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from common.competition import Competition
from common.data import prepared
from common.errors import UserError
from common.models.build import build
from common.options import Options
from common.outputs import all_outputs_of
from common.predict import Predictor, devices_of, evaluation_feed, metadata_of
from common.progress import clock
from common.recipe import Recipe
from common.run import Run
from common.views import views

BATCHES = 4
NOTEBOOK_HOURS = 9


@dataclass(frozen=True)
class Estimate:
    """Seconds that the prediction of a run, or of a recipe not trained yet, takes: `reading` an image (decoded and
    resized, once), each network's `looking` at it in all its `views`, and the `loading` of a network. `measured`: on
    how many images; `device`: on a CPU or a GPU."""

    reading: float
    looking: float
    loading: float
    networks: int
    views: int
    measured: int
    device: str

    def seconds(self, images: int) -> float:
        return self.networks * self.loading + images * (self.reading + self.networks * self.looking)

    def __str__(self) -> str:
        return (
            f"{1000 * self.reading:.1f} s per 1,000 images to read, {1000 * self.looking:.1f} s a network "
            f"(networks: {self.networks}, views: {self.views}); measured on {self.measured} images"
        )


def estimate(
    competition: Competition, recipe: Recipe, test: pd.DataFrame, options: Options, run: Run | None = None
) -> Estimate:
    """Measured on the first images of a test table with the first network of the run; without a run with one that is
    not trained, which takes as long.

    Raises:
        UserError: an image cannot be read; or the recipe's predictions need what only training leaves.
    """
    some = test.head(BATCHES * (recipe.micro_batch or recipe.batch_size)).reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        here = replace(options, cache=Path(folder) / "cache", skip_bad=False)
        start = time.monotonic()
        cache, _ = prepared(competition, some.assign(source="test"), recipe, here)
        reading = (time.monotonic() - start) / len(some)
        devices = devices_of(options)
        predictor = Predictor(competition, recipe, devices, metadata_of(competition, recipe, some, devices[0]))
        file = run.weights()[0][1] if run else untrained(competition, recipe, predictor, Path(folder))
        start = time.monotonic()
        predictor.load(file)
        loading = time.monotonic() - start
        with evaluation_feed(cache, np.arange(len(some)), recipe, options) as feed:
            predictor(feed, most_views=1)  # the feed's processes start, the device chooses its algorithms
            start = time.monotonic()
            predictor(feed)
            looking = (time.monotonic() - start) / len(some)
    networks = len(run.weights()) if run else networks_of(recipe)
    device = "GPU" if devices[0].type == "cuda" else "CPU"
    return Estimate(reading, looking, loading, networks, len(views(recipe.tta)), len(some), device)


def untrained(competition: Competition, recipe: Recipe, predictor: Predictor, folder: Path) -> Path:
    """The weights of a network that is not trained."""
    if recipe.loss == "arcface":
        raise UserError("loss 'arcface' compares with its training images: train it, then estimate with --run")
    columns = 0 if predictor.metadata is None else predictor.metadata.shape[1]
    network = build(recipe, all_outputs_of(recipe, competition), weights=False, metadata=columns)
    save_file(network.weights(), folder / "untrained.safetensors")
    return folder / "untrained.safetensors"


def networks_of(recipe: Recipe) -> int:
    """How many networks a run of the recipe ends with: one a fold and checkpoint."""
    folds = len(recipe.only_folds) or recipe.folds if recipe.split == "folds" else 1
    return folds * (1 if recipe.average == "weights" else recipe.checkpoints)


def in_words(estimates: Sequence[Estimate], images: int) -> list[str]:
    """What was measured, a line a run, and what it means for so many images and for a notebook."""
    seconds = sum(one.seconds(images) for one in estimates)
    each = seconds / images
    room = NOTEBOOK_HOURS * 3600 / each
    return [
        *map(str, estimates),
        f"{images:,} images: {clock(seconds)} on this {estimates[0].device}, {1000 * each:.1f} s per 1,000 images; "
        f"{NOTEBOOK_HOURS} hours have room for {room:,.0f}",
    ]
