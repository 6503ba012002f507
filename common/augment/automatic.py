"""RandAugment and AugMix of torchvision, with a strength that scales what each operation does.

At strength 1 they are torchvision's own, bit for bit: the draws are made here, in torchvision's order, so that they may
be applied elsewhere too, and its operations are called with them. What a shift or a rotation uncovers is black in
AugMix and mid-grey in RandAugment, as in the authors' code.
"""

import math

import numpy as np
import torch
from torchvision.transforms import v2

from common.augment.drawn import Step, brightness, saturation, step

GEOMETRIC = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
ABRUPT = ("AutoContrast", "Equalize", "Solarize")
"""Operations without a gentle form: below strength 1 they are applied less often."""

Operation = tuple[str, float]
"""Name and magnitude, as torchvision's `_apply_image_or_video_transform` takes them."""


class Stream:
    """What torchvision draws from torch's global stream after `manual_seed(seed)`, from a stream of its own."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def below(self, end: int, begin: int = 0) -> int:
        return int(torch.randint(begin, end, (), generator=self.generator))

    def share(self) -> torch.Tensor:
        return torch.rand((), generator=self.generator)

    def dirichlet(self, parts: int) -> torch.Tensor:
        return torch._sample_dirichlet(torch.ones(1, parts), generator=self.generator)


class Automatic:
    """What both have in common. Images without exactly three channels get the geometry alone."""

    policy: v2.RandAugment | v2.AugMix
    bins: int
    warp: str
    """Step of `common.augment.device.geometry` that moves pixels as the policy does."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def draw_operation(self, stream: Stream, size: int, channels: int) -> Operation | None:
        """None: nothing is done."""
        names = tuple(self.policy._AUGMENTATION_SPACE)
        name = names[stream.below(len(names))]
        magnitudes, signed = self.policy._AUGMENTATION_SPACE[name]
        levels, magnitude = magnitudes(self.bins, size, size), 0.0
        if levels is not None:
            magnitude = float(levels[self.level(stream)])
            if signed and stream.share() <= 0.5:
                magnitude *= -1
        if name not in GEOMETRIC and channels != 3:
            return None
        if name in ABRUPT and self.strength < 1 and stream.share() >= self.strength:
            return None
        return name, self.scaled(name, magnitude)

    def level(self, stream: Stream) -> int:
        raise NotImplementedError

    def scaled(self, name: str, magnitude: float) -> float:
        """Shears, shifts, angles and factors are multiplied by the strength; Posterize and Solarize move away from the
        value that changes nothing (8 bits, a threshold of 1)."""
        if name == "Posterize":
            return max(round(8 - (8 - magnitude) * self.strength), 1)
        if name == "Solarize":
            return max(1 - (1 - magnitude) * self.strength, 0.0)
        return magnitude * self.strength

    def apply(self, image: torch.Tensor, operations: list[Operation]) -> torch.Tensor:
        policy = self.policy
        for name, magnitude in operations:
            image = policy._apply_image_or_video_transform(image, name, magnitude, policy.interpolation, policy._fill)
        return image

    def steps(self, operations: list[Operation], size: int) -> list[Step]:
        return [
            step(self.warp, inverse_map(name, magnitude, size), self.fill)
            if name in GEOMETRIC
            else colour_step(name, magnitude)
            for name, magnitude in operations
            if name != "Identity"
        ]

    @property
    def fill(self) -> float:
        return self.policy.fill or 0


class RandAugment(Automatic):
    """Two operations of magnitude 9 out of 30 (Cubuk et al., 2020)."""

    policy = v2.RandAugment(num_ops=2, magnitude=9, fill=128)
    bins = policy.num_magnitude_bins
    warp = "affine-nearest"

    def level(self, stream: Stream) -> int:
        return self.policy.magnitude

    def draw_operations(self, size: int, channels: int, seed: int) -> list[Operation]:
        stream = Stream(seed)
        drawn = [self.draw_operation(stream, size, channels) for _ in range(self.policy.num_ops)]
        return [operation for operation in drawn if operation]

    def draw(self, size: int, channels: int, seed: int) -> tuple[list[list[Step]], None]:
        return [self.steps(self.draw_operations(size, channels, seed), size)], None

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        operations = self.draw_operations(image.shape[0], image.shape[2], seed)
        return to_array(self.apply(to_tensor(image), operations))


class AugMix(Automatic):
    """Three chains of severity 3, mixed with the image (Hendrycks et al., 2020)."""

    policy = v2.AugMix(severity=3, mixture_width=3)
    bins = policy._PARAMETER_MAX
    warp = "affine-filled"

    def level(self, stream: Stream) -> int:
        return stream.below(self.policy.severity)

    def draw_chains(self, size: int, channels: int, seed: int) -> tuple[torch.Tensor, list[list[Operation]]]:
        """The shares of the image and of each chain, float32 (1 + chains,), and the chains."""
        stream = Stream(seed)
        image, augmented = stream.dirichlet(2).unbind(1)
        shares = torch.cat([image, (stream.dirichlet(self.policy.mixture_width) * augmented[:, None])[0]])
        chains = []
        for _ in range(self.policy.mixture_width):
            drawn = [self.draw_operation(stream, size, channels) for _ in range(stream.below(4, begin=1))]
            chains.append([operation for operation in drawn if operation])
        return shares, chains

    def draw(self, size: int, channels: int, seed: int) -> tuple[list[list[Step]], np.ndarray]:
        shares, chains = self.draw_chains(size, channels, seed)
        return [[], *(self.steps(chain, size) for chain in chains)], shares.numpy()

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        shares, chains = self.draw_chains(image.shape[0], image.shape[2], seed)
        image = to_tensor(image)[None]
        mix = shares[0] * image
        for share, chain in zip(shares[1:], chains, strict=True):
            mix.add_(share * self.apply(image, chain))
        return to_array(mix[0].to(torch.uint8))


def to_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


def to_array(image: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def inverse_map(name: str, magnitude: float, size: int) -> np.ndarray:
    """(2, 3): from a pixel of the result to the place in the image that torchvision takes it from."""
    m, angle, shift = magnitude, math.radians(magnitude), -float(int(magnitude))
    matrix = {
        "ShearX": [[1, m, m * size / 2], [0, 1, 0]],  # sheared about the corner, hence the third column
        "ShearY": [[1, 0, 0], [m, 1, m * size / 2]],
        "TranslateX": [[1, 0, shift], [0, 1, 0]],
        "TranslateY": [[1, 0, 0], [0, 1, shift]],
        "Rotate": [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]],
    }[name]
    return about_centre(np.array(matrix, dtype=np.float64), size)


def about_centre(matrix: np.ndarray, size: int) -> np.ndarray:
    """A (2, 3) map of places counted from the centre as one of places counted from the first pixel."""
    centre = np.full(2, (size - 1) / 2)
    return np.column_stack([matrix[:, :2], matrix[:, 2] + centre - matrix[:, :2] @ centre])


def colour_step(name: str, magnitude: float) -> Step:
    factor = 1 + magnitude
    if name == "Brightness":
        return brightness(factor)
    if name == "Color":  # torchvision rounds the grey image down: by half a level on average
        return saturation(factor, offset=-0.5 * (1 - factor))
    if name == "Contrast":
        return step("contrast", factor, -0.5 * (1 - factor))
    if name == "Sharpness":
        return step("sharpness", factor)
    if name == "Posterize":
        bits = int(magnitude)
        return step("posterize", 256 - 2 ** (8 - bits))
    if name == "Solarize":
        return step("solarize", 255 * magnitude)
    return step({"AutoContrast": "autocontrast", "Equalize": "equalize"}[name])
