"""From pixels and draws to the augmented batch."""

import torch

from common.augment.device.blur import convolve, hole, median, noise, sharpness
from common.augment.device.colour import contrast, hsv, linear, posterize, solarize
from common.augment.device.geometry import in_picture, traced
from common.augment.device.histogram import autocontrast, clahe, equalize
from common.augment.device.lookup import Look, Pictures, look, sampled, squares_as_pictures
from common.augment.device.work import Work

COLOURS = {
    "linear": linear,
    "contrast": contrast,
    "hsv": hsv,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "clahe": clahe,
    "sharpness": sharpness,
    "convolve": convolve,
    "median-3": lambda squares, values: median(squares, 3),
    "median-5": lambda squares, values: median(squares, 5),
    "noise": noise,
    "hole": hole,
}
"""`(squares uint8 (m, S, S, C), values float32 (m, p)) → squares`, by the name of the step."""


def augment(pictures: Pictures, work: Work, size: int, look: Look = look) -> torch.Tensor:
    """The squares of n pictures, uint8 (n, C, size, size) in channels-last memory.

    Args:
        pictures: n of them, on the device of `work`.
        work: what is done to each, with tensors (`Work.on`).
        size: side of the result in pixels.
        look: how pixels are looked up, where it is compiled.
    """
    chains, (first, *rest) = work.chains, work.rounds
    copies = chains if first.geometry else 1  # else the chains of a picture all begin at the same square
    each = Pictures(pictures.pixels, *(of_each.repeat_interleave(copies) for of_each in pictures[1:]))
    places = traced(first.geometry, len(each.begin), size, each.begin.device)
    squares = sampled(each, in_picture(places, work.crops.repeat_interleave(copies, dim=0), each), look)
    squares = squares.repeat_interleave(chains // copies, dim=0)
    coloured(squares, first.colours)
    for later in rest:
        if later.geometry:
            moved = squares[later.moved]
            places = traced(later.geometry, len(moved), size, moved.device)
            squares[later.moved] = sampled(squares_as_pictures(moved), places, look)
        coloured(squares, later.colours)
    if chains > 1:
        squares = mixed(squares.view(-1, chains, *squares.shape[1:]), work.shares)
    return squares.permute(0, 3, 1, 2)


def coloured(squares: torch.Tensor, stages: list) -> None:
    """Apply stages of groups of colour operations, in place."""
    for group in (group for stage in stages for group in stage):
        squares[group.members] = COLOURS[group.name](squares[group.members], group.values)


def mixed(squares: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """The weighted sum over the chains, (n, chains, …) → (n, …), rounded down as torchvision does."""
    total = torch.zeros_like(squares[:, 0], dtype=torch.float32)
    for chain in range(squares.shape[1]):
        total += shares[:, chain, None, None, None] * squares[:, chain]
    return total.clamp(0, 255).to(torch.uint8)
