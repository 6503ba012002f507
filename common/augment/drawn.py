"""What is drawn for one image, in numbers: the device path applies it, and a step says the same on every device.

A `Step` is the name of an operation of `common.augment.device` and its values. The steps of an image stand in the order
in which they are applied, each to what the last one left.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.augment.crop import Crop

LUMA = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


class Step(NamedTuple):
    """An operation and its values, float32 (p,); operations of one name have as many values."""

    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """A crop, the chains of steps that each begin at it, and what share each has in the result, float32 (chains,);
    None: there is one chain."""

    crop: Crop
    chains: list[list[Step]]
    shares: np.ndarray | None = None


def step(name: str, *values) -> Step:
    return Step(name, np.concatenate([np.ravel(value) for value in values] or [[]]).astype(np.float32))


def brightness(factor: float) -> Step:
    return step("linear", linear(factor * np.eye(3)))


def saturation(factor: float, offset: float) -> Step:
    """From the grey image (0) over the image (1) on; `offset` says how the result is rounded: 0.5 to the nearest."""
    return step("linear", linear(factor * np.eye(3) + (1 - factor) * LUMA, offset))


def linear(matrix: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """(3, 4): a matrix on the colours, and what is added to all three."""
    return np.column_stack([matrix, np.full(3, offset)])
