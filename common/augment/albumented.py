"""The policies built from albumentations: `paper-aptos` and `heavy`.

Images without exactly three channels get everything but the colours.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from random import Random

import cv2
import numpy as np

from common.augment.drawn import Step, brightness, linear, saturation, step

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for a newer version when imported
import albumentations as A

from common.augment.noise import TableNoise

STREAM = 0x5EED
"""Mixed into the seed, so that the numbers drawn here are not those that placed the crop."""


class Albumented:
    """Some albumentations transforms as `(image uint8 (H, W, C), seed) → uint8 (H, W, C)`."""

    def __init__(self, geometry: list, colour: list, occlusion: list | None = None) -> None:
        occlusion = occlusion or []
        self.colourless = A.Compose(geometry + occlusion)
        self.everything = A.Compose(geometry + colour + occlusion)

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        return np.ascontiguousarray(self.pipeline(image.shape[2], seed)(image=image)["image"])

    def draw(self, size: int, channels: int, seed: int) -> tuple[list[list[Step]], None]:
        """What a call would do to a square image: the draws that albumentations would make, in its order."""
        pipeline = self.pipeline(channels, seed)
        pipeline.py_random.random()  # Compose draws whether it runs, at a probability of 1 too
        shape = {"shape": (size, size, channels)}
        return [[part for chosen in drawn(pipeline.transforms) for part in STEPS[type(chosen)](chosen, shape)]], None

    def pipeline(self, channels: int, seed: int) -> A.Compose:
        pipeline = self.everything if channels == 3 else self.colourless
        # Compose.set_random_seed would start every transform from the same number, and then all of those with p = 0.5
        # are applied together or not at all. One shared stream keeps them independent.
        pipeline.set_random_state(np.random.default_rng((seed, STREAM)), Random(seed ^ STREAM))
        return pipeline


def drawn(transforms: list) -> Iterator[A.BasicTransform]:
    """Those that will be applied. They share one stream: each must draw what it needs before the next one comes."""
    for transform in transforms:
        if isinstance(transform, A.OneOf):
            if transform.py_random.random() < transform.p:
                among = len(transform.transforms)
                yield transform.transforms[transform.random_generator.choice(among, p=transform.transforms_ps)]
        elif transform.should_apply():
            yield transform


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
        TableNoise(std_range=(0.01 * strength, 0.025 * strength)),
    ]
    colour = [
        A.RandomBrightnessContrast(brightness_limit=0.2 * strength, contrast_limit=0.2 * strength, p=0.75),
        A.HueSaturationValue(10 * strength, 20 * strength, 10 * strength, p=0.5),
        A.CLAHE(clip_limit=(1, 1 + 3 * strength), p=chance(0.7)),
        A.OneOf(blur_or_noise, p=chance(0.7)),
    ]
    occlusion = [A.CoarseDropout(num_holes_range=(1, 1), hole_height_range=hole, hole_width_range=hole, p=0.7)]
    return Albumented(geometry, colour, occlusion)


COARSE = 4
"""Pixels between two points of a displacement field that travels to the device: it is smooth (`sigma`)."""


def affine_step(transform: A.Affine, shape: dict) -> list[Step]:
    matrix = transform.get_params_dependent_on_data(shape, {})["matrix"]
    return [step("affine", np.linalg.inv(matrix)[:2])]


def rotation_step(transform: A.Rotate, shape: dict) -> list[Step]:
    matrix = transform.get_params_dependent_on_data(shape, {})["matrix"]
    return [step("affine-filled", np.linalg.inv(matrix)[:2], transform.fill)]


def grid_step(transform: A.GridDistortion, shape: dict) -> list[Step]:
    maps = transform.get_params_dependent_on_data(shape, {})
    return [step("grid", maps["map_x"][0], maps["map_y"][:, 0])]  # a column moves as a whole, and so does a row


def elastic_step(transform: A.ElasticTransform, shape: dict) -> list[Step]:
    """The displacements at points that are COARSE pixels apart; all the noise is drawn, for the draws that follow."""
    size = shape["shape"][0]
    noise = transform.random_generator.standard_normal((2 * size, size), dtype=np.float32)  # x above y
    down, across = smoothing(2 * size, 2, transform.sigma), smoothing(size, 1, transform.sigma)
    return [step("elastic", transform.alpha / np.abs(noise).max() * (down @ (noise @ across.T)))]


@cache
def smoothing(length: int, lines: int, sigma: float) -> np.ndarray:
    """(points, length): OpenCV's Gaussian blur of `lines` lines one after the other, seen at the points of each."""
    each = np.eye(length, dtype=np.float32)
    blur = cv2.GaussianBlur(each, (1, 0), sigmaX=1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)
    size = length // lines
    points = np.linspace(0, size - 1, size // COARSE + 1)
    places = np.concatenate([points + line * size for line in range(lines)]).astype(np.float32)
    columns = np.arange(length, dtype=np.float32)
    return cv2.remap(blur, *np.meshgrid(columns, places), cv2.INTER_LINEAR)


def jitter_steps(transform: A.ColorJitter, shape: dict) -> list[Step]:
    factors = transform.get_params()
    steps = [
        brightness(factors["brightness"]),
        step("contrast", factors["contrast"], 0),
        saturation(factors["saturation"], offset=0.5),
        step("hsv", 180 * factors["hue"], 0, 0),
    ]
    return [steps[i] for i in factors["order"]]


def tone_step(transform: A.RandomBrightnessContrast, shape: dict) -> list[Step]:
    tone = transform.get_params_dependent_on_data(shape, {"image": np.zeros(1, np.uint8)})
    return [step("linear", linear(tone["alpha"] * np.eye(3), tone["beta"]))]


def hsv_step(transform: A.HueSaturationValue, shape: dict) -> list[Step]:
    shift = transform.get_params()
    return [step("hsv", shift["hue_shift"], int(shift["sat_shift"]), int(shift["val_shift"]))]


def clahe_step(transform: A.CLAHE, shape: dict) -> list[Step]:
    return [step("clahe", transform.get_params()["clip_limit"])]


def motion_step(transform: A.MotionBlur, shape: dict) -> list[Step]:
    return [convolution(transform.get_params()["kernel"])]


def gaussian_step(transform: A.GaussianBlur, shape: dict) -> list[Step]:
    kernel = transform.get_params_dependent_on_data(shape, {})["kernel"]
    return [convolution(np.outer(kernel, kernel))]


def convolution(kernel: np.ndarray) -> Step:
    """A kernel of 3 × 3 or 5 × 5 as one of 5 × 5."""
    return step("convolve", np.pad(kernel, (5 - len(kernel)) // 2))


def median_step(transform: A.MedianBlur, shape: dict) -> list[Step]:
    return [step(f"median-{transform.get_params()['kernel']}")]


def hole_step(transform: A.CoarseDropout, shape: dict) -> list[Step]:
    return [step("hole", hole) for hole in transform.get_params_dependent_on_data(shape, {})["holes"]]


STEPS: dict[type, Callable[[A.BasicTransform, dict], list[Step]]] = {
    A.Affine: affine_step,
    A.Rotate: rotation_step,
    A.OpticalDistortion: lambda transform, shape: [
        step("optical", transform.py_random.uniform(*transform.distort_limit))
    ],
    A.GridDistortion: grid_step,
    A.ElasticTransform: elastic_step,
    A.ColorJitter: jitter_steps,
    A.RandomBrightnessContrast: tone_step,
    A.HueSaturationValue: hsv_step,
    A.CLAHE: clahe_step,
    A.MotionBlur: motion_step,
    A.GaussianBlur: gaussian_step,
    A.MedianBlur: median_step,
    TableNoise: lambda transform, shape: [step("noise", *transform.drawn())],
    A.CoarseDropout: hole_step,
}
"""What each transform draws, as steps. OpenCV's maps, which take longer than the draws, are left out."""
