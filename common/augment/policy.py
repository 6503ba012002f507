"""The policy: a name, a strength, and the mirror images that mean the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from common.augment.crop import Flips, crop_and_flip, evaluation_transform
from common.errors import UserError, closest

NAMES = ("none", "base", "paper-aptos", "heavy", "randaugment", "augmix")

Transform = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Policy:
    """How a training image is varied.

    `strength` is continuous in [0, 3]: 0 leaves the random crop and the flips of `base`, 1 is the policy as published.
    'none' is the evaluation view, whatever the strength and the flips. `surround` is the grey value around the subject
    of a fundus photograph, which a rotation of 'paper-aptos' uncovers: 0, or what its preparation made of it.

    Raises:
        UserError: no such policy, or a strength outside [0, 3].
    """

    name: str
    strength: float = 1.0
    flips: Flips = "horizontal"
    surround: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            known = ", ".join(NAMES)
            raise UserError(f"no augmentation policy '{self.name}'{closest(self.name, NAMES)}; known: {known}")
        if not 0 <= self.strength <= 3:
            raise UserError(f"augmentation strength {self.strength} must lie in [0, 3]")

    @property
    def graded(self) -> bool:
        """Whether the strength makes a difference."""
        return self.name not in ("none", "base")

    def transform(self, size: int) -> Transform:
        """`(image uint8 (H, W, C), seed ≥ 0) → uint8 (size, size, C)`, picklable, the same bytes for the same image
        and seed whatever was called before."""
        if self.name == "none":
            return evaluation_transform(size)
        crop = partial(crop_and_flip, size=size, flips=self.flips)
        if not self.graded or self.strength == 0:
            return crop
        return partial(crop_then_vary, crop=crop, vary=variation(self.name, self.strength, self.surround))


def crop_then_vary(image: np.ndarray, seed: int, crop: Transform, vary: Transform) -> np.ndarray:
    """The crop depends on the seed alone, so that two strengths of a policy can be compared image by image."""
    return vary(crop(image, seed), seed)


def variation(name: str, strength: float, surround: int) -> Transform:
    """What a graded policy does after crop and flips. The libraries are imported here, for `base` needs neither."""
    if name in ("paper-aptos", "heavy"):
        from common.augment.albumented import heavy, paper_aptos

        return heavy(strength) if name == "heavy" else paper_aptos(strength, surround)
    from common.augment.automatic import AugMix, RandAugment

    return (AugMix(strength) if name == "augmix" else RandAugment(strength)).on_array
