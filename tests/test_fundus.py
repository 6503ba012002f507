"""Fundus photographs: the disc found whatever surrounds it, the local average subtracted, both through the cache."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.fundus import BLUR, ben_graham, circle, cut_out, local_average
from common.images import read_rgb
from common.prepare import prepare, stored_size
from common.reader import Reader, reader_of
from competitions import load
from competitions.aptos.sample import draw_photograph

HEIGHT, WIDTH = 400, 600
EUROSAT = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "eurosat100" / "bands"


def photograph(x=300.0, y=200.0, radius=180.0, light=1.0, noise=0.0, surround=0, vessels=True, shape=(HEIGHT, WIDTH)):
    """A disc that fades towards its rim, with vessels, uint8 (H, W, 3), RGB."""
    down, across = np.mgrid[: shape[0], : shape[1]] + 0.5
    distance = np.hypot(across - x, down - y) / radius
    image = np.array([190, 95, 45]) * light * (1 - 0.4 * distance**2)[..., None]
    if vessels:
        for angle in range(0, 180, 30):
            axes = (int(0.8 * radius), int(0.3 * radius))
            cv2.ellipse(image, (int(x), int(y)), axes, angle, 0, 140, (110 * light, 25 * light, 20 * light), 4)
    image[distance >= 1] = surround
    image += np.random.default_rng(0).normal(0, noise, shape)[..., None]
    return image.clip(0, 255).astype(np.uint8)


def assert_disc(image: np.ndarray, x: float, y: float, radius: float, within: float = 2.5) -> None:
    """The cropped image is the part of `image` in the disc's box, and its disc is the one that was drawn."""
    cropped, disc = cut_out(image)
    top, left = max(0, y - radius), max(0, x - radius)
    bottom, right = min(image.shape[0], y + radius), min(image.shape[1], x + radius)
    np.testing.assert_allclose(cropped.shape[:2], (bottom - top, right - left), atol=2 * within)
    np.testing.assert_allclose(disc, (x - left, y - top, radius), atol=within)


# The disc


@pytest.mark.parametrize("noise", [0, 5, 12])
def test_the_disc_is_found_in_a_noisy_surround(noise):
    assert_disc(photograph(noise=noise, surround=6), 300, 200, 180)


@pytest.mark.parametrize("light", [0.2, 0.5, 1.3])
def test_the_disc_is_found_in_dark_and_bright_exposures(light):
    assert_disc(photograph(light=light, noise=2), 300, 200, 180)


@pytest.mark.parametrize(
    ("x", "y", "radius"), [(300, 200, 240), (230, 190, 170), (100, 200, 190), (100, 380, 230), (300, 200, 199)]
)
def test_the_disc_may_be_cut_off_or_off_center(x, y, radius):
    assert_disc(photograph(x, y, radius, noise=3), x, y, radius)


def test_letters_and_tabs_beside_the_disc_are_cut_away():
    image = photograph(noise=2)
    cv2.putText(image, "OD 2015", (5, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    image[190:210, 478:492] = 160
    assert_disc(image, 300, 200, 180)
    assert circle(image)[:25, :25].max() == 0


@pytest.mark.parametrize("darkened", [slice(390, None), slice(None, 180)])
def test_a_shadow_over_one_side_does_not_move_the_disc(darkened):
    image = photograph()
    image[:, darkened] = image[:, darkened] * 0.05
    assert_disc(image, 300, 200, 180, within=4)


@pytest.mark.parametrize("radius", [0.4, 0.55])
def test_the_disc_is_found_at_any_resolution(radius):
    height, width = 1424, 2144
    assert_disc(
        photograph(width / 2, height / 2, radius * height, noise=5, shape=(height, width)),
        width / 2,
        height / 2,
        radius * height,
        within=6,
    )


# Circle


def test_circle_keeps_the_retina_and_blackens_everything_else():
    image = photograph(noise=8, surround=12)
    cropped, disc = cut_out(image)
    np.testing.assert_array_equal(circle(image), cropped)
    down, across = np.mgrid[: cropped.shape[0], : cropped.shape[1]] + 0.5
    distance = np.hypot(across - disc.x, down - disc.y)
    assert cropped[distance > disc.radius + 1.5].max() == 0
    left, top = round(300 - disc.x), round(200 - disc.y)
    original = image[top : top + cropped.shape[0], left : left + cropped.shape[1]]
    inside = distance < disc.radius - 1.5
    np.testing.assert_array_equal(cropped[inside], original[inside])


def test_a_retina_that_fills_the_frame_is_left_as_it_is():
    image = photograph(radius=600)
    np.testing.assert_array_equal(circle(image), image)
    assert cut_out(image)[1] is None


@pytest.mark.parametrize("level", [0, 6])
def test_an_image_that_is_dark_all_over_is_returned_as_it_is(level):
    image = np.random.default_rng(0).normal(0, level + 1e-9, (90, 120, 3)).clip(0, 255).astype(np.uint8)
    assert circle(image) is image
    assert ben_graham(image).shape == image.shape


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 2)])
def test_very_small_images_are_no_trouble(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    np.testing.assert_array_equal(circle(image), image)
    assert ben_graham(image).shape == image.shape


@pytest.mark.parametrize(("rows", "columns"), [((50, 250), (100, 180)), ((50, 250), (100, 300)), ((0, 300), (60, 400))])
def test_what_is_bright_but_not_round_is_cropped_and_nothing_is_blackened(rows, columns):
    image = np.zeros((300, 400, 3), np.uint8)
    image[slice(*rows), slice(*columns)] = 200
    cropped, disc = cut_out(image)
    assert disc is None
    assert (cropped == 200).mean() > 0.95
    np.testing.assert_allclose(cropped.shape[:2], (rows[1] - rows[0], columns[1] - columns[0]), atol=2)


def test_every_drawn_photograph_of_the_sample_has_a_disc_that_fills_the_crop():
    for i in range(40):
        image = np.ascontiguousarray(draw_photograph([7, i], i % 5)[..., ::-1])
        cropped, disc = cut_out(image)
        assert disc is not None
        height, width = cropped.shape[:2]
        assert abs(width - min(2 * disc.radius, image.shape[1])) <= 6
        assert height <= width + 1
        assert disc.radius == pytest.approx(width / 2, abs=3)


# Ben Graham


def test_ben_graham_is_four_times_the_difference_from_the_gaussian_of_a_thirtieth_of_the_radius():
    image = photograph(noise=2)
    cropped, disc = cut_out(image)
    blur = cv2.GaussianBlur(cropped, (0, 0), disc.radius / 30)
    as_published = cv2.addWeighted(cropped, 4, blur, -4, 128)
    found = ben_graham(image)
    down, across = np.mgrid[: cropped.shape[0], : cropped.shape[1]] + 0.5
    share = np.hypot(across - disc.x, down - disc.y) / disc.radius
    assert (found[share > 0.91] == 128).all()
    difference = np.abs(found.astype(int) - as_published)[share < 0.89]
    assert difference.mean() < 1
    assert difference.max() <= 16


def test_ben_graham_makes_exposures_alike_where_circle_does_not():
    dark, bright = photograph(light=0.7, vessels=False), photograph(light=1.2, vessels=False)
    far = np.abs(circle(dark).astype(int) - circle(bright)).mean()
    near = np.abs(ben_graham(dark).astype(int) - ben_graham(bright)).mean()
    assert near < far / 10


def test_ben_graham_of_a_smooth_retina_is_neutral_and_vessels_are_dark_in_it():
    smooth, veined = ben_graham(photograph(vessels=False)), ben_graham(photograph())
    assert np.abs(smooth.astype(int) - 128).mean() < 4
    assert (veined.min(axis=2) < 40).mean() > 0.02


@pytest.mark.parametrize("deviation", [2.0, BLUR, 15.0, 47.0])
def test_the_quick_local_average_is_the_gaussian_blur(deviation):
    image = photograph(noise=10)
    slow = cv2.GaussianBlur(image, (0, 0), deviation).astype(int)
    margin = int(3 * deviation)
    difference = np.abs(local_average(image, deviation) - slow)[margin:-margin, margin:-margin]
    assert difference.mean() < 0.5
    assert difference.max() <= 6


# As a preparation


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    """Two photographs, of which the disc fills quite different shares."""
    for i, image in enumerate([photograph(radius=90, noise=3), photograph(radius=240)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image[..., ::-1])
    return pd.DataFrame({"id": ["small", "large"], "path": [str(tmp_path / f"{i}.png") for i in range(2)]})


@pytest.mark.parametrize(("preparation", "function"), [("circle", circle), ("ben-graham", ben_graham)])
def test_a_reader_prepares_the_whole_image_and_knows_its_size(table, preparation, function):
    read = Reader(preparation=preparation)
    for path in table["path"]:
        np.testing.assert_array_equal(read(path, 32), function(read_rgb(path)))
        assert read.size(path) == read(path).shape[:2]


@pytest.mark.parametrize("preparation", ["circle", "ben-graham"])
def test_the_cache_holds_the_prepared_image_at_the_size_that_follows_from_it(table, tmp_path, preparation):
    read = Reader(preparation=preparation)
    cache = prepare(table, "fundus", 64, tmp_path / "cache", workers=1, format="raw", read=read)
    for i, path in enumerate(table["path"]):
        height, width = read(path).shape[:2]
        assert cache[i].shape == (*stored_size(height, width, 64), 3)
    assert np.abs(cache[0].astype(int) - cv2.resize(read(table["path"][0]), cache[0].shape[1::-1])).mean() < 20


def test_each_preparation_has_caches_of_its_own_and_plain_ones_stay_valid():
    names = {Reader(preparation=preparation).name for preparation in ("plain", "circle", "ben-graham")}
    assert len(names) == 3
    assert Reader().name == Reader(preparation="plain").name == "common.images.read_rgb"
    assert Reader(read_rgb, 3).name == "common.images.read_rgb 3"
    assert Reader(read_rgb, 3, "circle").name != Reader(preparation="circle").name


def test_a_preparation_refuses_other_than_three_channels():
    with pytest.raises(UserError, match="preparation 'circle' takes RGB photographs, not 4 channels; use --channels 3"):
        reader_of(load("hpa"), 4, "circle")
    assert reader_of(load("hpa"), 3, "circle").preparation == "circle"


# Bands


@pytest.mark.skipif(not EUROSAT.is_dir(), reason="the real tiles are not here")
def test_measuring_a_tile_of_thirteen_bands_logs_nothing_and_hides_no_error(caplog):
    tile = str(next(EUROSAT.rglob("*.tif")))
    with caplog.at_level(logging.DEBUG, "PIL.TiffImagePlugin"):
        assert reader_of(load("eurosat"), 13).size(tile) == (64, 64)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        logging.getLogger("PIL.TiffImagePlugin").error("something else")
    assert "something else" in caplog.text
    with pytest.raises(UserError, match="not an image"):
        Reader().size(tile)
