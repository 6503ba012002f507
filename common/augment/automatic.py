"""RandAugment and AugMix of torchvision, with a strength that scales what each operation does.

At strength 1 they are torchvision's own, bit for bit. What a shift or a rotation uncovers is black in AugMix and
mid-grey in RandAugment, as in the authors' code.
"""

import numpy as np
import torch
from torchvision.transforms import v2

GEOMETRIC = ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
ABRUPT = ("AutoContrast", "Equalize", "Solarize")
"""Operations without a gentle form: below strength 1 they are applied less often."""


class Scaled:
    """Scales the magnitudes that one of torchvision's automatic policies draws.

    Shears, shifts, angles and factors are multiplied by the strength; Posterize and Solarize move away from the value
    that changes nothing (8 bits, a threshold of 1). Images without exactly three channels get the geometry alone.
    """

    strength: float

    def _apply_image_or_video_transform(self, image, transform_id, magnitude, interpolation, fill):
        if transform_id not in GEOMETRIC and image.shape[-3] != 3:
            return image
        if transform_id in ABRUPT and self.strength < 1 and torch.rand(()) >= self.strength:
            return image
        if transform_id == "Posterize":
            magnitude = max(round(8 - (8 - magnitude) * self.strength), 1)
        elif transform_id == "Solarize":
            magnitude = max(1 - (1 - magnitude) * self.strength, 0.0)
        else:
            magnitude = magnitude * self.strength
        return super()._apply_image_or_video_transform(image, transform_id, magnitude, interpolation, fill)

    def on_array(self, image: np.ndarray, seed: int) -> np.ndarray:
        """uint8 (H, W, C) and a seed → uint8 (H, W, C). torch's global CPU stream is as before."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
            varied = self(torch.from_numpy(image.copy()).permute(2, 0, 1))
        return np.ascontiguousarray(varied.permute(1, 2, 0).numpy())


class RandAugment(Scaled, v2.RandAugment):
    """Two operations of magnitude 9 out of 30 (Cubuk et al., 2020)."""

    def __init__(self, strength: float) -> None:
        super().__init__(num_ops=2, magnitude=9, fill=128)
        self.strength = strength


class AugMix(Scaled, v2.AugMix):
    """Three chains of severity 3, mixed with the image (Hendrycks et al., 2020)."""

    def __init__(self, strength: float) -> None:
        super().__init__(severity=3, mixture_width=3)
        self.strength = strength
