"""Operations on the colour of each pixel. Squares are uint8 (m, S, S, 3), values float32 (m, p).

Linear ones are a 3 × 4 matrix. Several in a row are not multiplied together: each ends at 0 and 255, as on the worker
path, and in a bright picture what is cut off there makes tens of grey levels.
"""

import torch
from torch import Tensor

PER_MILLE = (299, 587, 114)
"""Red, green and blue in the brightness of a pixel, as integers, so that a sum over pixels is exact."""


def rounded_down(values: Tensor) -> Tensor:
    """To uint8, as NumPy and torch cast."""
    return values.clamp(0, 255).to(torch.uint8)


def linear(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are 3 × 4 matrices, the constant last, row by row."""
    matrix = values.view(-1, 1, 1, 3, 4)
    red, green, blue = squares.float()[..., None].unbind(3)
    return rounded_down(red * matrix[..., 0] + green * matrix[..., 1] + blue * matrix[..., 2] + matrix[..., 3])


def contrast(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are a factor on the distance to the mean brightness, and a constant."""
    factor, offset = (value[:, None, None, None] for value in values.unbind(1))
    mean = mean_luma(squares)[:, None, None, None]
    return rounded_down(squares * factor + mean * (1 - factor) + offset)


def mean_luma(squares: Tensor) -> Tensor:
    """float32 (m,)."""
    sums = squares.sum(dim=(1, 2), dtype=torch.int64)
    red, green, blue = (share * total for share, total in zip(PER_MILLE, sums.unbind(1), strict=True))
    return ((red + green + blue).double() / (1000 * squares.shape[1] * squares.shape[2])).float()


def hsv(squares: Tensor, values: Tensor) -> Tensor:
    """Shifts of hue (of 180), saturation and value (of 255), on OpenCV's integer scales. Grey stays grey."""
    hue_shift, saturation_shift, value_shift = (value[:, None, None] for value in values.unbind(1))
    hue, saturation, value = to_hsv(squares)
    hue = torch.where(hue_shift == 0, hue, (hue + hue_shift).remainder(180).floor())
    saturation = torch.where(saturation == 0, saturation, (saturation + saturation_shift).clamp(0, 255))
    return from_hsv(hue, saturation, (value + value_shift).clamp(0, 255))


def to_hsv(squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue of 180, saturation and value of 255, whole numbers as float32 (m, S, S)."""
    red, green, blue = squares.float().unbind(3)
    value = torch.maximum(torch.maximum(red, green), blue)
    span = value - torch.minimum(torch.minimum(red, green), blue)
    sixth = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * span, red - green + 4 * span)
    )
    hue = (30 * sixth / span.clamp(min=1)).round()
    return torch.where(hue < 0, hue + 180, hue), (255 * span / value.clamp(min=1)).round(), value


def from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """uint8 (m, S, S, 3), rounded down, as OpenCV does on processors with vector instructions."""
    channels = []
    for offset in (5.0, 3.0, 1.0):
        k = (hue / 30 + offset).remainder(6)
        part = torch.minimum(k, 4 - k).clamp(0, 1)
        channels.append(value - value * saturation / 255 * part)
    return torch.stack(channels, dim=3).to(torch.uint8)


def posterize(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are masks of the bits that are kept."""
    return squares & values.to(torch.uint8)[:, :, None, None]


def solarize(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are where inversion begins."""
    return torch.where(squares >= values[:, :, None, None], 255 - squares, squares)
