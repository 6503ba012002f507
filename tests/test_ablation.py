"""Ablations: what is turned off, what a difference is worth, and that nothing is trained twice for it."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.ablation import INTERVENTIONS, ablate, as_text, table, variants
from common.data import read_data
from common.errors import UserError
from common.files import read_json, write_json
from common.options import Options
from common.paired import compare
from common.predict import to_table
from common.recipe import Recipe
from common.run import Run, all_runs
from common.train import train
from competitions import load, names
from competitions.__main__ import run as command
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

APTOS, CASSAVA = load("aptos"), load("cassava")
QUICK = RECIPE.with_fields(epochs=1, loss="smooth_l1", decision="thresholds", tta="flips", pooling="gem")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(device="cpu", workers=0, cache=tmp_path / "cache", runs=tmp_path / "runs")


def trained(raw: Path, recipe: Recipe, options: Options) -> Run:
    return train(APTOS, recipe, read_data(APTOS, APTOS.read_train(raw), recipe), options)


def cassava_run(folder: Path, right: np.ndarray, groups: np.ndarray | None = None) -> Run:
    """A finished run of accuracy on five classes that is right about these rows."""
    labels = np.arange(len(right)) % 5
    predicted = np.eye(5)[np.where(right, labels, (labels + 1) % 5)]
    kept = {"label": labels} | ({} if groups is None else {"group": groups})
    folder.mkdir(parents=True)
    held_out = to_table([f"{i:05}" for i in range(len(right))], predicted, fold=0, **kept)
    held_out.to_parquet(folder / "out_of_fold.parquet", index=False)
    write_json(folder / "run.json", {"recipe": Recipe().to_dict()})
    return Run(folder)


def test_only_what_a_recipe_has_on_is_turned_off():
    recipe = Recipe(pooling="gem", ema=0.99, tta="flips", augment="none", input_size=128)
    less, left_out = variants(APTOS, recipe)
    assert list(less) == ["pooling", "ema", "tta"]
    assert left_out == {}
    assert less["ema"] == recipe.with_fields(ema=0)


def test_several_fields_make_one_intervention():
    less, _ = variants(APTOS, Recipe(drop_rate=0.2, drop_path=0.1, checkpoints=3, average="weights"))
    assert less["regularisation"] == Recipe(checkpoints=3, average="weights")
    assert less["checkpoints"] == Recipe(drop_rate=0.2, drop_path=0.1)
    assert less["average"] == Recipe(drop_rate=0.2, drop_path=0.1, checkpoints=3)


@pytest.mark.parametrize(
    ("name", "recipe", "loss", "decision"),
    [
        ("aptos", Recipe(loss="smooth_l1", decision="thresholds"), "cross_entropy", "round"),
        ("hpa", Recipe(loss="focal_lovasz", decision="prevalence", channels=4), "bce", "global"),
        ("melanoma", Recipe(loss="focal", decision="probability"), "cross_entropy", None),
        ("cassava", Recipe(loss="bce", decision="majority"), "cross_entropy", "argmax"),
    ],
)
def test_the_plain_loss_and_the_plain_rule_are_those_of_the_task(name, recipe, loss, decision):
    less, _ = variants(load(name), recipe)
    assert less["loss"] == recipe.with_fields(loss=loss)
    assert less.get("decision") == (decision and recipe.with_fields(decision=decision))


@pytest.mark.parametrize("name", names())
def test_every_intervention_of_every_competition_can_be_turned_off(name):
    competition = load(name)
    for title in {"interventions", "winner"} & set(competition.recipes):
        less, left_out = variants(competition, competition.recipes[title])
        assert len(less) >= 3
        assert left_out == {}


def test_what_cannot_be_turned_off_is_one_line():
    with pytest.raises(UserError, match=r"no intervention 'pooing'.*pooling"):
        variants(APTOS, QUICK, ["pooing"])
    with pytest.raises(UserError, match="the recipe has no 'mixup' that could be turned off"):
        variants(APTOS, QUICK, ["mixup"])
    with pytest.raises(UserError, match="no intervention on"):
        variants(APTOS, Recipe())
    with pytest.raises(UserError, match="holds nothing out"):
        ablate(APTOS, Recipe(split="all", pooling="gem"), 1, (), None)


def test_a_real_difference_is_beyond_noise_and_a_lucky_one_is_not(tmp_path):
    random = np.random.default_rng(0)
    difficulty = random.random(400)

    def runs(name: str, skill: float) -> list[Run]:
        right = [difficulty < skill + random.normal(0, 0.01, 400) for _ in range(3)]
        return [cassava_run(tmp_path / f"{name}-{seed}", rows) for seed, rows in enumerate(right)]

    found = table(CASSAVA, {"": runs("whole", 0.8), "loss": runs("loss", 0.7), "ema": runs("ema", 0.8)})
    assert found["beyond_noise"].tolist() == ["", "yes", "no"]
    assert found["brings"][1] == pytest.approx(found["score"][0] - found["score"][1])
    assert found["low"][0] < found["score"][0] < found["high"][0]
    assert found["runs"][2] == "ema-0 ema-1 ema-2"
    lines = as_text(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["all of them", "without loss", "without ema"]


def test_pairing_makes_the_interval_of_a_difference_narrow(tmp_path):
    difficulty = np.random.default_rng(1).random(300)
    whole, less = (cassava_run(tmp_path / f"{skill}", difficulty < skill) for skill in (0.6, 0.58))
    compared = compare(CASSAVA, [[whole], [less]])
    _, low, high = compared.difference(0, 1)
    of_one = np.diff(compared.interval(0))
    assert high - low < of_one / 2


def test_groups_are_drawn_whole(tmp_path):
    right = np.repeat(np.random.default_rng(2).random(60) < 0.7, 10)
    alone = compare(CASSAVA, [[cassava_run(tmp_path / "alone", right)]]).interval(0)
    grouped = compare(CASSAVA, [[cassava_run(tmp_path / "grouped", right, np.arange(600) // 10)]]).interval(0)
    assert np.diff(grouped) > 2 * np.diff(alone)


def test_the_spread_over_few_seeds_is_not_made_smaller_than_it_is(tmp_path):
    """With rows that hardly matter, the mean over S seeds spreads by their standard deviation over the root of S."""
    random = np.random.default_rng(3)
    shares = [0.5, 0.6, 0.7]
    runs = [cassava_run(tmp_path / f"{i}", random.random(20_000) < share) for i, share in enumerate(shares)]
    spread = compare(CASSAVA, [runs]).replicates[:, 0].std()
    assert spread == pytest.approx(np.std(shares, ddof=1) / np.sqrt(3), rel=0.1)


def test_other_views_and_another_rule_are_had_from_the_same_weights(raw, options, tmp_path, capsys):
    whole = trained(raw, QUICK, options)
    for fields in ({"tta": "none"}, {"decision": "round"}):
        recipe = QUICK.with_fields(**fields)
        run = trained(raw, recipe, options)
        assert f"has the weights of run {whole.id}" in capsys.readouterr().err
        anew = trained(raw, recipe, Options(**(vars(options) | {"runs": tmp_path / "elsewhere"})))
        assert anew.metrics == run.metrics
        pd.testing.assert_frame_equal(
            pd.read_parquet(anew.folder / "out_of_fold.parquet"), pd.read_parquet(run.folder / "out_of_fold.parquet")
        )
        for done in run.folder.glob("fold-*/done"):
            for name in read_json(done)["weights"]:
                assert (done.parent / name).samefile(whole.folder / done.parent.name / name)


def test_weights_of_another_training_are_not_taken(raw, options, capsys):
    trained(raw, QUICK, options)
    trained(raw, QUICK.with_fields(pooling="avg", tta="none"), options)
    trained(raw, QUICK, Options(**(vars(options) | {"again": True})))
    assert "has the weights" not in capsys.readouterr().err


def test_a_variant_that_cannot_be_trained_is_told_beside_the_others(raw, options):
    def run_of(recipe: Recipe) -> Run:
        if recipe.pooling == "avg":
            raise UserError("loss nan")
        return trained(raw, recipe, options)

    found, left_out = ablate(APTOS, QUICK, 1, ["pooling", "tta"], run_of)
    assert found["without"].tolist() == ["", "tta"]
    assert left_out == {"pooling": "loss nan"}


def test_the_command_prints_a_table_and_trains_nothing_twice(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = QUICK.with_fields(decision="round")
    words = ["aptos", "ablate", "--data", str(raw), "--workers", "0", "--device", "cpu", *fields_as_words(asked)]
    words += ["--seeds", "2", "--of", "pooling", "tta"]
    first, second = io.StringIO(), io.StringIO()
    for told in (first, second):
        with contextlib.redirect_stdout(told):
            assert command(words) == 0
    assert first.getvalue() == second.getvalue()
    *_, heading, columns, whole, pooling, tta, written = first.getvalue().splitlines()
    assert heading == "quadratic_weighted_kappa on 60 held-out images, 2 seeds"
    assert columns.split() == ["score", "it", "brings", "95%", "interval", "beyond", "noise"]
    assert [line.split("  ")[0] for line in (whole, pooling, tta)] == ["all of them", "without pooling", "without tta"]
    assert len(pd.read_csv(written.removeprefix("written to "))) == 3
    assert len(all_runs(Path("runs"), "aptos")) == 6


def test_interventions_are_fields_of_a_recipe():
    for fields in INTERVENTIONS.values():
        assert callable(fields) or Recipe().with_fields(**fields) == Recipe()
