"""Nothing is trained on what it is scored on: for every competition, and for everything that is fitted."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import common.sample
from common.competition import Competition
from common.copies import same_content
from common.data import image_files, read_data
from common.predict import predict_test
from common.recipe import Recipe
from common.rows import training_data
from common.train import train
from competitions import load, names
from competitions.sources import arena, in_folder
from tests.leaks import shared_by_both_sides, with_copies, with_labels
from tests.small_data import RECIPE, write_small_aptos
from tests.test_train import options, weights_of

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real tables are not beside this checkout")
SPLITS = [Recipe(folds=2), Recipe(folds=5), Recipe(folds=5, seed=3), Recipe(split="paper")]
APTOS = load("aptos")


def written_only(folder: Path, _: str, drawings, tables) -> None:
    """Sample data with the names of its files in place of their pictures."""
    for path, _draw in drawings:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    for path, table in tables.items():
        table.to_csv(folder / path, index=False)


@pytest.fixture(scope="session")
def sampled(tmp_path_factory):
    """Name of a competition → the folder of its sample data, without pictures."""
    root = tmp_path_factory.mktemp("samples")

    def folder_of(name: str) -> Path:
        if not (root / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(common.sample, "_fill", written_only)
                load(name).make_sample(root / name, 0)
        return root / name

    return folder_of


def assert_no_leak(competition: Competition, train_table: pd.DataFrame, recipe: Recipe) -> None:
    data = read_data(competition, train_table, recipe)
    columns = ("id", "path", "group", "content") if recipe.split == "folds" else ("id", "path")
    times = np.zeros(len(data.table), dtype=int)
    for fold in data.folds:
        assert shared_by_both_sides(data, fold, columns) == {}
        assert len(data.valid_rows(fold)) > 0
        times[data.valid_rows(fold)] += 1
    assert (times == 1).all() if recipe.split == "folds" else times.any()


@pytest.mark.parametrize("name", names())
def test_no_id_image_or_group_is_on_both_sides_of_a_split(sampled, name):
    competition = load(name)
    table = competition.read_train(sampled(name))
    for recipe in SPLITS:
        assert_no_leak(competition, table, recipe)


@pytest.mark.parametrize("name", names())
def test_neither_a_fold_nor_the_practice_test_set_is_scored_on_a_copy_of_what_is_trained_on(
    sampled, name, tmp_path, monkeypatch
):
    """The downloads have copies under other names: that of melanoma 434, some of them with another patient."""
    shutil.copytree(sampled(name), tmp_path / "raw")
    competition = load(name)
    table = competition.read_train(tmp_path / "raw")
    files = image_files(competition, table)
    whole = read_data(competition, table, Recipe(folds=3))
    for one in range(0, 20, 2):
        for source, copy in zip(files[one], files[one + 1], strict=True):
            shutil.copyfile(source, copy)
    data = read_data(competition, table, Recipe(folds=3))
    apart = data.table["fold"].to_numpy()[0:20:2] != data.table["fold"].to_numpy()[1:21:2]
    assert data.table["fold"].equals(whole.table["fold"])
    left_out = 0
    for fold in data.folds:
        assert shared_by_both_sides(data, fold, ("content",)) == {}
        left_out += len(whole.train_rows(fold)) - len(data.train_rows(fold))
    assert left_out == 2 * apart.sum() > 0
    monkeypatch.chdir(tmp_path)
    practice = arena(in_folder(competition, tmp_path / "raw"))
    if not competition.labelled_test:
        both = pd.concat([practice.train.assign(side=0), practice.test().assign(side=1)])
        sides = both["side"].groupby(same_content(image_files(competition, both))).nunique()
        assert (sides == 1).all()
        assert len(both) < len(table)


@pytest.mark.parametrize("name", names())
def test_nothing_that_the_test_sets_hold_is_trained_on(sampled, name, tmp_path, monkeypatch):
    """Neither the competition's own nor that of the practice leaderboard, which may be a fifth of the training rows."""
    monkeypatch.chdir(tmp_path)
    competition = load(name)
    own = in_folder(competition, sampled(name))
    held_out = arena(own)
    for place in (own, held_out):
        if not place.has_test:
            continue
        train, test = place.train, place.test()
        for column in {"id", "path", "group"} & set(train) & set(test):
            if column != "group" or (place is held_out and not competition.labelled_test):
                assert not set(train[column]) & set(test[column])


@pytest.mark.parametrize("name", names())
def test_external_rows_are_never_validated_and_bring_no_known_id_or_group(sampled, name):
    competition, raw = with_copies(load(name)), sampled(name)
    table = competition.read_train(raw)
    test = competition.read_test(raw) if competition.read_test else None
    data = read_data(competition, table, Recipe(folds=3, external=str(raw)), test)
    external = data.table[data.table["source"] == "external"]
    assert len(external) == len(table)
    assert (external["fold"] == -1).all()
    for column in {"id", "group"} & set(table):
        assert not set(external[column]) & set(table[column])
    if test is not None:
        assert not set(external["id"]) & set(test["id"])
    for fold in data.folds:
        assert shared_by_both_sides(data, fold, ("id", "group")) == {}


@pytest.mark.torture
@needs_shared
@pytest.mark.parametrize(
    ("name", "table", "images"),
    [
        ("melanoma", "siim_train.csv", "jpeg/train"),
        ("cassava", "cassava_train.csv", "train_images"),
        ("hpa", "hpa_train.csv", "train"),
    ],
)
def test_the_real_tables_are_split_without_a_leak_too(tmp_path, name, table, images):
    (tmp_path / images).mkdir(parents=True)
    (tmp_path / "train.csv").symlink_to(SHARED / "labels" / table)
    competition = load(name)
    assert_no_leak(competition, competition.read_train(tmp_path), Recipe(folds=5))


def test_the_labels_of_the_held_out_rows_change_no_weight_no_prediction_and_no_pseudo_label(tmp_path):
    """Of one epoch: of several, the held-out rows choose which is kept."""
    raw = write_small_aptos(tmp_path / "aptos")
    validates = np.arange(60) % 3 == 0
    fixed = replace(APTOS, paper_split=lambda table: validates)
    other = with_labels(fixed, lambda table: np.where(validates, 4 - table["label"], table["label"]))
    recipe = RECIPE.with_fields(split="paper", epochs=1, class_balance=0.5, head_init="prior", decision="thresholds")
    runs = []
    for competition in (fixed, other):
        opts = options(tmp_path / str(len(runs)))
        table, test = competition.read_train(raw), competition.read_test(raw)
        teacher = train(competition, recipe, training_data(competition, table, recipe, opts, test), opts)
        student = recipe.with_fields(pseudo=teacher.id)
        data = training_data(competition, table, student, opts, test)
        runs.append(
            (teacher, predict_test(competition, teacher, test, opts), data, train(competition, student, data, opts))
        )
    (teacher, predicted, data, student), (its_like, again, same, too) = runs
    assert teacher.fingerprint != its_like.fingerprint
    assert teacher.metrics["score"] != its_like.metrics["score"]
    pd.testing.assert_frame_equal(predicted, again, check_exact=True)
    np.testing.assert_array_equal(data.soft[0].predictions, same.soft[0].predictions)
    for one, two in ((teacher, its_like), (student, too)):
        first, second = weights_of(one), weights_of(two)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
