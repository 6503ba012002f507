"""Where the pixels of a square come from: maps from places in a result to places in what it is made of, composed.

All blend the four pixels around a place, as in OpenCV and torchvision, but what the name of an operation says.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from common.augment.device.lookup import Pictures, Places, looked_at, squares_at, within

Warp = Callable[[Tensor, Tensor, Tensor], Places]
"""(x, y, values (m, p)) → where these places of the result lie in what was there before."""


def mapped(x: Tensor, y: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Places (m, S, S) through (2, 3) maps given as (m, 6)."""
    a, b, c, d, e, f = matrix[:, :, None, None].unbind(1)
    return a * x + b * y + c, d * x + e * y + f


def mirrored(place: Tensor) -> Tensor:
    """Outside of the square it goes on as its own mirror image, the border pixel not repeated (BORDER_REFLECT_101)."""
    last = place.shape[-1] - 1
    place = place.remainder(2 * last)
    return torch.minimum(place, 2 * last - place)


def affine(x: Tensor, y: Tensor, values: Tensor) -> Places:
    x, y = mapped(x, y, values)
    return Places(mirrored(x), mirrored(y))


def affine_filled(x: Tensor, y: Tensor, values: Tensor) -> Places:
    """What is uncovered is grey; the last value says how grey. The border blends into it over one pixel."""
    x, y = mapped(x, y, values[:, :6])
    inner_x, inner_y = (place.clamp(0, place.shape[-1] - 1) for place in (x, y))
    cover = (1 - (x - inner_x).abs()).clamp(min=0) * (1 - (y - inner_y).abs()).clamp(min=0)
    return Places(inner_x, inner_y, cover, values[:, 6, None, None])


def affine_nearest(x: Tensor, y: Tensor, values: Tensor) -> Places:
    """The same with the nearest pixel in place of a blend."""
    x, y = (place.round() for place in mapped(x, y, values[:, :6]))
    inner_x, inner_y = (place.clamp(0, place.shape[-1] - 1) for place in (x, y))
    cover = ((x == inner_x) & (y == inner_y)).float()
    return Places(inner_x, inner_y, cover, values[:, 6, None, None])


def optical(x: Tensor, y: Tensor, values: Tensor) -> Places:
    """A lens with the radial coefficients (k, k), whose focal length is the side of the square. In OpenCV the result's
    centre lies half a pixel before that of the square."""
    size = x.shape[-1]
    u, v = ((place - (size - 1) / 2) / size for place in (x, y))
    squared = u * u + v * v
    scale = 1 + values[:, :, None] * (squared + squared * squared)
    return Places(mirrored(u * scale * size + size / 2), mirrored(v * scale * size + size / 2))


def grid(x: Tensor, y: Tensor, values: Tensor) -> Places:
    """Columns move together, and so do rows: `values` are their places, first of the S columns, then of the S rows."""
    of_columns, of_rows = values.chunk(2, dim=1)
    return Places(mirrored(looked_up(of_columns, x)), mirrored(looked_up(of_rows, y)))


def looked_up(line: Tensor, place: Tensor) -> Tensor:
    """Values of a line (m, S) at the places (m, S, S), which lie within it."""
    before = place.floor().long()
    after = (before + 1).clamp(max=line.shape[1] - 1)
    left, right = (line.gather(1, at.flatten(1)).view_as(place) for at in (before, after))
    return left + (right - left) * (place - before)


def elastic(x: Tensor, y: Tensor, values: Tensor) -> Places:
    """`values` are displacements in x and in y at G × G points spread over the square."""
    size, points = x.shape[-1], round((values.shape[1] / 2) ** 0.5)
    coarse = values.view(-1, 2, points, points)
    field = interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    there = Pictures(field.permute(0, 2, 3, 1).reshape(-1, 2), *squares_at(len(x), size, x.device))
    moved = looked_at(there, x, y)
    return Places(mirrored(x + moved[..., 0]), mirrored(y + moved[..., 1]))


WARPS: dict[str, Warp] = {
    "affine": affine,
    "affine-filled": affine_filled,
    "affine-nearest": affine_nearest,
    "optical": optical,
    "grid": grid,
    "elastic": elastic,
}

EXACT = {"affine-nearest"}
"""Warps that take pixels as they are: composed with the one before, they give what they give after it."""


def pixel_places(n: int, size: int, device: torch.device) -> Places:
    """Each pixel where it is."""
    line = torch.arange(size, device=device, dtype=torch.float32)
    return Places(line.expand(n, 1, size), line[:, None].expand(n, size, 1))


def traced(stages: list, n: int, size: int, device: torch.device) -> Places:
    """Through stages of groups of warps (`common.augment.device.work`), from the last one back to the first."""
    places = pixel_places(n, size, device)
    if not stages:
        return places
    x, y = (place.expand(n, size, size).contiguous() for place in places[:2])
    cover, fill = torch.ones_like(x), x.new_zeros(n, 1, 1)
    for group in (group for stage in reversed(stages) for group in stage):
        members = group.members
        new = WARPS[group.name](x[members], y[members], group.values)
        x[members], y[members] = new.x, new.y
        if new.cover is not None:
            cover[members] = cover[members] * new.cover
            fill[members] = new.fill
    return Places(x, y, cover, fill)


def in_picture(places: Places, crops: Tensor, pictures: Pictures) -> Places:
    """From places in a crop's square (`Work.crops`) to those in its picture, whose border pixels go on outside."""
    top, left, height, width, across, down = crops[:, :, None, None].unbind(1)
    size = places.x.shape[2]
    x = torch.where(across > 0, size - 1 - places.x, places.x)
    y = torch.where(down > 0, size - 1 - places.y, places.y)
    x, y = left + (x + 0.5) * (width / size) - 0.5, top + (y + 0.5) * (height / size) - 0.5
    return places._replace(x=within(x, pictures.width), y=within(y, pictures.height))
