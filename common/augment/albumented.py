"""The policies built from albumentations: `paper-aptos` and `heavy`.

Images without exactly three channels get everything but the colours.
"""

import os
from random import Random

import cv2
import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for a newer version when imported
import albumentations as A

STREAM = 0x5EED
"""Mixed into the seed, so that the numbers drawn here are not those that placed the crop."""


class Albumented:
    """Some albumentations transforms as `(image uint8 (H, W, C), seed) → uint8 (H, W, C)`."""

    def __init__(self, geometry: list, colour: list, occlusion: list | None = None) -> None:
        occlusion = occlusion or []
        self.colourless = A.Compose(geometry + occlusion)
        self.everything = A.Compose(geometry + colour + occlusion)

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        pipeline = self.everything if image.shape[2] == 3 else self.colourless
        # Compose.set_random_seed would start every transform from the same number, and then all of those with p = 0.5
        # are applied together or not at all. One shared stream keeps them independent.
        pipeline.set_random_state(np.random.default_rng((seed, STREAM)), Random(seed ^ STREAM))
        return np.ascontiguousarray(pipeline(image=image)["image"])


def paper_aptos(strength: float, surround: int = 0) -> Albumented:
    """Rotations by any angle and ColorJitter(0.2, 0.2, 0.2, hue 0.1) (the paper, Appendix F).

    What a rotation uncovers is black, as with torchvision's RandomRotation, for so is the surround of a retina; or the
    grey value `surround`, where a preparation has made it that.
    """
    rotation = A.Rotate(limit=min(180.0 * strength, 180.0), border_mode=cv2.BORDER_CONSTANT, fill=surround, p=1)
    tone = 0.2 * strength
    jitter = A.ColorJitter(
        brightness=(1 - tone, 1 + tone),
        contrast=(1 - tone, 1 + tone),
        saturation=(1 - tone, 1 + tone),
        hue=(-0.1 * strength, 0.1 * strength),
        p=1,
    )
    return Albumented([rotation], [jitter])


def heavy(strength: float) -> Albumented:
    """What won SIIM-ISIC melanoma (Ha, Liu and Liu, 2020, arXiv:2010.05351), as far as albumentations 2 has it.

    Ranges grow with the strength; where an effect has no gentle form (a kernel of three pixels) its probability
    does. Borders are mirrored, so that no black corner betrays the angle.
    """

    def chance(p: float) -> float:
        return min(p * strength, 1.0)

    hole = (0.1 * strength, min(0.375 * strength, 0.9))
    mirrored = {"border_mode": cv2.BORDER_REFLECT_101}
    distortions = [
        A.OpticalDistortion(distort_limit=min(0.2 * strength, 0.35), **mirrored),  # beyond 0.36 the corners fold over
        A.GridDistortion(num_steps=5, distort_limit=min(0.3 * strength, 0.9), **mirrored),
        A.ElasticTransform(alpha=60 * strength, sigma=8, approximate=False, **mirrored),
    ]
    geometry = [
        A.OneOf(distortions, p=0.7),
        A.Affine(
            translate_percent=(-0.1 * strength, 0.1 * strength),
            scale=(1 - 0.1 * strength, 1 + 0.1 * strength),
            rotate=(-15 * strength, 15 * strength),
            **mirrored,
            p=0.85,
        ),
    ]
    blur_or_noise = [
        A.MotionBlur(blur_limit=(3, 5)),
        A.MedianBlur(blur_limit=(3, 5)),
        A.GaussianBlur(blur_limit=(3, 5)),
        A.GaussNoise(std_range=(0.01 * strength, 0.025 * strength)),
    ]
    colour = [
        A.RandomBrightnessContrast(brightness_limit=0.2 * strength, contrast_limit=0.2 * strength, p=0.75),
        A.HueSaturationValue(10 * strength, 20 * strength, 10 * strength, p=0.5),
        A.CLAHE(clip_limit=(1, 1 + 3 * strength), p=chance(0.7)),
        A.OneOf(blur_or_noise, p=chance(0.7)),
    ]
    occlusion = [A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=hole, hole_width_range=hole, p=0.7)]
    return Albumented(geometry, colour, occlusion)
