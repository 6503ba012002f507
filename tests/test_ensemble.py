"""Ensembles: every combination is an ordinary run, and their blend is one too."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.ensemble import members_to_train
from common.errors import UserError
from common.predict import from_table
from common.recipe import Recipe
from common.run import all_runs, find_run
from competitions.__main__ import run as command
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

QUICK = RECIPE.with_fields(epochs=1, loss="smooth_l1", decision="thresholds")


def outcome(*words: str) -> tuple[int, str, str]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = command(list(words))
    return code, out.getvalue(), error.getvalue()


def test_every_combination_is_a_member():
    members = members_to_train(Recipe(backbone="a", seed=7), ["a", "b"], [384, 512], [])
    assert [(member.backbone, member.input_size, member.seed) for member in members] == [
        ("a", 384, 7),
        ("a", 512, 7),
        ("b", 384, 7),
        ("b", 512, 7),
    ]


@pytest.mark.parametrize(
    ("recipe", "choices", "complaint"),
    [
        (Recipe(), ([], [], []), "two different runs or more"),
        (Recipe(), (["resnet50"], [256], []), "two different runs or more"),
        (Recipe(), ([], [], [1, 1]), "two different runs or more"),
        (Recipe(), ([], [256, 8], []), "input_size"),
        (Recipe(split="all"), ([], [], [0, 1]), "holds nothing out"),
        (Recipe(only_folds=(0,)), ([], [], [0, 1]), "other seeds hold out other images"),
    ],
)
def test_what_cannot_be_blended_is_known_before_anything_is_trained(recipe, choices, complaint):
    with pytest.raises(UserError, match=complaint):
        members_to_train(recipe, *choices)


def test_one_command_trains_the_members_once_and_blends_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = write_small_aptos(tmp_path / "raw", n=40)
    settings = ("--data", str(raw), "--workers", "0", "--device", "cpu")
    words = ["aptos", "ensemble", *settings, *fields_as_words(QUICK), "--input-sizes", "32", "40", "--seeds", "0", "1"]
    code, told, error = outcome(*words)
    assert code == 0, error
    members, blended = told.splitlines()[:-1], told.splitlines()[-1]
    assert len(members) == 4
    assert all("quadratic_weighted_kappa" in line for line in [*members, blended])
    _, again, error = outcome(*words)
    assert again == told
    assert error.count("is finished already") == 4

    root = Path("runs")
    blend = find_run(root, "aptos", blended.split()[1])
    runs = [run for run in all_runs(root, "aptos") if run.id != blend.id]
    assert {(run.recipe.input_size, run.recipe.seed) for run in runs} == {(32, 0), (32, 1), (40, 0), (40, 1)}
    tables = [pd.read_parquet(run.folder / "out_of_fold.parquet").set_index("id") for run in runs]
    together = pd.read_parquet(blend.folder / "out_of_fold.parquet")
    assert any((table["fold"].loc[together["id"]] != together["fold"].to_numpy()).any() for table in tables)
    mean = np.mean([table["output"].loc[together["id"]] for table in tables], axis=0)
    np.testing.assert_allclose(from_table(together), mean, rtol=1e-6)

    code, told, error = outcome("aptos", "predict", *settings, "--run", blend.id)
    assert code == 0, error
    assert "12 test images predicted" in told


def test_the_suspicious_labels_of_a_run_are_listed_with_their_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = write_small_aptos(tmp_path / "raw", n=40)
    settings = ("--data", str(raw), "--workers", "0", "--device", "cpu")
    _, told, _ = outcome("aptos", "train", *settings, *fields_as_words(QUICK))
    run = told.split()[1].rstrip(":")
    code, told, error = outcome("aptos", "suspects", "--run", run, "--top", "5", "--data", str(raw))
    assert code == 0, error
    lines = told.splitlines()
    assert len(lines) == 7
    assert lines[0].split() == ["id", "label", "predicted", "suspicion"]
    table = pd.read_csv(lines[-1].split()[-1], dtype={"id": str})
    assert list(table) == ["id", "path", "label", "predicted", "suspicion"]
    assert len(table) == 40
    assert all(Path(path).is_file() for path in table["path"])
    other = write_small_aptos(tmp_path / "other", n=40)
    labels = (other / "train.csv").read_text()
    (other / "train.csv").write_text(labels.replace("000000000000,0", "000000000000,1"))
    code, _, error = outcome("aptos", "suspects", "--run", run, "--data", str(other))
    assert code == 2
    assert "was trained on other data" in error
