"""The contact sheet: what each policy does to real images, to be looked at before it is trained with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from common.augment.policy import Policy
from common.errors import UserError
from common.files import write_atomically

GUTTER = 150
"""Width of the labels, in pixels."""
GAP = 4
STRENGTHS = (0.0, 0.5, 1.0, 2.0)


def contact_sheet(
    images: Sequence[np.ndarray],
    policies: Sequence[Policy],
    strengths: Sequence[float],
    size: int,
    path: Path,
) -> None:
    """Write a PNG: a block of rows for each policy, one row a strength, one column an image.

    The column's number is the seed in every row, so that what changes down a block is the strength alone.

    Args:
        images: uint8 (H, W, C) each, of any shape; the first three channels are shown, as RGB.
        policies: their own strength is ignored; those that have no strength get one row.
        size: side of a tile in pixels.

    Raises:
        UserError: no images, or `path` cannot be written.
    """
    if not images:
        raise UserError("a contact sheet needs at least one image")
    blocks = [block(images, policy, strengths, size) for policy in policies]
    width = blocks[0].shape[1]
    rule = np.full((3 * GAP, width, 3), 255, np.uint8)
    sheet = np.concatenate([part for one in blocks for part in (one, rule)][:-1])
    _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomically(path, lambda temporary: temporary.write_bytes(png.tobytes()))


def block(images: Sequence[np.ndarray], policy: Policy, strengths: Sequence[float], size: int) -> np.ndarray:
    """The rows of one policy, uint8 (rows * (size + GAP), width, 3)."""
    rows = []
    for strength in strengths if policy.graded else (policy.strength,):
        transform = replace(policy, strength=strength).transform(size)
        tiles = [transform(image, seed) for seed, image in enumerate(images)]
        title = label([policy.name, f"strength {strength:g}"] if policy.graded else [policy.name], size)
        rows.append(np.concatenate([title, *(framed(tile) for tile in tiles)], axis=1))
    return np.concatenate(rows)


def framed(tile: np.ndarray) -> np.ndarray:
    tile = tile[..., np.arange(3) % tile.shape[2]]  # one channel is shown as grey
    return cv2.copyMakeBorder(tile, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def label(lines: list[str], size: int) -> np.ndarray:
    """Black text on white, uint8 (size + GAP, GUTTER, 3)."""
    area = np.full((size + GAP, GUTTER, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(area, line, (6, 24 + 24 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return area
