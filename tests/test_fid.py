"""The Fréchet distance against its closed forms, and the whole way from folders of images with a random network."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch_fidelity import feature_extractor_inceptionv3 as library

from common.command import run
from common.study.__main__ import main
from common.study.fid import as_seen, images_of
from common.study.frechet import Gaussian, distance_with_error, frechet_distance, gaussian

RANDOM = np.random.default_rng(0)


def known(mean, covariance) -> Gaussian:
    return Gaussian(np.asarray(mean, float), np.linalg.cholesky(np.asarray(covariance, float)).T)


# The distance


@pytest.mark.parametrize(
    ("mean", "deviation", "other_mean", "other_deviation"), [(0, 1, 3, 1), (2, 5, 2, 1), (1, 2, -4, 7)]
)
def test_in_one_dimension_means_and_deviations_differ_by_their_squares(mean, deviation, other_mean, other_deviation):
    one, other = known([mean], [[deviation**2]]), known([other_mean], [[other_deviation**2]])
    assert frechet_distance(one, other) == pytest.approx((mean - other_mean) ** 2 + (deviation - other_deviation) ** 2)


def test_covariances_that_commute_differ_by_the_roots_of_their_eigenvalues():
    rotation = np.linalg.qr(RANDOM.normal(size=(5, 5)))[0]
    a, b = np.array([1.0, 4, 9, 16, 25]), np.array([4.0, 4, 1, 0.25, 49])
    one = known(np.zeros(5), rotation * a @ rotation.T)
    other = known(np.arange(5), rotation * b @ rotation.T)
    assert frechet_distance(one, other) == pytest.approx(30 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())


def test_other_covariances_give_what_the_root_of_the_product_gives():
    c, d = (factor @ factor.T for factor in RANDOM.normal(size=(2, 6, 6)))
    expected = np.trace(c + d - 2 * sqrtm(c @ d)).real
    assert frechet_distance(known(np.zeros(6), c), known(np.zeros(6), d)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [3, 8, 200])
def test_equal_sets_have_no_distance_and_moved_ones_that_of_the_move(n):
    features = RANDOM.normal(size=(n, 8)).astype(np.float32)
    here = gaussian(features)
    assert frechet_distance(here, here) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(here, gaussian(features + 2)) == pytest.approx(8 * 4, rel=1e-5)


@pytest.mark.parametrize("n", [5, 300])
def test_mean_and_covariance_are_those_of_the_features_be_they_more_or_fewer_than_images(n):
    features = RANDOM.normal(size=(n, 9)) @ RANDOM.normal(size=(9, 9)) + 3
    found = gaussian(features)
    np.testing.assert_allclose(found.mean, features.mean(0))
    np.testing.assert_allclose(found.factor.T @ found.factor, np.cov(features, rowvar=False), atol=1e-9)
    assert len(found.factor) == min(n, 9)


# Its error


def drawn(seed: int, n: int, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of standard normal features, the second moved by 0.5 in every direction: d / 4 apart."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(n, d)) + 0.5


def test_few_images_make_the_distance_too_large_and_halves_tell_by_how_much():
    found = [distance_with_error(*drawn(seed, 100)) for seed in range(40)]
    value, without = np.mean([(one.value, one.without_bias) for one in found], axis=0)
    assert value > 3 + 0.5
    assert abs(without - 3) < (value - 3) / 3
    assert all(one.of_halves > one.value for one in found)


def test_the_interval_is_as_wide_as_other_images_move_the_distance():
    found = [distance_with_error(*drawn(seed, 200)) for seed in range(60)]
    deviation = np.std([one.value for one in found])
    told = np.sqrt(np.mean([(one.high - one.value) ** 2 for one in found])) / 1.96
    assert 0.7 < told / deviation < 1.4


# From folders


def write_images(folder, n: int, brightness: int, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    (folder / "below").mkdir(parents=True)
    for number in range(n):
        pixels = random.normal(brightness, 30, (40, 50 + number, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if number % 2 else "") / f"{number}.png")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of the Inception network, the same every time."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save(library.FeatureExtractorInceptionV3("inception", ["2048"]).state_dict(), file)
    return file


def test_folders_are_measured_from_images_to_the_table_and_features_are_kept(tmp_path, weights, capsys):
    write_images(tmp_path / "reference", 8, 100)
    write_images(tmp_path / "like", 8, 100, seed=1)
    write_images(tmp_path / "bright", 8, 220, seed=2)
    folders = [f"same={tmp_path / 'reference'}", f"cct20={tmp_path / 'like'}", str(tmp_path / "bright")]
    words = ["fid-measure", "--reference", str(tmp_path / "reference"), "--images", *folders, "--json"]
    words += ["--weights", str(weights), "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    assert run(main, words) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["dataset"]: row for row in told["rows"]}
    assert rows["same"]["fid"] == pytest.approx(0, abs=1e-5)
    assert 0 < rows["cct20"]["fid"] < rows["bright"]["fid"]
    assert rows["cct20"]["paper"] == 162.69
    assert rows["bright"]["images"] == 8
    assert any("no more than a hint: same (8)" in note for note in told["notes"])
    weights_gone = [word for word in words if word != "--json"]
    features = sorted((tmp_path / "cache" / "fid").glob("*.npy"))
    before = [file.stat().st_mtime_ns for file in features]
    assert len(features) == 3
    assert run(main, weights_gone) == 0
    assert [file.stat().st_mtime_ns for file in features] == before


def test_an_image_is_seen_along_its_short_side_and_shrunk_by_averages(tmp_path):
    stripes = np.zeros((598, 900, 3), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    seen = as_seen(tmp_path / "stripes.png")
    assert seen.shape == (299, 299, 3)
    assert abs(int(seen.mean()) - 100) <= 1
    assert seen[20:-20, 20:-20].std() < 10


def test_the_same_images_of_many_are_drawn_every_time(tmp_path):
    write_images(tmp_path / "many", 20, 100)
    first = images_of(tmp_path / "many", 6)
    assert first == images_of(tmp_path / "many", 6)
    assert len(set(first)) == 6
    assert len(images_of(tmp_path / "many", 50)) == 20


def test_what_cannot_be_measured_is_one_line(tmp_path, capsys, weights):
    write_images(tmp_path / "a", 4, 100)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"weight": 1}, protocol=2))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")

    def say(reference, *words: str) -> str:
        assert run(main, ["fid-measure", "--reference", str(reference), *words, "--cache", str(tmp_path)]) == 2
        return capsys.readouterr().err

    a = str(tmp_path / "a")
    assert "there is no folder" in say(tmp_path / "no", "--images", a, "--weights", str(weights))
    assert "0 images" in say(tmp_path / "empty", "--images", a, "--weights", str(weights))
    assert "write name=folder" in say(a, "--images", a, a, "--weights", str(weights))
    assert "cannot read" in say(a, "--images", a, "--weights", str(tmp_path / "bad.pth"))
    assert "is not weights-inception" in say(a, "--images", a, "--weights", str(tmp_path / "other.pth"))
    assert "1 images make no distance" in say(a, "--images", a, "--weights", str(weights), "--at-most", "1")
