"""Training: bit-identical after a kill, whatever the workers; found again when finished; losses and schedules."""

import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from common.data import read_data
from common.errors import UserError
from common.metrics import quadratic_weighted_kappa
from common.options import Options
from common.outputs import activate, outputs_of, targets_of
from common.recipe import Recipe
from common.run import all_runs, find_run
from common.train import fold as fold_module
from common.train import session as session_module
from common.train import train
from common.train.losses import loss_function
from common.train.optim import learning_rate_at, optimizer_of
from competitions import load
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

ROOT = Path(__file__).resolve().parents[1]
APTOS = load("aptos")
REGRESSION = RECIPE.with_fields(loss="smooth_l1", decision="thresholds")


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def options(tmp_path: Path, **fields) -> Options:
    return Options(**{"workers": 0, "device": "cpu", "cache": tmp_path / "cache", "runs": tmp_path / "runs", **fields})


def run_recipe(raw: Path, recipe: Recipe, opts: Options):
    return train(APTOS, recipe, read_data(APTOS, APTOS.read_train(raw), recipe), opts)


def weights_of(run) -> dict[str, torch.Tensor]:
    return {
        f"{file.parent.name}/{file.name}/{name}": value
        for file in sorted(run.folder.glob("fold-*/weights-*.safetensors"))
        for name, value in load_file(file).items()
    }


def assert_same_run(one, two) -> None:
    first, second = weights_of(one), weights_of(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    tables = [pd.read_parquet(run.folder / "out_of_fold.parquet") for run in (one, two)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert one.metrics == two.metrics


class Stopped(BaseException):
    """Stands for a kill inside the process: nothing catches it."""


def stopped(*_) -> None:
    raise Stopped


def stop_after(steps: int, monkeypatch) -> None:
    """Make the training loop stop dead before step number `steps`."""
    step = fold_module.Fold.train_step
    left = iter(range(steps))

    def train_step(self, *batch):
        if next(left, None) is None:
            raise Stopped
        step(self, *batch)

    monkeypatch.setattr(fold_module.Fold, "train_step", train_step)


def test_a_run_learns_and_leaves_a_readable_folder(raw, tmp_path):
    run = run_recipe(raw, REGRESSION.with_fields(epochs=8, checkpoints=2, tta="flip"), options(tmp_path))
    assert run.metrics["score"] > 0.5
    low, high = run.metrics["interval"]
    assert low <= run.metrics["score"] <= high
    table = pd.read_parquet(run.folder / "out_of_fold.parquet")
    assert list(table) == ["id", "fold", "label", "output"]
    assert len(table) == 60
    assert set(table["fold"]) == {0, 1}
    for fold in ("fold-0", "fold-1"):
        curve = pd.read_csv(run.folder / fold / "curve.csv")
        assert list(curve["epoch"]) == list(range(1, 9))
        kept = {int(file.stem.split("-")[1]) for file in (run.folder / fold).glob("weights-*.safetensors")}
        assert kept == set(curve.sort_values(["score", "epoch"], ascending=[False, True])["epoch"].head(2))
        assert list((run.folder / fold / "tensorboard").iterdir())
        assert not (run.folder / fold / "last.state").exists()


def test_with_shuffled_labels_the_reported_score_is_chance_although_thresholds_fitted_on_it_do_better(tmp_path):
    raw = write_small_aptos(tmp_path / "aptos", n=150)
    labels = pd.read_csv(raw / "train.csv", dtype={"id_code": str})
    labels["diagnosis"] = np.random.default_rng(0).permutation(labels["diagnosis"])
    labels.to_csv(raw / "train.csv", index=False)
    run = run_recipe(raw, REGRESSION, options(tmp_path))
    table = pd.read_parquet(run.folder / "out_of_fold.parquet")
    fitted = np.searchsorted(run.metrics["rule"]["cuts"], table["output"], side="right")
    assert abs(run.metrics["score"]) < 0.2
    assert quadratic_weighted_kappa(table["label"], fitted) > run.metrics["score"]


def test_a_finished_run_is_found_and_again_makes_another_with_the_same_bits(raw, tmp_path):
    first = run_recipe(raw, RECIPE, options(tmp_path))
    before = (first.folder / "metrics.json").stat().st_mtime_ns
    assert run_recipe(raw, RECIPE, options(tmp_path)).folder == first.folder
    assert (first.folder / "metrics.json").stat().st_mtime_ns == before
    again = run_recipe(raw, RECIPE, options(tmp_path, again=True))
    assert again.id == f"{first.id}-2"
    assert_same_run(first, again)


def test_another_field_or_other_data_is_another_run(raw, tmp_path):
    few = RECIPE.with_fields(epochs=1)
    ids = {run_recipe(raw, few, options(tmp_path)).id, run_recipe(raw, few.with_fields(seed=1), options(tmp_path)).id}
    other = write_small_aptos(tmp_path / "other", n=50)
    ids.add(run_recipe(other, few, options(tmp_path)).id)
    assert len(ids) == 3


@pytest.mark.parametrize("steps", [0, 2, 3, 7, 11, 17])
def test_a_run_stopped_at_any_step_continues_to_the_same_bits(raw, tmp_path, monkeypatch, steps):
    recipe = RECIPE.with_fields(ema=0.9, mixup=0.4, cutmix=1.0, drop_rate=0.2, clip_gradient=1.0)
    whole = run_recipe(raw, recipe, options(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Stopped):
            run_recipe(raw, recipe, options(tmp_path / "stopped", state_every=0 if steps % 2 else 120))
    assert not all_runs(tmp_path / "stopped" / "runs", "aptos")[0].finished
    assert_same_run(whole, run_recipe(raw, recipe, options(tmp_path / "stopped")))


def test_a_run_stopped_when_a_fold_is_done_leaves_nothing_that_is_not_kept(raw, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(session_module.Session, "remove_what_is_not_kept", stopped)
        with pytest.raises(Stopped):
            run_recipe(raw, RECIPE, options(tmp_path, state_every=0))
    assert list(tmp_path.rglob("last.state"))
    run = run_recipe(raw, RECIPE, options(tmp_path))
    assert not list(tmp_path.rglob("last.state"))
    assert sorted(run.folder.glob("fold-*/weights-*")) == sorted(file for _, file in run.weights())


def test_a_watch_stops_a_run_after_an_epoch_and_without_it_the_run_goes_on_to_the_same_bits(raw, tmp_path):
    recipe, told = RECIPE.with_fields(ema=0.9, drop_rate=0.2), []
    whole = run_recipe(raw, recipe, options(tmp_path / "whole"))
    data = read_data(APTOS, APTOS.read_train(raw), recipe)

    def stop_at(fold: int, epoch: int):
        def watch(*now) -> bool:
            told.append(now)
            return now[:2] == (fold, epoch)

        told.clear()
        return train(APTOS, recipe, data, options(tmp_path / "stopped"), watch)

    def epochs() -> list[tuple[int, int]]:
        return [now[:2] for now in told]

    run = stop_at(0, 1)
    assert (run.id, run.finished, epochs()) == (whole.id, False, [(0, 1)])
    assert told[0][2] == pd.read_csv(run.folder / "fold-0" / "curve.csv")["score"][0]
    assert (run.folder / "fold-0" / "last.state").is_file()
    stop_at(0, 1)
    assert epochs() == [(0, 1)], "what is trained already is told, and stops the same way"
    stop_at(0, 3)
    assert epochs() == [(0, 1), (0, 2), (0, 3)]
    assert not (run.folder / "fold-0" / "done").exists()
    stop_at(1, 2)
    assert epochs() == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    assert_same_run(whole, run_recipe(raw, recipe, options(tmp_path / "stopped")))


def test_a_damaged_state_is_not_used(raw, tmp_path, monkeypatch):
    whole = run_recipe(raw, RECIPE, options(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Stopped):
            run_recipe(raw, RECIPE, options(tmp_path / "stopped", state_every=0))
    (state,) = (tmp_path / "stopped" / "runs").rglob("last.state")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert_same_run(whole, run_recipe(raw, RECIPE, options(tmp_path / "stopped")))


def test_the_number_of_workers_changes_nothing(raw, tmp_path):
    recipe = RECIPE.with_fields(augment="heavy", epochs=2)
    none = run_recipe(raw, recipe, options(tmp_path / "none"))
    assert_same_run(none, run_recipe(raw, recipe, options(tmp_path / "two", workers=2)))


def train_command(raw: Path, folder: Path, recipe: Recipe) -> list[str]:
    words = [sys.executable, "-m", "competitions", "aptos", "train", "--data", str(raw), "--state-every", "0"]
    folders = ["--cache", str(folder / "cache"), "--runs", str(folder / "runs")]
    return words + folders + fields_as_words(recipe)


def test_sigkill_at_random_moments_then_the_same_command_gives_the_same_bits(raw, tmp_path):
    recipe = REGRESSION.with_fields(epochs=15)
    whole = run_recipe(raw, recipe, options(tmp_path / "whole", workers=1))
    command, kills = train_command(raw, tmp_path / "killed", recipe), 0
    moments = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and not list((tmp_path / "killed").rglob("fold-*")):
            time.sleep(0.05)
        time.sleep(moments.uniform(0.1, 1.0))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert_same_run(whole, find_run(tmp_path / "killed" / "runs", "aptos", whole.id))


def test_two_processes_do_not_train_the_same_run_at_once(raw, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        with pytest.raises(Stopped):
            run_recipe(raw, RECIPE, options(tmp_path))
    (run,) = all_runs(tmp_path / "runs", "aptos")
    with run.lock(), pytest.raises(UserError, match="worked on by another process"):
        run_recipe(raw, RECIPE, options(tmp_path))


def test_patience_ends_a_fold_early(raw, tmp_path):
    recipe = RECIPE.with_fields(epochs=30, patience=2, optimizer="sgd", learning_rate=1e-12, only_folds=(0,))
    run = run_recipe(raw, recipe, options(tmp_path))
    assert len(pd.read_csv(run.folder / "fold-0" / "curve.csv")) == 3


def test_split_all_trains_on_everything_and_claims_no_score(raw, tmp_path):
    run = run_recipe(raw, RECIPE.with_fields(split="all", epochs=1), options(tmp_path))
    assert run.metrics["score"] is None
    assert not (run.folder / "out_of_fold.parquet").exists()
    assert len(list(run.folder.glob("fold-0/weights-*.safetensors"))) == 1


def test_thresholds_without_held_out_rows_are_refused(raw, tmp_path):
    with pytest.raises(UserError, match="fitted on held-out rows"):
        run_recipe(raw, REGRESSION.with_fields(split="all"), options(tmp_path))


def test_a_bad_image_is_named_and_skip_bad_leaves_it_out_and_says_so(raw, tmp_path):
    copy = write_small_aptos(tmp_path / "aptos")
    bad = copy / "train_images" / f"{7:012x}.png"
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(UserError, match=f"{7:012x}"):
        run_recipe(copy, RECIPE.with_fields(epochs=1), options(tmp_path))
    run = run_recipe(copy, RECIPE.with_fields(epochs=1), options(tmp_path, skip_bad=True))
    assert [entry[0] for entry in run.about["skipped"]] == [f"{7:012x}"]
    assert len(pd.read_parquet(run.folder / "out_of_fold.parquet")) == 59


def test_external_rows_are_trained_on_and_never_validated_on(raw, tmp_path):
    external = tmp_path / "2015"
    external.mkdir()
    source = pd.read_csv(raw / "train.csv", dtype=str).head(10)
    labels = pd.DataFrame(
        {"image": [f"{i}_left" for i in range(9)] + [source["id_code"][9]], "level": source["diagnosis"]}
    )
    labels.to_csv(external / "trainLabels.csv", index=False)
    for name, code in zip(labels["image"], source["id_code"], strict=True):
        (external / f"{name}.png").write_bytes((raw / "train_images" / f"{code}.png").read_bytes())
    recipe = RECIPE.with_fields(external=str(external), epochs=1)
    data = read_data(APTOS, APTOS.read_train(raw), recipe)
    added = data.table[data.table["source"] == "external"]
    assert len(added) == 9, "the row whose id is a training row's is left out"
    for fold in data.folds:
        assert set(added.index) <= set(data.train_rows(fold))
        assert not set(added.index) & set(data.valid_rows(fold))
    run = train(APTOS, recipe, data, options(tmp_path))
    assert len(pd.read_parquet(run.folder / "out_of_fold.parquet")) == 60


# Losses, outputs and schedules


def test_the_focal_loss_quietens_easy_examples_as_its_paper_says():
    outputs, targets = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [1.0]])
    p = outputs.sigmoid()
    expected = (-((1 - p) ** 2) * p.log()).mean()
    torch.testing.assert_close(loss_function(Recipe(loss="focal"))(outputs, targets), expected)


@pytest.mark.parametrize(("loss", "distance"), [("l1", 1.5), ("mse", 2.25), ("smooth_l1", 1.0)])
def test_regression_losses_measure_the_distance_in_grades(loss, distance):
    recipe = Recipe(loss=loss, decision="round")
    targets = targets_of(np.array([3]), recipe, "ordinal", 5)
    assert loss_function(recipe)(torch.tensor([[1.5]]), targets).item() == pytest.approx(distance)


@pytest.mark.parametrize(
    ("loss", "task", "classes", "outputs"),
    [
        ("cross_entropy", "ordinal", 5, 5),
        ("bce", "binary", 2, 1),
        ("cross_entropy", "binary", 2, 2),
        ("bce", "ordinal", 5, 5),
    ],
)
def test_probabilities_are_probabilities(loss, task, classes, outputs):
    recipe = Recipe(loss=loss)
    assert outputs_of(recipe, task, classes) == outputs
    probabilities = activate(torch.randn(6, outputs), recipe, task, classes, {})
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    if task == "binary":
        assert probabilities.shape == (6,)
    else:
        torch.testing.assert_close(probabilities.sum(1), torch.ones(6))


def test_cosine_warms_up_and_falls_to_nothing():
    rate = learning_rate_at(Recipe(learning_rate=1.0, epochs=10, warmup_epochs=1), steps_per_epoch=10)
    rates = [rate(step) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] < 1e-3


def test_steps_divide_by_ten_at_their_epochs():
    rate = learning_rate_at(Recipe(learning_rate=1.0, schedule="step", step_epochs=(15, 20, 25)), steps_per_epoch=2)
    assert [rate(2 * epoch) for epoch in (0, 14, 15, 20, 29)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])


def test_onecycle_rises_and_falls_as_torchs_own():
    recipe = Recipe(learning_rate=0.1, schedule="onecycle", epochs=4)
    rate = learning_rate_at(recipe, steps_per_epoch=25)
    peak = max(range(100), key=rate)
    assert peak == 30
    assert rate(0) == pytest.approx(0.1 / 25)
    assert rate(peak) == pytest.approx(0.1)
    assert math.isclose(rate(100), 0.1 / 250_000, rel_tol=1e-6)


def test_the_papers_decay_is_divided_by_the_learning_rate():
    recipe = Recipe(learning_rate=1e-3, weight_decay=1e-4, decay_over_learning_rate=True)
    assert optimizer_of(torch.nn.Linear(1, 1), recipe).defaults["weight_decay"] == pytest.approx(0.1)
