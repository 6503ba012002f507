"""Test-time views: how many, what they keep, and what they show."""

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
import ttach

from common.recipe import Recipe
from common.views import TRANSFORMS, turned_and_enlarged, views

COUNTS = {"none": 1, "flip": 2, "flips": 4, "d4": 8, "rotations": 8, "scales": 6, "d4-scales": 24}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def smooth(size: int = 32) -> torch.Tensor:
    """(1, 1, size, size): a picture without symmetry or sharp edges, so that interpolation costs little."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    return (torch.sin(2 * x + 0.3) + torch.cos(1.5 * y - 0.7 * x))[None, None]


def symmetric(images: torch.Tensor) -> torch.Tensor:
    """The mean over all symmetries of the square."""
    return torch.stack([view(images) for view in views("d4")]).mean(0)


def disc(size: int = 64) -> torch.Tensor:
    """(1, 1, size, size): a smooth bump, the same from every side."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    return torch.exp(-4 * (x**2 + y**2))[None, None]


def test_every_name_that_a_recipe_may_have_is_a_set_of_views():
    assert set(COUNTS) == set(TRANSFORMS) == set(get_args(get_type_hints(Recipe)["tta"]))


@pytest.mark.parametrize("name", COUNTS)
def test_views_have_the_promised_number_and_shape_and_begin_with_the_image_itself(images, name):
    seen = [view(images) for view in views(name)]
    assert len(seen) == COUNTS[name]
    assert {view.shape for view in seen} == {images.shape}
    torch.testing.assert_close(seen[0], images, rtol=0, atol=0)
    assert all(view.isfinite().all() for view in seen)
    for i, one in enumerate(seen):
        assert not any(torch.allclose(one, other, atol=1e-3) for other in seen[:i]), "no view is shown twice"


@pytest.mark.parametrize("name", ["flip", "flips", "d4"])
def test_mirrors_and_quarter_turns_only_move_pixels(images, name):
    for view in views(name):
        places = view(torch.arange(24 * 24.0).reshape(1, 1, 24, 24)).flatten()
        assert places.sort().values.tolist() == list(range(24 * 24))
        torch.testing.assert_close(view(images).flatten(2), images.flatten(2)[..., places.long()], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "transforms"),
    [
        ("flip", [ttach.HorizontalFlip()]),
        ("flips", [ttach.HorizontalFlip(), ttach.VerticalFlip()]),
        ("d4", [ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])]),
    ],
)
def test_mirrors_and_quarter_turns_are_those_of_ttach_in_its_order(images, name, transforms):
    for ours, theirs in zip(views(name), ttach.Compose(transforms), strict=True):
        assert torch.equal(ours(images), theirs.augment_image(images))


@pytest.mark.parametrize("name", ["flip", "flips", "d4"])
def test_a_symmetric_image_looks_the_same_in_every_view(images, name):
    image = symmetric(images)
    for view in views(name):
        torch.testing.assert_close(view(image), image)


def test_what_is_round_looks_the_same_however_it_is_turned():
    for view in views("rotations"):
        inner = view(disc())[..., 12:-12, 12:-12]
        torch.testing.assert_close(inner, disc()[..., 12:-12, 12:-12], rtol=0, atol=0.01)


def test_rotations_turn_on_by_45_degrees_each():
    image = smooth()
    by_angle = {45 * i: turned_and_enlarged(image, degrees=45 * i)[..., 8:-8, 8:-8] for i in range(8)}
    order = []
    for view in views("rotations"):
        errors = {angle: (view(image)[..., 8:-8, 8:-8] - turned).abs().max() for angle, turned in by_angle.items()}
        order.append(min(errors, key=errors.get))
        assert errors[order[-1]] < 0.02
    assert sorted(order) == list(by_angle)
    torch.testing.assert_close(turned_and_enlarged(image, degrees=90), image.rot90(1, (2, 3)), rtol=0, atol=1e-4)


def test_corners_of_a_turned_image_hold_values_of_the_image_and_no_fill():
    """A fill value would be far from this one constant."""
    for view in views("rotations"):
        torch.testing.assert_close(view(torch.full((1, 3, 32, 32), -2.1)), torch.full((1, 3, 32, 32), -2.1))


@pytest.mark.parametrize("size", [31, 32, 224])
def test_a_zoom_shows_the_center_larger_and_stays_centered(size):
    half = size // 2
    ramp = (torch.arange(size) - (size - 1) / 2)[None, None, None].expand(1, 1, size, size)
    scales = [1, 1.15, 1.3]
    for view, scale in zip(views("scales")[:3], scales, strict=True):
        np.testing.assert_allclose(view(ramp)[0, 0, half], ramp[0, 0, 0] / scale, atol=1e-4 * size)
        columns = view(ramp.transpose(2, 3))[0, 0, :, half]
        np.testing.assert_allclose(columns, ramp[0, 0, 0] / scale, atol=1e-4 * size)


def test_a_zoom_of_a_symmetric_image_is_symmetric(images):
    for view in views("d4-scales"):
        seen = view(symmetric(images))
        torch.testing.assert_close(seen, seen.flip(3), rtol=0, atol=1e-4)
        torch.testing.assert_close(seen, seen.rot90(1, (2, 3)), rtol=0, atol=1e-4)


def test_a_turn_keeps_shapes_of_images_that_are_not_square():
    round_in_the_middle = torch.zeros(1, 1, 40, 80)
    round_in_the_middle[..., 4:36, 24:56] = disc(32)
    turned = turned_and_enlarged(round_in_the_middle, degrees=45)
    torch.testing.assert_close(turned[..., 8:32, 28:52], round_in_the_middle[..., 8:32, 28:52], rtol=0, atol=0.03)
