"""How long a prediction takes: measured, said, and reckoned up for other numbers of images."""

from pathlib import Path

import pytest

from common.errors import UserError
from common.estimate import Estimate, estimate, in_words, networks_of
from common.options import Options
from common.predict import predict_test
from common.recipe import Recipe
from common.train import train
from competitions import load
from competitions.__main__ import run
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

APTOS = load("aptos")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def options(folder: Path) -> Options:
    return Options(workers=0, device="cpu", cache=folder / "cache", runs=folder / "runs")


def test_images_are_read_once_and_seen_by_every_network():
    one = Estimate(reading=0.1, looking=0.02, loading=3.0, networks=5, views=8, measured=64, device="GPU")
    assert one.seconds(1000) == pytest.approx(5 * 3.0 + 1000 * (0.1 + 5 * 0.02))
    last = in_words([one, one], 1000)[-1]
    assert last.startswith("1,000 images: 7:10 on this GPU, ")
    assert "430.0 s per 1,000 images; 9 hours have room for 75,349" in last


def test_there_is_a_network_for_every_fold_and_checkpoint():
    assert networks_of(Recipe()) == 5
    assert networks_of(Recipe(only_folds=(0, 2), checkpoints=3)) == 6
    assert networks_of(Recipe(split="all", checkpoints=3, average="weights")) == 1


def test_a_run_and_its_recipe_before_it_is_trained_are_measured_alike(raw, tmp_path):
    from common.data import read_data

    recipe, test = RECIPE.with_fields(epochs=1, checkpoints=1, tta="flip"), APTOS.read_test(raw)
    before = estimate(APTOS, recipe, test, options(tmp_path))
    trained = train(APTOS, recipe, read_data(APTOS, APTOS.read_train(raw), recipe), options(tmp_path))
    after = estimate(APTOS, recipe, test, options(tmp_path), trained)
    for measured in (before, after):
        assert (measured.networks, measured.views, measured.measured) == (2, 2, 12)
        assert min(measured.reading, measured.looking, measured.loading) > 0
    assert not (tmp_path / "cache" / "aptos-test-32").exists()


def test_predicting_says_its_pace(raw, tmp_path, capsys):
    from common.data import read_data

    recipe = RECIPE.with_fields(epochs=1)
    trained = train(APTOS, recipe, read_data(APTOS, APTOS.read_train(raw), recipe), options(tmp_path))
    predict_test(APTOS, trained, APTOS.read_test(raw), options(tmp_path))
    assert f"predict {trained.id}: 12 images by 2 networks in 0:0" in capsys.readouterr().err


def test_the_command_estimates_and_trains_nothing(raw, tmp_path, capsys):
    words = ["aptos", "predict", "--estimate", "--images", "10000", "--data", str(raw), *fields_as_words(RECIPE)]
    assert run([*words, "--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs"), "--device", "cpu"]) == 0
    measured, told = capsys.readouterr().out.splitlines()
    assert "(networks: 2, views: 1); measured on 12 images" in measured
    assert told.startswith("10,000 images: ")
    assert " on this CPU, " in told
    assert not (tmp_path / "runs").exists()


def test_arcface_cannot_be_estimated_before_it_is_trained(raw, tmp_path):
    with pytest.raises(UserError, match="train it, then estimate with --run"):
        estimate(APTOS, RECIPE.with_fields(loss="arcface"), APTOS.read_test(raw), options(tmp_path))
