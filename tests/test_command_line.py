"""The command line as a user meets it: help at once, one-line errors with exit code 2, the whole way to a score."""

import contextlib
import io
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.run import all_runs
from competitions import load, names
from competitions.__main__ import VERBS, run
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

ROOT = Path(__file__).resolve().parents[1]
REGRESSION = RECIPE.with_fields(loss="smooth_l1", decision="thresholds", tta="flips", epochs=8)


SECRETS = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "PRACTICE_URL")


def command(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`python -m competitions …` as its own process in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole = [sys.executable, "-m", "competitions", *words]
    return subprocess.run(whole, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def succeed(*words: str) -> str:
    """What the command prints; in this process, since importing torch anew takes longer than most commands."""
    code, out, error = outcome(*words)
    assert code == 0, error
    return out


def fail(*words: str) -> str:
    """The one line that a failing command says, after whatever progress it told."""
    code, _, error = outcome(*words)
    assert code == 2, error
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def outcome(*words: str) -> tuple[int, str, str]:
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = run(list(words))
    return code, out.getvalue(), error.getvalue()


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    """An empty working folder and home, and nothing in the environment that stands for an account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_small_aptos(folder / "data" / "aptos", n=75)
    return folder


@pytest.fixture
def world(shared_world, no_account, monkeypatch) -> Path:
    """The working folder: it holds data/aptos, and what earlier tests left in cache/, runs/ and submissions/."""
    monkeypatch.chdir(shared_world)
    return shared_world


def test_help_names_every_verb_and_answers_in_half_a_second(tmp_path):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = command(tmp_path, "--help")
        seconds.append(time.perf_counter() - start)
    text = done.stdout
    assert all(verb in text for verb in VERBS)
    assert ", ".join(names()) in text
    assert min(seconds) < 0.5


def test_help_of_a_verb_explains_every_field_of_the_recipe(tmp_path):
    done = command(tmp_path, "aptos", "train", "--help")
    assert done.returncode == 0
    text = done.stdout
    assert all(f"--{name.replace('_', '-')}" in text for name in RECIPE.to_dict())
    assert "GeM with a learned exponent" in re.sub(r"\s*│\s*\n\s*│\s*", " ", text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["apots", "train"], "no competition 'apots' (did you mean 'aptos'?)"),
        (["aptos", "trian"], "no verb 'trian' (did you mean 'train'?)"),
        (["aptos", "train", "--recipe", "papre"], "no 'papre' (did you mean 'paper'?)"),
        (["aptos", "train", "--lr", "3"], "error: there is no option --lr"),
        (["aptos", "train", "--learning-rat", "3"], "--learning-rat (did you mean '--learning-rate'?)"),
        (["aptos", "train", "--learning-rat=3", "--lr", "3"], "no option --learning-rat (did you mean"),
        (["aptos", "suspects", "--run", "X", "--backbone", "Y", "--epochs", "3"], "no option --backbone; --help"),
        (["aptos", "train", "--loss", "hinge"], "invalid choice 'hinge' for argument '--loss'"),
        (["aptos", "train", "--weight-decay", "-1"], "weight_decay: Input should be greater than or equal to 0"),
        (["aptos", "train", "--batch-size", "ten"], "--batch-size"),
        (["aptos", "train", "--recipe"], "--recipe wants a value"),
        (["aptos", "train"], "accept the rules at https://www.kaggle.com/competitions/aptos2019-blindness-detection"),
        (["melanoma", "submit"], "make melanoma-download"),
        (["aptos", "train", "--data", "nowhere"], "no data of aptos in nowhere"),
        (["aptos", "submit", "--data", "sample", "--leaderboard", "kaggle"], "practice leaderboard alone"),
        (["aptos", "submit", "--leaderboard", "kagle"], "--leaderboard takes kaggle or practice"),
        (["aptos", "blend", "--of", "a"], "no run 'a' in runs/aptos; `make aptos-runs` lists them"),
        (["aptos", "blend", "--of", "a", " "], "no run 'a'"),
        (["aptos", "blend", "--of", " "], "the id of a run is blank; `make aptos-runs` lists them"),
        (["aptos", "train", "--device", "cuda"], "no data of aptos"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(words, said):
    assert said in fail(*words)


def test_a_run_of_another_competition_is_said_to_be_one(tmp_path):
    (tmp_path / "runs" / "melanoma" / "abc").mkdir(parents=True)
    (tmp_path / "runs" / "melanoma" / "abc" / "run.json").write_text("{}")
    assert "no run 'abc' in runs/aptos; it is a run of melanoma" in fail("aptos", "blend", "--of", "abc")


def test_a_mistake_ends_the_process_with_code_2_and_nothing_else(tmp_path):
    done = command(tmp_path, "aptos", "train", "--loss", "hinge")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: invalid choice 'hinge'")
    assert done.stderr.count("\n") == 1


def test_from_raw_data_to_a_practice_score_and_never_the_same_bytes_twice(world):
    words = ["aptos", "submit", *fields_as_words(REGRESSION)]
    first = succeed(*words)
    line = first.strip().splitlines()[-1]
    assert line.startswith("practice: aptos submission")
    assert line.endswith("(practice test set)")
    assert "no Kaggle credentials" in first
    (csv,) = (world / "submissions" / "aptos").glob("*.csv")
    table = pd.read_csv(csv)
    assert list(table) == ["id_code", "diagnosis"]
    assert len(table) == 15, "a fifth of the training images plays the test set"
    manifest = pd.read_json(csv.with_suffix(".json"), typ="series")
    assert {"run", "recipe", "data", "cv", "sha256"} <= set(manifest.index)

    second = succeed(*words)
    assert "is submission" not in second, "nothing was sent"
    assert "sent before" in second
    assert second.strip().splitlines()[-1] == line
    with sqlite3.connect(world / "submissions" / "ledger.sqlite") as ledger:
        rows = ledger.execute("SELECT leaderboard, state, public_score FROM submissions").fetchall()
    assert len(rows) == 1
    assert rows[0][:2] == ("practice", "scored")
    assert "practice" in succeed("aptos", "ledger")


def test_without_a_recipe_the_best_finished_run_is_submitted(world):
    succeed("aptos", "submit", *fields_as_words(REGRESSION))
    weaker = REGRESSION.with_fields(learning_rate=1e-9)
    succeed("aptos", "submit", *fields_as_words(weaker))
    runs = succeed("aptos", "runs")
    assert runs.count("finished") == 2
    for csv in (world / "submissions" / "aptos").glob("*.csv"):
        csv.unlink()
    succeed("aptos", "submit")
    best = max(re.findall(r"([0-9a-f]{12}) +(-?[0-9.]+)", runs), key=lambda found: float(found[1]))[0]
    assert [csv.stem for csv in (world / "submissions" / "aptos").glob("*.csv")] == [best]


def test_the_held_out_practice_images_are_not_trained_on(world):
    succeed("aptos", "submit", *fields_as_words(REGRESSION))
    (submission, *_) = (world / "submissions" / "aptos").glob("*.csv")
    held_out = set(pd.read_csv(submission, dtype=str)["id_code"])
    trained = pd.read_parquet(world / "runs" / "aptos" / submission.stem / "out_of_fold.parquet")["id"]
    assert not held_out & set(trained)
    assert len(trained) == 60


def test_a_run_that_saw_the_practice_test_set_is_not_submitted_to_it(world):
    trained = succeed("aptos", "train", *fields_as_words(RECIPE.with_fields(epochs=1)))
    run_id = re.search(r"run (\w+):", trained).group(1)
    said = fail("aptos", "submit", "--run", run_id, "--leaderboard", "practice")
    assert f"run {run_id} was trained on other data" in said


def test_a_switch_alone_is_enough_to_train_again(world):
    words = ["aptos", "train", *fields_as_words(RECIPE.with_fields(epochs=1))]
    first = re.search(r"run (\w+):", succeed(*words)).group(1)
    assert f"run {first}-2:" in succeed(*words, "--again")
    assert f"run {first}-2:" in succeed(*words)


def test_a_truncated_test_image_is_told_before_anything_is_trained(world):
    raw = write_small_aptos(world / "cut")
    bad = next((raw / "test_images").iterdir())
    bad.write_bytes(bad.read_bytes()[:60])
    said = fail("aptos", "predict", "--data", "cut", *fields_as_words(RECIPE.with_fields(epochs=3, seed=9)))
    assert str(bad) in said
    assert not any(run.recipe.seed == 9 for run in all_runs(world / "runs", "aptos"))


def test_sample_data_are_known_for_what_they_are_after_a_download(tmp_path):
    out = succeed("aptos", "download", "--leaderboard", "practice")
    assert out.strip().splitlines()[-1] == "sample data: aptos is in data/aptos-practice"
    assert "sample data: train: 600 images" in succeed(
        "aptos", "prepare", "--data", "data/aptos-practice", "--input-size", "32", "--recipe", "sample"
    )


def test_runs_are_blended_into_a_run_that_can_be_submitted(world):
    for seed in (0, 1):
        succeed("aptos", "submit", *fields_as_words(REGRESSION.with_fields(seed=seed)))
    csvs = [path for path in (world / "submissions" / "aptos").glob("*.csv") if not path.stem.startswith("blend")]
    finished = [path.stem for path in sorted(csvs, key=lambda path: path.stat().st_mtime)[-2:]]
    out = succeed("aptos", "blend", "--of", *finished[:2], "--how", "mean", "--by", "2", "1")
    blend = re.search(r"run (blend-\w+)", out).group(1)
    succeed("aptos", "submit", "--run", blend)
    assert len(pd.read_csv(world / "submissions" / "aptos" / f"{blend}.csv")) == 15
    one, two, both = (
        pd.read_parquet(world / "runs" / "aptos" / name / "test.parquet") for name in (*finished[:2], blend)
    )
    mean = (2 * one.groupby("id")["output"].mean() + two.groupby("id")["output"].mean()) / 3
    np.testing.assert_allclose(both.set_index("id")["output"], mean[both["id"]], rtol=1e-5)


def test_predictions_of_a_run_have_one_row_an_image_and_member(world):
    words = fields_as_words(RECIPE.with_fields(epochs=2, checkpoints=2))
    succeed("aptos", "train", *words)
    out = succeed("aptos", "predict", *words)
    table = pd.read_parquet(re.search(r"in (\S+\.parquet)", out).group(1))
    assert list(table) == ["id", "member", "fold", "p0", "p1", "p2", "p3", "p4"]
    assert len(table) == 12 * 2 * 2, "12 test images, 2 folds, 2 checkpoints each"
    assert table.filter(like="p").sum(axis=1).sub(1).abs().max() < 1e-5


def test_prepare_and_show_augment_leave_their_files(world):
    assert "train: 75 images ready for 32 px" in succeed("aptos", "prepare", "--input-size", "32")
    out = succeed("aptos", "show-augment", "--input-size", "64")
    assert Path(world / re.search(r"(\S+\.png)", out).group(1)).stat().st_size > 10_000


def test_a_practice_server_that_is_not_there_is_one_line(world, monkeypatch):
    monkeypatch.setenv("PRACTICE_URL", "http://127.0.0.1:9")
    words = ["aptos", "submit", *fields_as_words(REGRESSION.with_fields(seed=7, epochs=1))]
    said = fail(*words)
    assert "127.0.0.1:9" in said
    assert "make practice" in said


def test_a_cache_that_cannot_be_written_is_one_line(world):
    (world / "taken").write_text("a file where a folder should be")
    assert "taken" in fail("aptos", "prepare", "--cache", "taken/cache")


def test_a_truncated_image_is_named(world):
    raw = write_small_aptos(world / "broken")
    bad = raw / "train_images" / f"{3:012x}.png"
    bad.write_bytes(bad.read_bytes()[:50])
    assert str(bad) in fail("aptos", "train", "--data", "broken", *fields_as_words(RECIPE))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if load(name).make_sample])
def test_sample_data_go_the_whole_way(name):
    """What `make demo` runs, for every competition: the small recipe does better than guessing a class evenly, and its
    score is called practice."""
    line = succeed(name, "submit", "--data", "sample").strip().splitlines()[-1]
    assert line.startswith(f"practice: {name} submission")
    assert line.endswith("(sample data)")
    scores = [float(score) for score in re.findall(r"(?:cv|public|private) ([0-9.]+)", line)]
    assert len(scores) == 3
    assert min(scores) > 1.2 / len(load(name).classes)
