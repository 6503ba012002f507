"""Several processes at one training, over gloo on the CPU: the result of one, one writer, and one error for all."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from common import launch
from common.errors import UserError
from common.recipe import Recipe
from common.run import Run, all_runs
from common.train import ranks
from common.train.fold import Fold
from common.train.gradients import LossOf
from competitions.__main__ import run
from tests.several import Ended, together
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

ROOT = Path(__file__).resolve().parents[1]
PLAIN = RECIPE.with_fields(backbone="test_vit", optimizer="sgd", only_folds=(0,), epochs=2, tta="flip")
"""Without batch normalization, whose statistics are those of a process's share on a CPU."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def command(raw: Path, folder: Path, recipe: Recipe, *more: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    where = ["--cache", str(folder / "cache"), "--runs", str(folder / "runs"), "--device", "cpu", "--workers", "0"]
    return ["aptos", "train", "--data", str(raw), *where, "--state-every", "0", *fields_as_words(recipe), *more]


def alone(raw: Path, folder: Path, recipe: Recipe) -> Run:
    assert run(command(raw, folder, recipe)) == 0
    return the_run(folder)


def by_two(raw: Path, folder: Path, recipe: Recipe, **how) -> Ended:
    return together(command(raw, folder, recipe), folder, **how)


def the_run(folder: Path) -> Run:
    (found,) = all_runs(folder / "runs", "aptos")
    return found


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    (file,) = run.folder.glob("fold-0/weights-*.safetensors")
    return load_file(file)


def outputs_of(run: Run) -> np.ndarray:
    return pd.read_parquet(run.folder / "out_of_fold.parquet").filter(regex=r"p\d").to_numpy()


def curve_of(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.folder / "fold-0" / "curve.csv")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"micro_batch": 4, "batch_size": 16},
        {"batch_size": 7, "ema": 0.9, "clip_gradient": 1.0, "class_balance": 0.5},
        {"checkpoints": 2, "average": "weights", "probe_share": 0.5, "epochs": 4},
    ],
)
def test_two_processes_train_what_one_does_to_within_rounding(raw, tmp_path, changes):
    recipe = PLAIN.with_fields(**changes)
    one = alone(raw, tmp_path / "one", recipe)
    said = by_two(raw, tmp_path / "two", recipe)
    assert said.exit_code == 0, said.err
    two = the_run(tmp_path / "two")
    assert two.id == one.id
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(two)[name], value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs_of(two), outputs_of(one), atol=1e-4)
    pd.testing.assert_frame_equal(
        curve_of(two)[["epoch", "learning_rate", "train_loss", "score"]],
        curve_of(one)[["epoch", "learning_rate", "train_loss", "score"]],
        rtol=1e-4,
    )
    assert two.metrics["score"] == pytest.approx(one.metrics["score"], abs=1e-6)


def test_compiled_they_train_the_same(raw, tmp_path):
    recipe = PLAIN.with_fields(micro_batch=4, epochs=1)
    one = alone(raw, tmp_path / "one", recipe)

    def without_code_generation(rank: int) -> None:
        torch.compile = partial(torch.compile, backend="eager")

    words = command(raw, tmp_path / "two", recipe, "--compile", "on")
    said = together(words, tmp_path / "two", first=without_code_generation)
    assert said.exit_code == 0, said.err
    assert said.err.count("train fold-0: compiling the network") == 1
    assert "without torch.compile" not in said.err
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(the_run(tmp_path / "two"))[name], value, rtol=1e-4, atol=1e-5)


def test_the_first_process_alone_writes_and_speaks(raw, tmp_path):
    said = by_two(raw, tmp_path, PLAIN)
    assert said.out.count("quadratic_weighted_kappa") == 1
    assert said.err.count("images to train on") == 1
    fold = the_run(tmp_path).folder / "fold-0"
    assert sorted(file.name for file in fold.iterdir() if file.suffix not in (".safetensors",)) == [
        "curve.csv",
        "done",
        "out_of_fold.parquet",
        "tensorboard",
    ]
    assert len(list((fold / "tensorboard").iterdir())) == len(curve_of(the_run(tmp_path))), "one file an epoch"


def test_batch_normalization_on_a_cpu_is_over_a_process_s_share_and_the_first_one_s_is_kept(raw, tmp_path):
    recipe = PLAIN.with_fields(backbone="test_resnet")
    assert by_two(raw, tmp_path / "a", recipe).exit_code == 0
    assert by_two(raw, tmp_path / "b", recipe).exit_code == 0
    first, second = (weights_of(the_run(tmp_path / name)) for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first), "and the same every time"


def test_an_error_of_all_is_told_once_with_exit_code_2(raw, tmp_path):
    wild = PLAIN.with_fields(learning_rate=1e30, schedule="constant", loss="mse", decision="round")
    said = by_two(raw, tmp_path, wild)
    assert said.exit_code == 2
    assert said.err.count("error:") == 1
    assert "lower --learning-rate" in said.err


def test_an_error_of_one_ends_all(raw, tmp_path):
    def second_runs_out_of_memory(rank: int) -> None:
        forward = LossOf.forward

        def allocate(self, inputs, targets, beside):
            if rank == 1 and len(inputs) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(self, inputs, targets, beside)

        LossOf.forward = allocate

    said = by_two(raw, tmp_path, PLAIN, first=second_runs_out_of_memory)
    assert said.exit_code == 75, "which tells the launcher to start again"
    assert said.err.count("error:") == 1
    assert "memory ran out; the same command goes on with 4 images at a time" in said.err
    said = by_two(raw, tmp_path, PLAIN, first=second_runs_out_of_memory)
    assert said.exit_code == 0, said.err
    assert the_run(tmp_path).about["micro_batch"] == 4


def test_a_killed_process_ends_all_and_the_same_command_goes_on_to_the_same_bits(raw, tmp_path):
    recipe = PLAIN.with_fields(epochs=6)
    assert by_two(raw, tmp_path / "whole", recipe).exit_code == 0

    def in_the_fourth_epoch() -> bool:
        curve = next((tmp_path / "killed").rglob("curve.csv"), None)
        return curve is not None and len(curve.read_text().splitlines()) > 3

    said = by_two(raw, tmp_path / "killed", recipe, kill=in_the_fourth_epoch)
    assert said.exit_code == -9
    assert not the_run(tmp_path / "killed").finished
    assert by_two(raw, tmp_path / "killed", recipe).exit_code == 0
    whole, killed = (weights_of(the_run(tmp_path / name)) for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_one_process_takes_over_what_two_began(raw, tmp_path, monkeypatch):
    recipe = PLAIN.with_fields(epochs=3)
    one = alone(raw, tmp_path / "one", recipe)

    def stop_in_the_second_epoch(rank: int) -> None:
        step = Fold.train_step

        def train_step(self, *batch):
            if self.epoch == 1 and self.step == 2 and rank == 0:
                raise KeyboardInterrupt
            step(self, *batch)

        Fold.train_step = train_step

    said = by_two(raw, tmp_path / "two", recipe, first=stop_in_the_second_epoch)
    assert said.exit_code == 130
    assert said.err.count("stopped; the same command continues") == 1
    resumed = alone(raw, tmp_path / "two", recipe)
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(resumed)[name], value, rtol=1e-4, atol=1e-5)


def test_fewer_images_than_processes_are_refused(monkeypatch):
    monkeypatch.setattr(ranks, "world", lambda: 2)
    ranks.check_enough(8, 30, 0)
    with pytest.raises(UserError, match="1 images for 2 processes; set GPUS to fewer"):
        ranks.check_enough(8, 30, 1)


def test_the_launcher_starts_again_what_gets_further(monkeypatch):
    codes = [75, 75, 2]
    monkeypatch.setattr(launch, "WORKERS_END", 0.0)
    monkeypatch.setattr(launch, "launch", lambda gpus, module, words: codes.pop(0))
    assert launch.run(["2", "competitions", "aptos", "train"]) == 2
    assert codes == []


@pytest.mark.parametrize("words", [[], ["two", "competitions"], ["0", "competitions"], ["2"]])
def test_the_launcher_wants_a_number_of_gpus(words, capsys):
    assert launch.run(words) == 2
    assert "GPUS: a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.slow
def test_the_launcher_gives_one_line_and_the_exit_code(tmp_path):
    words = [sys.executable, "-m", "common.launch", "2", "competitions", "aptos", "train", "--learning-rates", "3"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert said.stderr.splitlines() == [
        "error: there is no option --learning-rates (did you mean '--learning-rate'?); --help lists every field"
    ]
