"""Crops, flips and the evaluation view, by hand: on small images albumentations' bookkeeping costs more than the work.

Images are uint8 (H, W, C) with any number of channels; results are contiguous uint8 (size, size, C).
"""

import math
from functools import partial
from random import Random
from typing import Literal

import cv2
import numpy as np

Flips = Literal["none", "horizontal", "both"]

AREA = (0.65, 1.0)
"""Share of the image that a random crop keeps (the paper, Appendix D)."""
LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
"""Logarithm of width / height of a random crop, torchvision's default."""
TRIES = 10


def random_box(height: int, width: int, random: Random) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a random crop, distributed as torchvision's RandomResizedCrop: the area and the
    logarithm of the ratio are uniform; after ten boxes that do not fit, the largest centred one with a legal ratio.

    Edges are rounded last, so that one seed shows the same part of an image whatever scale it is stored at.
    """
    for _ in range(TRIES):
        area = height * width * random.uniform(*AREA)
        ratio = math.exp(random.uniform(*LOG_RATIO))
        h, w = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if h <= height and w <= width:
            return *span(random.random() * (height - h), h), *span(random.random() * (width - w), w)
    low, high = (math.exp(bound) for bound in LOG_RATIO)
    h, w = min(height, width / low), min(width, height * high)
    return *span((height - h) / 2, h), *span((width - w) / 2, w)


def span(start: float, length: float) -> tuple[int, int]:
    """The nearest whole pixels, at least one."""
    first, last = round(start), round(start + length)
    return (first, last) if last > first else (int(start), int(start) + 1)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """The image as a square of `size` pixels. OpenCV's bilinear filter looks at four pixels and is four times as fast
    as averaging: enough for crops from the cache, which shrink by less than 1.5. What shrinks more would alias."""
    shrink = min(image.shape[:2]) / size
    interpolation = cv2.INTER_AREA if shrink > 1.5 else cv2.INTER_LINEAR
    channels = image.shape[2]
    if channels > 4:  # OpenCV resizes four channels at a time
        parts = [resize(image[..., first : first + 4], size) for first in range(0, channels, 4)]
        return np.concatenate(parts, axis=2)
    square = cv2.resize(image, (size, size), interpolation=interpolation)
    return square.reshape(size, size, channels)  # OpenCV drops the axis of a single channel


def crop_and_flip(image: np.ndarray, seed: int, size: int, flips: Flips) -> np.ndarray:
    """A random resized crop, mirrored with probability 1/2 along each axis that `flips` allows."""
    random = Random(seed)
    top, bottom, left, right = random_box(*image.shape[:2], random)
    square = resize(image[top:bottom, left:right], size)
    across = flips != "none" and random.random() < 0.5
    down = flips == "both" and random.random() < 0.5
    if across or down:
        direction = -1 if across and down else int(across)  # OpenCV: 1 mirrors left and right, 0 up and down, -1 both
        square = cv2.flip(square, direction).reshape(square.shape)
    return square


def centre(image: np.ndarray, seed: int, size: int) -> np.ndarray:
    """Short side to `size`, then the central square. Cropping first gives the same pixels for less work."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(image[top : top + side, left : left + side], size)


def evaluation_transform(size: int):
    """The paper's evaluation view (Appendix D): `(image uint8 (H, W, C), seed) → uint8 (size, size, C)`.

    The seed is ignored, so that a feed calls every transform alike.
    """
    return partial(centre, size=size)
