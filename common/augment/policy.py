"""The policy: a name, a strength, and the mirror images that mean the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from common.augment.crop import Flips, crop_and_flip, evaluation_transform
from common.errors import UserError, closest

NAMES = ("none", "base")

Transform = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Policy:
    """How a training image is varied.

    `strength` is continuous in [0, 3]: 0 leaves the random crop and the flips of `base`, 1 is the policy as published.
    'none' is the evaluation view, whatever the strength and the flips.

    Raises:
        UserError: no such policy, or a strength outside [0, 3].
    """

    name: str
    strength: float = 1.0
    flips: Flips = "horizontal"

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UserError(
                f"no augmentation policy '{self.name}'{closest(self.name, NAMES)}; known: {', '.join(NAMES)}"
            )
        if not 0 <= self.strength <= 3:
            raise UserError(f"augmentation strength {self.strength} must lie in [0, 3]")

    def transform(self, size: int) -> Transform:
        """`(image uint8 (H, W, C), seed ≥ 0) → uint8 (size, size, C)`, picklable, the same bytes for the same image
        and seed whatever was called before."""
        if self.name == "none":
            return evaluation_transform(size)
        return partial(crop_and_flip, size=size, flips=self.flips)
