"""Images of other than three channels: through cache, feed, network, training and views; the first layer's surgery."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from common.augment import NAMES, Policy, contact_sheet
from common.competition import Competition, SubmissionFormat
from common.data import prepared, read_data
from common.decode import Decoders
from common.errors import UserError
from common.images import BadImage
from common.models.build import build
from common.models.channels import adapt_first_layer, adapted_state, first_layers
from common.options import Options
from common.predict import members_of, predict_test
from common.reader import Reader
from common.recipe import Recipe
from common.train import train
from competitions import lazy
from tests.small_data import RECIPE

BACKBONES = ("squeezenet1_1", "tf_mobilenetv3_small_100", "vit_tiny_patch16_224", "resnet18", "inception_v3")


def read_bands(path: str, at_least: int | None, channels: int) -> np.ndarray:
    """The test's own format: a numpy file of more bands than anybody asks for."""
    bands = np.load(path)
    if bands.shape[2] < channels:
        raise ValueError(f"has {bands.shape[2]} bands, not {channels}")
    return bands[..., :channels]


def read_grey(path: str, at_least: int | None, channels: int) -> np.ndarray:
    return np.load(path)[..., 0]


def competition(**fields) -> Competition:
    unused = lambda *_: None  # noqa: E731
    return Competition(
        **{
            "name": "bands",
            "title": "Bands",
            "task": "multiclass",
            "classes": ("low", "high"),
            "metric": "accuracy",
            "takes": "csv",
            "submission": SubmissionFormat("id", "label", "class"),
            "read_train": unused,
            "read_test": unused,
            "paper_split": unused,
            "make_sample": unused,
            "recipes": {},
            "read_image": lazy("tests.test_channels", "read_bands"),
            **fields,
        }
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pd.DataFrame:
    """Thirteen bands of noise; only the last of the first four, and the last of all, tell the classes apart."""
    folder = tmp_path_factory.mktemp("bands")
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    for i, label in enumerate(labels):
        bands = random.integers(0, 120, (60, 50, 13))
        bands[..., [3, 12]] += 100 * label
        np.save(folder / f"{i}.npy", bands.astype(np.uint8))
    return pd.DataFrame(
        {"id": [f"i{i}" for i in range(40)], "path": [f"{folder}/{i}.npy" for i in range(40)], "label": labels}
    )


def options(folder: Path, **fields) -> Options:
    return Options(**{"workers": 0, "device": "cpu", "cache": folder / "cache", "runs": folder / "runs", **fields})


# Cache


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_every_channel_comes_back_from_the_cache_as_it_was(images, tmp_path, channels, format):
    recipe = RECIPE.with_fields(channels=channels, input_size=64)
    table = images.head(5).assign(source="train")
    cache, _ = prepared(competition(), table, recipe, options(tmp_path, cache_format=format))
    assert (cache.format, cache.channels) == (format, channels)
    cache.verify()
    for i, path in enumerate(table["path"]):
        np.testing.assert_array_equal(cache[i], np.load(path)[..., :channels])


def test_larger_images_are_shrunk_channel_by_channel(images, tmp_path):
    recipe = RECIPE.with_fields(channels=4)
    table = images.head(3).assign(source="train")
    cache, _ = prepared(competition(), table, recipe, options(tmp_path))
    assert cache[0].shape == (51, 42, 4)
    of_three, _ = prepared(competition(), table, RECIPE, options(tmp_path))
    np.testing.assert_array_equal(cache[0][..., :3], of_three[0])
    assert cache.folder != of_three.folder, "one does not replace the other"
    assert of_three.folder.exists()


def test_another_reader_makes_another_cache(images, tmp_path):
    names = {Reader().name, Reader(read_bands, 3).name, Reader(read_bands, 4).name, Reader(read_grey, 3).name}
    names |= {Reader(lazy("tests.test_channels", reader), 4).name for reader in ("read_bands", "read_grey")}
    assert len(names) == 6
    assert Reader().name == "common.images.read_rgb", "caches made before stay valid"


def test_what_a_reader_cannot_read_or_reads_wrongly_is_named(images, tmp_path):
    table = images.head(2).assign(source="train")
    with pytest.raises(UserError, match=r"2 images cannot be read: .*0\.npy \(has 13 bands, not 16\)"):
        prepared(competition(), table, RECIPE.with_fields(channels=16), options(tmp_path))
    grey = competition(read_image=read_grey)
    with pytest.raises(UserError, match=r"was read as uint8 \(60, 50\) in place of 4 8-bit channels"):
        prepared(grey, table, RECIPE.with_fields(channels=4), options(tmp_path))
    with pytest.raises(BadImage, match="no such file"):
        Reader(read_bands, 4)(str(tmp_path / "nowhere.npy"))


def test_a_competition_that_reads_rgb_alone_refuses_other_channels(images, tmp_path):
    plain = competition(read_image=None)
    recipe = RECIPE.with_fields(channels=4)
    with pytest.raises(UserError, match="channels: images of bands have 3 channels, not 4; use --channels 3"):
        train(plain, recipe, read_data(plain, images, recipe), options(tmp_path))
    with pytest.raises(UserError, match="channels"):
        RECIPE.with_fields(channels=17)
    with pytest.raises(UserError, match="'bgr' needs three channels or more"):
        RECIPE.with_fields(channels=1, color_order="bgr")


def test_the_decoders_know_their_channels():
    with Decoders(1, Reader(read_bands, 13)) as decoders:
        assert decoders.channels == 13


# Network


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 6, 13, 16])
def test_a_grey_image_is_answered_by_the_first_layer_as_before(channels):
    torch.manual_seed(0)
    weight, grey = torch.randn(8, 3, 3, 3), torch.randn(2, 1, 9, 9)
    before = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    after = nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapt_first_layer(weight, channels))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_colours_keep_their_weights_up_to_the_scale_and_further_channels_get_the_mean():
    weight = torch.arange(3.0).view(1, 3, 1, 1)
    assert adapt_first_layer(weight, 4).flatten().tolist() == pytest.approx([0.0, 0.75, 1.5, 0.75])
    assert adapt_first_layer(weight, 1).flatten().tolist() == pytest.approx([3.0])


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", [4, 13])
def test_weights_of_three_channels_fit_every_backbone(backbone, channels, tmp_path):
    size = 224 if "vit" in backbone else 96
    recipe = Recipe(backbone=backbone, weights="none", input_size=size)
    torch.manual_seed(0)
    three = build(recipe, 2)
    torch.save(three.backbone.state_dict(), tmp_path / "weights.pth")
    many = build(recipe.with_fields(weights=str(tmp_path / "weights.pth"), channels=channels), 2)
    (layer,) = first_layers(three.backbone)
    assert many.backbone.get_submodule(layer).weight.shape[1] == channels
    grey = torch.randn(2, 1, size, size)
    with torch.inference_mode():
        one, other = (
            network.eval().backbone(grey.expand(-1, c, -1, -1)) for network, c in ((three, 3), (many, channels))
        )
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert many(torch.zeros(1, channels, size, size, dtype=torch.uint8)).shape == (1, 2)


def test_weights_made_for_these_channels_are_taken_as_they_are(tmp_path):
    recipe = Recipe(backbone="test_resnet", weights="none", channels=4)
    four = build(recipe, 2)
    torch.save(four.backbone.state_dict(), tmp_path / "weights.pth")
    again = build(recipe.with_fields(weights=str(tmp_path / "weights.pth")), 2)
    for name, value in four.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[name], value)


def test_with_three_channels_nothing_is_touched():
    network = build(Recipe(backbone="test_resnet", weights="none"), 2)
    state = network.backbone.state_dict()
    assert adapted_state(state, network.backbone, 3) is state


def test_further_channels_are_normalized_by_the_average_and_stay_in_place_in_bgr():
    recipe = Recipe(backbone="test_resnet", weights="none", normalization="imagenet", channels=5)
    images = torch.randint(0, 256, (2, 5, 4, 4), dtype=torch.uint8)
    images[:, 4] = images[:, 3]
    rgb, bgr = (build(recipe.with_fields(color_order=order), 2).normalize(images) for order in ("rgb", "bgr"))
    torch.testing.assert_close(bgr[:, 3:], rgb[:, 3:])
    torch.testing.assert_close(rgb[:, 3], (images[:, 3] / 255 - 0.449) / 0.226)
    torch.testing.assert_close(bgr[:, 0], (images[:, 2] / 255 - 0.485) / 0.229)


# The whole way


@pytest.mark.parametrize("channels", [4, 13])
def test_a_network_learns_from_a_band_that_is_no_colour(images, tmp_path, channels):
    recipe = RECIPE.with_fields(channels=channels, epochs=15, augment="heavy", tta="d4")
    opts = options(tmp_path, workers=1)
    run = train(competition(), recipe, read_data(competition(), images, recipe), opts)
    assert run.metrics["score"] > 0.9
    assert run.recipe.channels == channels
    ids, members = members_of(predict_test(competition(), run, images[["id", "path"]], opts))
    assert ids.tolist() == images["id"].tolist()
    assert (members.mean(0).argmax(1) == images["label"]).mean() > 0.9


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_the_contact_sheet_shows_the_first_three_channels(images, tmp_path, channels):
    read = Reader(read_bands, channels)
    policies = [Policy(name) for name in NAMES]
    contact_sheet([read(path) for path in images["path"].head(2)], policies, (1.0,), 32, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000
