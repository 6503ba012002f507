"""Operations on a pixel's neighbours, noise and holes. Squares are uint8 (m, S, S, C), values float32 (m, p)."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from common.augment.noise import fields


def padded(squares: Tensor, width: int, mode: str) -> Tensor:
    """float32 (m, S + 2 * width, S + 2 * width, C); `mode` as in torch.nn.functional.pad."""
    return pad(squares.permute(0, 3, 1, 2).float(), (width,) * 4, mode).permute(0, 2, 3, 1)


def shifted(squares: Tensor, kernel: int) -> list[Tensor]:
    """What each place of a kernel sees of squares that were padded for it, row by row: (m, S, S, C) each."""
    size = squares.shape[1] - kernel + 1
    return [squares[:, i : i + size, j : j + size] for i in range(kernel) for j in range(kernel)]


def convolve(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are kernels of 5 × 5; the border is mirrored."""
    total = torch.zeros_like(squares, dtype=torch.float32)
    for weight, seen in zip(values.unbind(1), shifted(padded(squares, 2, "reflect"), 5), strict=True):
        total += weight[:, None, None, None] * seen
    return total.round().clamp(0, 255).to(torch.uint8)


def median(squares: Tensor, kernel: int) -> Tensor:
    """Border pixels go on outside."""
    around = padded(squares, kernel // 2, "replicate").to(torch.uint8)
    return torch.stack(shifted(around, kernel)).sort(dim=0).values[kernel**2 // 2]


def sharpness(squares: Tensor, values: Tensor) -> Tensor:
    """From a blurred image (0) over the image (1) on; the border stays as it is (torchvision)."""
    inner = squares[:, 1:-1, 1:-1].float()
    blurred = ((sum(seen.int() for seen in shifted(squares, 3)) + 4 * squares[:, 1:-1, 1:-1].int()) / 13).round()
    result = squares.clone()
    result[:, 1:-1, 1:-1] = (inner + (1 - values[:, :, None, None]) * (blurred - inner)).clamp(0, 255).to(torch.uint8)
    return result


def noise(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are mean and standard deviation of the noise in grey levels, and its seed; what is added is cut to an
    integer (albumentations)."""
    mean, sigma, seed = (value[:, None] for value in values.unbind(1))
    added = (mean + sigma * fields(seed.squeeze(1).long(), squares[0].numel())).trunc()
    return (squares.flatten(1) + added).clamp(0, 255).to(torch.uint8).view_as(squares)


def hole(squares: Tensor, values: Tensor) -> Tensor:
    """`values` are left, top, right and bottom of what becomes black; right and bottom are outside of it."""
    left, top, right, bottom = (value[:, None] for value in values.unbind(1))
    line = torch.arange(squares.shape[1], device=squares.device)
    rows, columns = (line >= top) & (line < bottom), (line >= left) & (line < right)
    return squares.masked_fill((rows[:, :, None] & columns[:, None])[..., None], 0)
