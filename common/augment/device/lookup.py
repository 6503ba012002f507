"""Pixels at places between pixels: the one step that reads the cache, and the one that takes most of the time.

Places are (x, y) in pixels, counted from the centre of the first one. Squares are uint8 (n, S, S, C).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

AT_ONCE = 1 << 22
"""Pixels of the result that are looked up together: bounds what the lookup needs beside the result to about 300 MB."""


class Pictures(NamedTuple):
    """n images of different shapes in one memory."""

    pixels: Tensor
    """uint8 (N, C)."""
    begin: Tensor
    """int64 (n,): where the first pixel of each lies."""
    height: Tensor
    """float32 (n,)."""
    width: Tensor
    """float32 (n,)."""


class Places(NamedTuple):
    """Where each pixel of n squares is taken from."""

    x: Tensor
    """float32 (n, S, S), or (n, 1, S) where no two rows differ."""
    y: Tensor
    """float32 (n, S, S), or (n, S, 1)."""
    cover: Tensor | None = None
    """float32 (n, S, S) in [0, 1]: share of the picture in a pixel, the rest being the grey value `fill`."""
    fill: Tensor | None = None
    """float32 (n, 1, 1)."""


Look = Callable[[Pictures, Places], Tensor]
"""`look`, or what a compiler makes of it."""


def within(place: Tensor, length: Tensor) -> Tensor:
    return torch.minimum(place.clamp(min=0), length[:, None, None] - 1)


def squares_at(n: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """`begin`, `height` and `width` of n squares one after the other."""
    side = torch.full((n,), float(size), device=device)
    return torch.arange(n, device=device) * size**2, side, side


def squares_as_pictures(squares: Tensor) -> Pictures:
    n, size, _, channels = squares.shape
    return Pictures(squares.view(-1, channels), *squares_at(n, size, squares.device))


def looked_at(pictures: Pictures, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values at places that lie within the pictures, float32 (n, S, S, C)."""
    left, top = x.floor(), y.floor()
    right, bottom = within(left + 1, pictures.width).long(), within(top + 1, pictures.height).long()
    width, begin = pictures.width.long()[:, None, None], pictures.begin[:, None, None]
    upper, lower = begin + top.long() * width, begin + bottom * width

    def row(begin: Tensor) -> Tensor:
        first, second = pictures.pixels[begin + left.long()].float(), pictures.pixels[begin + right]
        return first.lerp(second.float(), (x - left)[..., None].expand_as(first))

    above = row(upper)
    return above.lerp(row(lower), (y - top)[..., None].expand_as(above))


def look(pictures: Pictures, places: Places) -> Tensor:
    """What is seen at places that lie within the pictures, uint8 (n, S, S, C)."""
    seen = looked_at(pictures, places.x, places.y)
    if places.cover is not None:
        fill = places.fill[..., None]
        seen = fill + (seen - fill) * places.cover[..., None]
    return (seen + 0.5).to(torch.uint8)


def sampled(pictures: Pictures, places: Places, look: Look) -> Tensor:
    """The same, a part of the images at a time."""
    some = max(AT_ONCE // places.x.shape[2] ** 2, 1)
    parts = []
    for part in (slice(i, i + some) for i in range(0, len(places.x), some)):
        here = Pictures(pictures.pixels, *(of_each[part] for of_each in pictures[1:]))
        parts.append(look(here, Places(*(None if of_each is None else of_each[part] for of_each in places))))
    return torch.cat(parts)
