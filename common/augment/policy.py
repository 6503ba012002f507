"""The policy: a name, a strength, and the mirror images that mean the same."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from common.augment.crop import CentreCrop, Crop, Flips, RandomCrop, shown
from common.augment.drawn import Drawn, Step
from common.errors import UserError, closest

NAMES = ("none", "base", "paper-aptos", "heavy", "randaugment", "augmix")


class Cropping(Protocol):
    """Which part of an image is seen, as a square."""

    size: int

    def draw(self, height: int, width: int, seed: int) -> Crop: ...

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray: ...


class Variation(Protocol):
    """What becomes of the square: `(uint8 (size, size, C), seed) → uint8 (size, size, C)`, and the same in numbers, as
    the chains and the shares of `Drawn`."""

    def draw(self, size: int, channels: int, seed: int) -> tuple[list[list[Step]], np.ndarray | None]: ...

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Transform:
    """`(image uint8 (H, W, C), seed ≥ 0) → uint8 (size, size, C)`: a crop, and what a policy makes of it. The crop
    depends on the seed alone, so that two strengths of a policy can be compared image by image."""

    crop: Cropping
    vary: Variation | None = None

    @property
    def size(self) -> int:
        return self.crop.size

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        square = self.crop(image, seed)
        return self.vary(square, seed) if self.vary else square

    def draw(self, height: int, width: int, channels: int, seed: int) -> Drawn:
        """What a call would do to an image of this shape, for the device path to do (`common.augment.device`)."""
        chains, shares = self.vary.draw(self.size, channels, seed) if self.vary else ([[]], None)
        crop = self.crop.draw(height, width, seed)
        return Drawn(replace(crop, box=shown(crop.box, self.size)), chains, shares)


def evaluation_transform(size: int) -> Transform:
    """The paper's evaluation view (Appendix D): short side to `size`, central square. The seed is ignored, so that a
    feed calls every transform alike."""
    return Transform(CentreCrop(size))


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
        """Picklable, and the same bytes for the same image and seed whatever was called before."""
        if self.name == "none":
            return evaluation_transform(size)
        crop = RandomCrop(size, self.flips)
        varies = self.graded and self.strength > 0
        return Transform(crop, variation(self.name, self.strength, self.surround) if varies else None)


def variation(name: str, strength: float, surround: int) -> Variation:
    """What a graded policy does after crop and flips. The libraries are imported here, for `base` needs neither."""
    if name in ("paper-aptos", "heavy"):
        from common.augment.albumented import heavy, paper_aptos

        return heavy(strength) if name == "heavy" else paper_aptos(strength, surround)
    from common.augment.automatic import AugMix, RandAugment

    return AugMix(strength) if name == "augmix" else RandAugment(strength)
