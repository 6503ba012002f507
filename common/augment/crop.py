"""Crops, flips and the evaluation view, by hand: on small images albumentations' bookkeeping costs more than the work.

Images are uint8 (H, W, C) with any number of channels; results are contiguous uint8 (size, size, C).
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

import cv2
import numpy as np
from PIL import Image

Flips = Literal["none", "horizontal", "both"]

AREA = (0.65, 1.0)
"""Share of the image that a random crop keeps (the paper, Appendix D)."""
LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
"""Logarithm of width / height of a random crop, torchvision's default."""
TRIES = 10
LEADS = 12
"""Starts that `Lattice` chooses from."""
BILINEAR = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Box:
    """Part of an image, in pixels and fractions of them: a seed shows the same part whatever scale is stored."""

    top: float
    left: float
    height: float
    width: float


def random_box(height: int, width: int, random: Random) -> Box:
    """A random crop, distributed as torchvision's RandomResizedCrop: the area and the logarithm of the ratio are
    uniform; after ten boxes that do not fit, the largest centred one with a legal ratio."""
    for _ in range(TRIES):
        area = height * width * random.uniform(*AREA)
        ratio = math.exp(random.uniform(*LOG_RATIO))
        h, w = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if h <= height and w <= width:
            return Box(random.random() * (height - h), random.random() * (width - w), h, w)
    low, high = (math.exp(bound) for bound in LOG_RATIO)
    h, w = min(height, width / low), min(width, height * high)
    return Box((height - h) / 2, (width - w) / 2, h, w)


def view(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The box as a square of `size` pixels. Crops from the cache shrink by less than 1.45, where a bilinear look at
    four pixels is enough; what shrinks more (a raw image) would alias and is averaged, as in Pillow and torchvision."""
    channels = image.shape[2]
    if min(box.height, box.width) > 1.45 * size:
        return averaged(image, box, size)
    if channels > 4:  # OpenCV resizes four channels at a time
        parts = [view(image[..., first : first + 4], box, size) for first in range(0, channels, 4)]
        return np.concatenate(parts, axis=2)
    rows, columns = Lattice.of(box.top, box.height, size), Lattice.of(box.left, box.width, size)
    square = cv2.resize(cut(image, rows, columns), None, fx=columns.zoom, fy=rows.zoom)
    square = square[rows.skip : rows.skip + size, columns.skip : columns.skip + size]
    return square.reshape(size, size, channels)  # OpenCV drops the axis of a single channel


def averaged(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The same with Pillow's bilinear filter, which widens with the scale."""
    height, width, channels = image.shape
    edges = (box.left, box.top, min(box.left + box.width, width), min(box.top + box.height, height))
    parts = [image] if channels == 3 else [image[..., channel] for channel in range(channels)]
    small = [np.asarray(Image.fromarray(part).resize((size, size), BILINEAR, box=edges)) for part in parts]
    return small[0] if channels == 3 else np.stack(small, axis=2)


@dataclass(frozen=True)
class Lattice:
    """How OpenCV's resize, which begins at a whole pixel, samples a line that begins at a fractional one: it begins
    `skip` samples earlier, where a sample's edge comes nearest to a whole pixel, `first`. Three times as fast as
    `warpAffine`, and mostly within a few hundredths of a pixel of it."""

    first: int
    last: int
    skip: int
    zoom: float

    @classmethod
    def of(cls, start: float, length: float, size: int) -> "Lattice":
        step = length / size
        edges = [start - skip * step for skip in range(LEADS)]
        skip = min(range(LEADS), key=lambda skip: abs(edges[skip] - round(edges[skip])))
        first = round(edges[skip])
        return cls(first, math.ceil(first + (skip + size) * step) + 1, skip, 1 / step)


def shown(box: Box, size: int) -> Box:
    """The box that `view` shows of a cached image in place of `box`, which begins where `Lattice` says."""
    rows, columns = Lattice.of(box.top, box.height, size), Lattice.of(box.left, box.width, size)
    return Box(rows.first + rows.skip / rows.zoom, columns.first + columns.skip / columns.zoom, box.height, box.width)


def cut(image: np.ndarray, rows: Lattice, columns: Lattice) -> np.ndarray:
    """The pixels that both lattices ask for; outside of the image the nearest one stands in."""
    height, width = image.shape[:2]
    part = image[max(rows.first, 0) : rows.last, max(columns.first, 0) : columns.last]
    top, left = max(-rows.first, 0), max(-columns.first, 0)
    bottom, right = max(rows.last - height, 0), max(columns.last - width, 0)
    if top or bottom or left or right:
        return cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return part


@dataclass(frozen=True)
class Crop:
    """A box, and whether it is mirrored left to right (`across`) and upside down (`down`)."""

    box: Box
    across: bool = False
    down: bool = False


@dataclass(frozen=True)
class RandomCrop:
    """A random resized crop, mirrored with probability 1/2 along each axis that `flips` allows."""

    size: int
    flips: Flips

    def draw(self, height: int, width: int, seed: int) -> Crop:
        """What is seen of an image of `height` × `width`."""
        random = Random(seed)
        box = random_box(height, width, random)
        across = self.flips != "none" and random.random() < 0.5
        return Crop(box, across, self.flips == "both" and random.random() < 0.5)

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        crop = self.draw(*image.shape[:2], seed)
        square = view(image, crop.box, self.size)
        if crop.across or crop.down:
            direction = -1 if crop.across and crop.down else int(crop.across)  # OpenCV: 1 left and right, -1 both
            return cv2.flip(square, direction).reshape(square.shape)
        return np.ascontiguousarray(square)


@dataclass(frozen=True)
class CentreCrop:
    """Short side to `size`, then the central square, whatever the seed. Cropping first gives the same pixels for less
    work."""

    size: int

    def draw(self, height: int, width: int, seed: int) -> Crop:
        side = min(height, width)
        return Crop(Box((height - side) / 2, (width - side) / 2, side, side))

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        return np.ascontiguousarray(view(image, self.draw(*image.shape[:2], seed).box, self.size))
