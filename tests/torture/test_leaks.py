"""Every competition on its sample data: no picture on two sides of a split, and shuffled labels score at chance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.competition import Competition
from common.data import Data, prepared, read_data
from common.duplicates import AT_MOST, distances, hashes, words
from common.metrics import evaluate
from common.options import Options
from common.recipe import Recipe
from common.run import Run
from common.train import train
from common.train.score import decided
from competitions import load, names
from tests.leaks import shared_by_both_sides, shuffled

pytestmark = pytest.mark.torture
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
REAL = {"melanoma": "melanoma", "cct20": "cct20", "eurosat": "eurosat100/rgb"}
TINY = Recipe(
    backbone="test_resnet",
    weights="none",
    input_size=32,
    augment="none",
    learning_rate=1e-2,
    schedule="onecycle",
    batch_size=32,
    epochs=6,
    folds=2,
    class_balance=1.0,
)
PERMUTATIONS, WIDTH = 300, 4
"""Chance is the mean score of permuted labels, give or take 4 of their standard deviations."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("leaks")
    opts = Options(workers=0, device="cpu", cache=root / "cache", runs=root / "runs")

    def of(name: str) -> tuple[Competition, pd.DataFrame, Options]:
        competition, raw = load(name), root / name
        competition.make_sample(raw, 0)
        return competition, competition.read_train(raw), opts

    return of


def recipe_of(competition: Competition) -> Recipe:
    decisions = {"multilabel": "thresholds", "binary": "probability"}
    loss = "bce" if competition.task == "multilabel" else "cross_entropy"
    return TINY.with_fields(decision=decisions.get(competition.task, "argmax"), loss=loss)


def pictures_on_both_sides(competition: Competition, data: Data, opts: Options, size: int) -> tuple[int, int]:
    """How many pictures stand on both sides of some split, bit for bit; and how many have a copy there by their
    perceptual hash."""
    cache, _ = prepared(competition, data.table, TINY.with_fields(input_size=size), opts)
    pixels = pd.Series([hash(cache[row].tobytes()) for row in range(len(cache))])
    near, same = words(hashes(cache)), 0
    copies = 0
    for fold in data.folds:
        train, valid = data.train_rows(fold), data.valid_rows(fold)
        same += len(set(pixels[train]) & set(pixels[valid]))
        copies += int((distances(near[valid], near[train]) <= AT_MOST).any(axis=1).sum())
    return same, copies


@pytest.mark.parametrize("name", names())
def test_no_picture_of_the_sample_data_is_on_both_sides_of_a_split(world, say, name):
    competition, table, opts = world(name)
    for recipe in (Recipe(folds=2), Recipe(split="paper")):
        data = read_data(competition, table, recipe)
        same, copies = pictures_on_both_sides(competition, data, opts, 32)
        say(f"{name} {recipe.split}: {len(data.table)} pictures, {same} on both sides, {copies} alike")
        assert same == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not beside this checkout")
@pytest.mark.parametrize("name", REAL)
def test_no_real_picture_is_on_both_sides_of_a_split(say, tmp_path, name):
    competition = load(name)
    opts = Options(workers=0, device="cpu", cache=tmp_path / "cache", runs=tmp_path / "runs")
    data = read_data(competition, competition.read_train(SHARED / REAL[name]), Recipe(folds=2))
    same, copies = pictures_on_both_sides(competition, data, opts, 64)
    say(f"{name}, real: {len(data.table)} pictures, {same} on both sides, {copies} alike")
    assert same == 0
    for fold in data.folds:
        assert shared_by_both_sides(data, fold, ("id", "group")) == {}


def chance(competition: Competition, run: Run) -> tuple[float, float]:
    """The interval in which scores lie where labels and predictions have nothing to do with each other."""
    labels, values = decided(competition, run.recipe, pd.read_parquet(run.folder / "out_of_fold.parquet"))
    random = np.random.default_rng(0)
    scores = [
        evaluate(competition.metric, random.permutation(labels), values, len(competition.classes))
        for _ in range(PERMUTATIONS)
    ]
    return np.mean(scores) - WIDTH * np.std(scores), np.mean(scores) + WIDTH * np.std(scores)


@pytest.mark.parametrize("name", names())
def test_shuffled_labels_score_at_chance_and_the_true_ones_above(world, say, name):
    competition, table, opts = world(name)
    scores = []
    for of_table in (table.assign(label=shuffled(table)), table):
        recipe = recipe_of(competition)
        run = train(competition, recipe, read_data(competition, of_table, recipe), opts)
        scores.append((run.metrics["score"], *chance(competition, run)))
    (at_chance, low, high), (learnt, _, above) = scores
    say(f"{name}: shuffled {at_chance:.3f} in {low:.3f} to {high:.3f}; true labels {learnt:.3f} above {above:.3f}")
    assert low - 1e-9 <= at_chance <= high + 1e-9
    assert learnt > above
