"""Numbers that can be trusted: nothing that is not finite is trained on or kept, and the same numbers come again
whatever the workers, the order of commands or of files."""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from common.data import Data, read_data
from common.errors import UserError
from common.files import sha256_of_file
from common.models.build import build
from common.outputs import activate
from common.predict import predict_test
from common.run import Run, all_runs
from common.train import fold as fold_module
from common.train import train
from common.train.checkpoint import load_state
from common.train.finite import STOPPED
from common.train.fold import Fold
from common.train.losses import loss_function
from competitions import load
from competitions.__main__ import run as command
from tests.small_data import RECIPE, fields_as_words, write_small_aptos
from tests.test_probe import feed_of, pictures
from tests.test_train import APTOS, assert_same_run, options, run_recipe, weights_of

WILD = RECIPE.with_fields(optimizer="sgd", learning_rate=1e30, schedule="constant", loss="mse", decision="round")
QUICK = RECIPE.with_fields(epochs=2, only_folds=(0,))


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


# What is not finite


@pytest.fixture
def batches(monkeypatch) -> list[list[int]]:
    """The rows of every batch that is trained on from here on."""
    seen, step = [], Fold.train_step

    def train_step(self, images, rows):
        seen.append(rows.tolist())
        step(self, images, rows)

    monkeypatch.setattr(Fold, "train_step", train_step)
    return seen


def stopped_with(call) -> str:
    with pytest.raises(UserError) as stopped:
        call()
    return str(stopped.value)


def command_line(*words: str) -> tuple[int, str]:
    """Exit code and the last line of what it says."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = command(list(words))
    return code, said.getvalue().strip().splitlines()[-1]


def test_a_training_that_diverges_ends_with_code_2_and_the_step_its_rate_and_its_images(raw, tmp_path, batches):
    folders = ("--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs"), "--workers", "0")
    words = ("aptos", "train", "--data", str(raw), "--state-every", "0", *folders, *fields_as_words(WILD))
    code, said = command_line(*words)
    assert code == 2
    step = len(batches)
    ids = APTOS.read_train(raw)["id"][batches[-1]].tolist()
    assert said.startswith(f"error: fold-0, epoch 1, step {step} of 3: the ")
    assert said.endswith(
        f"at learning rate 1e+30 on the images {', '.join(ids)}; lower --learning-rate (now 1e+30) or set "
        "--clip-gradient 1"
    )
    assert command_line(*words) == (2, said), "the same command again ends with the same line"
    (run,) = all_runs(tmp_path / "runs", "aptos")
    about = json.loads((run.folder / "fold-0" / STOPPED).read_text())
    assert (about["epoch"], about["step"], about["ids"]) == (1, step, ids)


@pytest.mark.parametrize("state_every", [0, 1e9])
def test_the_last_good_state_is_kept_and_a_mended_recipe_is_another_run(raw, tmp_path, state_every):
    opts = options(tmp_path, state_every=state_every)
    said = stopped_with(partial(run_recipe, raw, WILD, opts))
    (stopped,) = all_runs(tmp_path / "runs", "aptos")
    state = load_state(stopped.folder / "fold-0" / "last.state", torch.device("cpu"))
    if state_every == 0:
        assert state["step"] >= 1
        assert all(value.isfinite().all() for value in state["network"].values())
    assert not weights_of(stopped)
    assert stopped_with(partial(run_recipe, raw, WILD, options(tmp_path))) == said
    mended = run_recipe(raw, WILD.with_fields(learning_rate=1e-3, epochs=1), opts)
    assert mended.finished
    assert mended.id != stopped.id
    assert not (mended.folder / "fold-0" / STOPPED).exists()


def test_metadata_of_one_row_that_are_not_numbers_are_named_with_their_image(raw, tmp_path, batches):
    wrong = f"{17:012x}"

    def told(table: pd.DataFrame) -> np.ndarray:
        return np.where(table["id"] == wrong, np.nan, 0.5).astype(np.float32)[:, None]

    blind, recipe = replace(APTOS, read_metadata=told), QUICK.with_fields(metadata=True, split="all", only_folds=())
    said = stopped_with(lambda: train(blind, recipe, data_of(raw, recipe), options(tmp_path)))
    assert f"what is known of {wrong} (label, metadata) is not finite itself: mend it" in said
    (step,) = (number for number, rows in enumerate(batches, 1) if 17 in rows)
    assert f"epoch 1, step {step} of 7: the loss is nan" in said


def data_of(raw: Path, recipe) -> Data:
    return read_data(APTOS, APTOS.read_train(raw), recipe)


def fold_on(folder: Path, targets: torch.Tensor, loss=None, **settings) -> Fold:
    """A fold on the small pictures, in 5 batches of 8 an epoch, with nothing held out."""
    recipe = RECIPE.with_fields(augment="none", learning_rate=1e-3, schedule="constant")
    cache, _ = pictures()
    torch.manual_seed(0)
    act = partial(activate, recipe=recipe, task="multiclass", classes=4)
    folder.mkdir(exist_ok=True)
    loss = loss or loss_function(recipe)
    return Fold(build(recipe, 4), recipe, feed_of(cache), targets, folder, torch.device("cpu"), loss, act, **settings)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_target_that_is_not_finite_is_named_with_its_row(tmp_path, value):
    _, targets = pictures()
    targets[29, 2] = value
    said = stopped_with(fold_on(tmp_path / "fold-3", targets, ids=[f"image {i}" for i in range(40)]).run)
    batch = next(step for step, rows in enumerate(feed_of(pictures()[0]).rows_of(0), 1) if 29 in rows)
    assert said.startswith(f"fold-3, epoch 1, step {batch} of 5: the loss is ")
    assert "what is known of image 29 (label, metadata) is not finite itself" in said


def root_of_targets(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Finite everywhere; its gradient is not where all targets are 0."""
    return (outputs.abs() * targets).sum().sqrt()


@pytest.mark.parametrize("state_every", [0, 1e9])
def test_a_gradient_that_is_not_finite_is_told_of_the_batch_that_it_came_from(tmp_path, state_every):
    targets, rows = torch.ones(40, 4), feed_of(pictures()[0]).rows_of(0)[2]
    targets[rows] = 0
    fold = fold_on(tmp_path / "fold-0", targets, root_of_targets, state_every=state_every)
    said = stopped_with(fold.run)
    assert "epoch 1, step 3 of 5: the gradient is not finite" in said
    assert f"on the images {', '.join(map(str, rows))}; lower" in said
    if state_every == 0:
        assert load_state(tmp_path / "fold-0" / "last.state", torch.device("cpu"))["step"] == 2


def test_a_step_that_is_not_finite_is_told_soon_and_not_only_when_the_epoch_ends(tmp_path, monkeypatch, batches):
    monkeypatch.setattr(fold_module, "LOOK_EVERY", 0)
    targets = torch.ones(40, 4)
    targets[feed_of(pictures()[0]).rows_of(0)[1]] = 0
    stopped_with(fold_on(tmp_path / "fold-0", targets, root_of_targets).run)
    assert len(batches) == 2


def test_weights_ruined_by_the_very_last_step_are_not_kept(raw, tmp_path):
    recipe = WILD.with_fields(learning_rate=3e38, split="all", epochs=1, batch_size=60)
    said = stopped_with(partial(run_recipe, raw, recipe, options(tmp_path)))
    assert said.startswith("fold-0, epoch 1 ended with weights or outputs that are not finite; lower --learning-rate")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_long_batch_is_cut_in_the_line_and_whole_in_its_file(tmp_path):
    feed, (_, targets) = feed_of(pictures()[0]), pictures()
    feed.batch_size = 40
    fold = fold_on(tmp_path / "fold-0", targets, root_of_targets)
    fold.steps.feed = feed
    said = str(fold.steps.gone_astray(0, 0, math.nan))
    assert f"… and 20 more (all in {tmp_path / 'fold-0' / STOPPED})" in said
    assert sorted(json.loads((tmp_path / "fold-0" / STOPPED).read_text())["ids"]) == list(range(40))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_no_step_waits_for_the_device_to_know_whether_it_is_finite(tmp_path):
    _, targets = pictures()
    fold = fold_on(tmp_path / "fold-0", targets)
    loss, norm = torch.ones((), device="cuda"), torch.ones((), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        fold.steps.note(loss, norm)
    finally:
        torch.cuda.set_sync_debug_mode("default")


# The same numbers again


@pytest.mark.parametrize(("feed", "workers"), [("workers", 1), ("device", 1), ("device", 2)])
def test_a_run_has_the_same_bits_whatever_the_workers_of_its_feed(raw, tmp_path, feed, workers):
    recipe = QUICK.with_fields(epochs=1, augment="heavy", mixup=0.2, class_balance=0.5)
    none = run_recipe(raw, recipe, options(tmp_path / "none", feed=feed))
    assert_same_run(none, run_recipe(raw, recipe, options(tmp_path / "some", feed=feed, workers=workers)))


def test_a_prediction_has_the_same_bits_whatever_the_workers(raw, tmp_path):
    run = run_recipe(raw, QUICK, options(tmp_path))
    tables = [
        predict_test(APTOS, run, APTOS.read_test(raw), options(tmp_path, workers=workers, again=True))
        for workers in (0, 1, 2)
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], table, check_exact=True)


def test_the_order_of_commands_changes_nothing(raw, tmp_path):
    """Training draws from the seed alone, not from what was drawn before it in the same process."""
    once = QUICK.with_fields(epochs=1)
    first, second = once.with_fields(drop_rate=0.2, mixup=0.4), once.with_fields(seed=1, ema=0.9)
    one = [run_recipe(raw, recipe, options(tmp_path / "one")) for recipe in (first, second)]
    predicted = predict_test(APTOS, one[0], APTOS.read_test(raw), options(tmp_path / "one"))
    torch.manual_seed(12345)
    np.random.seed(12345)  # noqa: NPY002
    other = [run_recipe(raw, recipe, options(tmp_path / "other")) for recipe in (second, first)]
    again = predict_test(APTOS, other[1], APTOS.read_test(raw), options(tmp_path / "other"))
    assert_same_run(one[0], other[1])
    assert_same_run(one[1], other[0])
    pd.testing.assert_frame_equal(predicted, again, check_exact=True)


@pytest.mark.parametrize(("name", "below"), [("cifar10", "train"), ("eurosat", "2750")])
def test_the_order_in_which_files_came_into_a_folder_changes_nothing(tmp_path, name, below):
    competition, tables = load(name), []
    files = [f"{below}/{label}/{label}_{i}.jpg" for label in competition.classes for i in range(12)]
    for number, order in enumerate((files, files[::-1], sorted(files, key=hash))):
        for file in order:
            (tmp_path / str(number) / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(number) / file).touch()
        tables.append(competition.read_train(tmp_path / str(number)).drop(columns="path"))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])


@pytest.mark.torture
def test_processes_that_hash_and_count_differently_write_the_same_bits(raw, tmp_path, say):
    """The order of Python's sets and dicts of text differs from process to process unless a seed is set."""
    recipe, digests = QUICK.with_fields(augment="heavy", class_balance=0.5), set()
    for hash_seed, workers in (("0", "0"), ("1", "1"), ("2", "2"), ("random", "2")):
        folder = tmp_path / f"{hash_seed}-{workers}"
        folders = ["--cache", str(folder / "cache"), "--runs", str(folder / "runs"), "--workers", workers]
        words = [sys.executable, "-m", "competitions", "aptos", "train", "--data", str(raw), "--device", "cpu"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
        subprocess.run(words + folders + fields_as_words(recipe), env=environment, check=True, capture_output=True)
        (run,) = all_runs(folder / "runs", "aptos")
        digests.add(digest_of(run))
    assert len(digests) == 1
    say("4 processes with other hash seeds and workers: 1 set of weights, predictions and metrics")


def digest_of(run: Run) -> tuple[str, ...]:
    files = [*sorted(run.folder.rglob("*.safetensors")), *sorted(run.folder.rglob("*.parquet"))]
    return (run.id, *map(sha256_of_file, files), json.dumps(run.metrics, sort_keys=True))
