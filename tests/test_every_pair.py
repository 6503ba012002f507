"""Every verb of every recipe of every competition, on its sample data: a tiny network in place of the recipe's, one
epoch at 32 pixels, and everything else as the recipe has it."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from common.ablation import variants
from common.errors import UserError
from competitions import load, names
from competitions.__main__ import VERBS, run
from competitions.arguments import parse_recipe

pytestmark = pytest.mark.slow

TINY = (
    *("--backbone", "test_resnet", "--weights", "none", "--input-size", "32", "--epochs", "1"),
    *("--learning-rate", "1e-3", "--warmup-epochs", "0", "--batch-size", "32", "--folds", "2", "--workers", "0"),
)
WITH_SAMPLE_DATA = [name for name in names() if load(name).make_sample]
RECIPES = [(name, recipe) for name in WITH_SAMPLE_DATA for recipe in load(name).recipes]


@pytest.fixture(scope="module", autouse=True)
def workspace(tmp_path_factory):
    """One folder for all, so that caches, runs and sample data are made once."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("every-pair")
    patch = pytest.MonkeyPatch()
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "PRACTICE_URL"):
        patch.delenv(name, raising=False)
    patch.setenv("HOME", str(folder))
    os.chdir(folder)
    yield
    os.chdir(before)
    patch.undo()


@pytest.fixture
def command(capsys):
    """`command(words, …)` → standard output of the command line, which must succeed; with `fails` its error line."""

    def go(*words: str, fails: bool = False) -> str:
        capsys.readouterr()
        code = run([*map(str, words)])
        said = capsys.readouterr()
        assert code == (2 if fails else 0), said.err
        return said.err.strip().splitlines()[-1] if fails else said.out

    return go


def tiny(name: str, recipe: str) -> tuple[str, ...]:
    fields = load(name).recipes[recipe]
    return ("--recipe", recipe, "--data", "sample", *TINY, "--clip-gradient", "1", *unlearnt(fields))


def unlearnt(recipe) -> tuple[str, ...]:
    """The tiny network has no stochastic depth to speak of; one epoch has no second checkpoint."""
    fields = ["--drop-path", "0"]
    if recipe.average == "weights" or recipe.checkpoints > 1:
        fields += ["--checkpoints", "1", "--average", "predictions"]
    return (*fields, "--step-epochs", "1") if recipe.schedule == "step" else tuple(fields)


def run_of(command, name: str, recipe: str, *fields: str) -> str:
    return re.search(r"run (\S+):", command(name, "train", *tiny(name, recipe), *fields)).group(1)


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_prepare(command, name, recipe):
    assert "train: " in command(name, "prepare", *tiny(name, recipe))


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_show_augment(command, name, recipe):
    picture = command(name, "show-augment", *tiny(name, recipe)).split()[-1]
    assert Path(picture).stat().st_size > 10_000


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_train_and_runs(command, name, recipe):
    said = command(name, "train", *tiny(name, recipe))
    assert said.startswith("sample data: run ")
    assert re.search(r"(?:0\.\d{4}|-0\.\d{4}|1\.0000) \(95% interval", said)
    assert run_of(command, name, recipe) in command(name, "runs")


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_embed_and_probe(command, name, recipe):
    embedded = command(name, "embed", *tiny(name, recipe))
    table = pd.read_parquet(Path(embedded.split()[-1]) / "train.parquet")
    assert {"id", "label", "fold", "e0"} <= set(table)
    if load(name).recipes[recipe].loss == "arcface":
        assert "arcface" in command(name, "probe", *tiny(name, recipe), fails=True)
        return
    assert load(name).metric in command(name, "probe", *tiny(name, recipe))


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_predict(command, name, recipe):
    words = (name, "predict", *tiny(name, recipe))
    if load(name).read_test is None:
        assert "no test set" in command(*words, fails=True)
        return
    said = command(*words)
    table = pd.read_parquet(re.search(r"(\S+test\.parquet)", said).group(1))
    assert table.drop(columns=["id", "member", "fold"]).notna().all().all()


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_submit_and_ledger(command, name, recipe):
    line = command(name, "submit", *tiny(name, recipe)).strip().splitlines()[-1]
    assert line.startswith(f"practice: {name} submission")
    assert line.endswith("(sample data)")
    assert "practice" in command(name, "ledger")


@pytest.mark.parametrize("name", ["aptos", "melanoma"])
def test_kernel(command, name):
    """A notebook takes its time, and is the same for all recipes: one of each way to submit."""
    said = command(name, "kernel", *tiny(name, "sample"), "--seed", "5")
    run_id = re.search(r"sample data: run (\w+): ", said).group(1)
    assert run_id == run_of(command, name, "sample", "--seed", "5"), "as if it had been trained here"
    assert "trains" not in command(name, "kernel", *tiny(name, "sample"), "--seed", "5"), "it is here"


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_blend_and_ensemble(command, name, recipe):
    seeds = ("--seeds", "0", "1")
    ensemble = command(name, "ensemble", *tiny(name, recipe), *seeds).strip().splitlines()[-1]
    ids = [run_of(command, name, recipe), run_of(command, name, recipe, "--seed", "1")]
    assert "of 2 runs" in ensemble
    blend = command(name, "blend", "--of", *ids)
    assert re.search(r"run (blend-\w+)", blend).group(1) in ensemble


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_suspects(command, name, recipe):
    table = pd.read_csv(
        command(name, "suspects", "--run", run_of(command, name, recipe), "--data", "sample").split()[-1]
    )
    assert table["suspicion"].is_monotonic_decreasing
    assert table["path"].map(os.path.exists).all()


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_report(command, name, recipe):
    run = run_of(command, name, recipe, "--input-size", "64")  # of 32 pixels the network makes one place, and no map
    page = Path(command(name, "report", "--run", run, "--data", "sample").split()[0])
    text, task, loss = page.read_text(), load(name).task, load(name).recipes[recipe].loss
    assert '<span class="mark">sample data</span>' in text
    maps = 'alt="where the network looked' in text
    assert maps != ("There are no maps" in text)
    if loss == "arcface":
        assert not maps
    elif task in ("multiclass", "multilabel"):  # where there is one output, nothing may speak for it after one epoch
        assert maps
    assert page.stat().st_size < 5e6


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_ablate(command, name, recipe):
    words = (name, "ablate", *tiny(name, recipe), "--seeds", "1")
    try:
        on, _ = variants(load(name), parse_recipe(load(name), "train", list(tiny(name, recipe))).recipe, ())
    except UserError:
        assert "no intervention on" in command(*words, fails=True)
        return
    named = [intervention for intervention in ("tta", "ema", *on) if intervention in on][:2]
    said = command(*words, "--of", *named)
    assert all(f"without {intervention}" in said for intervention in named)


@pytest.mark.parametrize("name", WITH_SAMPLE_DATA)
def test_tune(command, name):
    said = command(name, "tune", *tiny(name, "sample"), "--trials", "2", "--pruner", "none")
    assert re.search(r"2 complete", said), said
    assert command(name, "train", "--recipe", re.search(r"\S+best\.json", said)[0], "--data", "sample")


@pytest.mark.parametrize("name", WITH_SAMPLE_DATA)
def test_download(command, name):
    if not load(name).slug:
        assert "no Kaggle competition" in command(name, "download", "--leaderboard", "practice", fails=True)
        return
    assert "sample data" in command(name, "download", "--leaderboard", "practice")


def test_no_verb_is_forgotten():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {verb.replace("-", "_") for verb in VERBS} <= {verb for name in tested for verb in name.split("_and_")}
