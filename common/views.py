"""Test-time views: what a network is shown of the same image before its answers are averaged."""

import math
from collections.abc import Callable

import ttach
from torch import Tensor
from torch.nn import functional as F

View = Callable[[Tensor], Tensor]


class HalfQuarter(ttach.base.ImageOnlyTransform):
    """Not turned, or by 45°."""

    def __init__(self) -> None:
        super().__init__("degrees", [0, 45])

    def apply_aug_image(self, image: Tensor, degrees: float) -> Tensor:
        return turned_and_enlarged(image, degrees=degrees) if degrees else image


class Zoom(ttach.base.ImageOnlyTransform):
    """Enlarged and cut to the same size around the center, so that networks of one fixed input size take it."""

    def __init__(self, scales: list[float]) -> None:
        super().__init__("scale", scales)

    def apply_aug_image(self, image: Tensor, scale: float) -> Tensor:
        return turned_and_enlarged(image, scale=scale) if scale != 1 else image


def turned_and_enlarged(images: Tensor, degrees: float = 0, scale: float = 1) -> Tensor:
    """(N, C, H, W), bilinear, turned counter-clockwise and enlarged around the exact center, of the same shape.

    What a turn uncovers in the corners is mirrored at the edges, as the policy `heavy` does in training. Zero, which is
    the mean colour of a normalized input, or black, which is another value for every network, would show triangles that
    no network has seen, where reflection shows more of the same.
    """
    height, width = images.shape[2:]
    cos, sin = (f(math.radians(degrees)) / scale for f in (math.cos, math.sin))
    matrix = images.new_tensor([[cos, -sin * height / width, 0], [sin * width / height, cos, 0]])
    where = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=False)


MIRROR, UPSIDE_DOWN, QUARTERS = ttach.HorizontalFlip(), ttach.VerticalFlip(), ttach.Rotate90([0, 90, 180, 270])
SCALES = Zoom([1, 1.15, 1.3])
TRANSFORMS = {
    "none": [],
    "flip": [MIRROR],
    "flips": [MIRROR, UPSIDE_DOWN],
    "d4": [MIRROR, QUARTERS],
    "rotations": [QUARTERS, HalfQuarter()],
    "scales": [MIRROR, SCALES],
    "d4-scales": [MIRROR, QUARTERS, SCALES],
}
"""`Recipe.tta` → the transforms whose every combination is a view."""


def views(name: str) -> list[View]:
    """The views of `Recipe.tta`, the image as it is first; each takes normalized inputs (N, C, H, W) and returns
    as many of the same shape where H = W (a quarter turn swaps the sides).

    'none' has 1, 'flip' 2, 'flips' 4, 'd4' 8 (all symmetries of the square), 'rotations' 8 (by 0°, 45°, … 315°),
    'scales' 6 (mirrored or not, at 1, 1.15 and 1.3), 'd4-scales' 24.
    """
    return [view.augment_image for view in ttach.Compose(TRANSFORMS[name])]
