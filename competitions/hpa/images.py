"""One picture of the Protein Atlas is a file for each colour; together they make an image of three or four channels."""

from pathlib import Path

import cv2
import numpy as np

from common.errors import UserError
from common.images import BadImage, read_rgb

COLORS = ("red", "green", "blue", "yellow")
"""Microtubules, the protein, the nucleus, the endoplasmic reticulum."""


def read_image(path: str, at_least: int | None, channels: int) -> np.ndarray:
    """The picture of which `path`, ending in `_green` and a suffix, is the green file.

    Args:
        at_least: short side wanted, as in `common.images.read_rgb`.
        channels: 3 for red, green and blue; 4 for yellow too.

    Returns:
        uint8 (H, W, channels).

    Raises:
        BadImage: a colour's file is missing, broken, or of another size than the green one; the reason names it.
        UserError: another number of channels.
    """
    if channels not in (3, 4):
        raise UserError(f"channels: hpa has 3 (red, green, blue) or 4 (and yellow), not {channels}; set --channels 4")
    planes = [read_plane(path, color, at_least) for color in COLORS[:channels]]
    for color, plane in zip(COLORS, planes, strict=False):
        if plane.shape != planes[1].shape:
            reason = f"{file_of(path, color).name} has {size_text(plane)} pixels, the green file {size_text(planes[1])}"
            raise BadImage(path, reason)
    return cv2.merge(planes)


def read_plane(path: str, color: str, at_least: int | None) -> np.ndarray:
    """One colour's file as uint8 (H, W); 16-bit values are divided by 257. Where a file is in colour, as the Atlas
    serves them, the largest of its three channels is the intensity. Raises BadImage."""
    file = file_of(path, color)
    try:
        r, g, b = cv2.split(read_rgb(file, at_least))
    except BadImage as error:  # of the row's picture, whichever file is at fault
        raise BadImage(path, error.reason if file == Path(path) else f"{file.name}: {error.reason}") from error
    return cv2.max(cv2.max(r, g), b)


def files(path: str) -> list[Path]:
    """The files that the row of `path` is made of, yellow too: a change in any of them is another picture."""
    return [file_of(path, color) for color in COLORS]


def file_of(path: str, color: str) -> Path:
    """`…/abc_green.png` → `…/abc_<color>.png`."""
    green = Path(path)
    return green.with_name(f"{green.stem.removesuffix('_green')}_{color}{green.suffix}")


def size_text(plane: np.ndarray) -> str:
    """Width × height, as image viewers say it."""
    return f"{plane.shape[1]} × {plane.shape[0]}"
