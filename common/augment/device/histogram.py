"""Operations that look at how often each grey level occurs. Squares are uint8 (m, S, S, C), values float32 (m, p)."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms.v2 import functional

TILES = 8
"""Along each side of a square, as in albumentations."""
WHITE = (0.950456, 1.0, 1.088754)
TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
FROM_XYZ = ((3.240479, -1.53715, -0.498535), (-0.969256, 1.875991, 0.041556), (0.055648, -0.204043, 1.057311))
"""OpenCV's: sRGB at D65."""
LIGHT_BITS, WEIGHT_BITS, ROOT_BITS = 3, 12, 15
"""Binary places in OpenCV's integers: of linear light (a level of 255), of its weights in X, Y, Z, of cube roots."""


def autocontrast(squares: Tensor, values: Tensor) -> Tensor:
    """The darkest level of each channel becomes 0, the brightest 255; torchvision's own waits for the device."""
    low, high = squares.amin((1, 2), keepdim=True).float(), squares.amax((1, 2), keepdim=True).float()
    stretched = ((squares - low) / ((high - low) * (1 / 255))).to(torch.uint8)
    return torch.where(high > low, stretched, squares)


def equalize(squares: Tensor, values: Tensor) -> Tensor:
    return functional.equalize(squares.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def clahe(squares: Tensor, values: Tensor) -> Tensor:
    """Contrast limited adaptive histogram equalization of the lightness, as in OpenCV; `values` are the limits."""
    levels, green_red, blue_yellow = to_lab(squares)
    tables, side = tile_tables(levels, values)
    return from_lab(blended(tables, levels, side) / 2.55, green_red, blue_yellow)


def tile_tables(levels: Tensor, limits: Tensor) -> tuple[Tensor, int]:
    """The new level of each level in each tile, float32 (m, TILES, TILES, 256), and the side of a tile in pixels."""
    m, size, _ = levels.shape
    missing = -size % TILES
    if missing:
        levels = pad(levels[:, None].float(), (0, missing, 0, missing), "reflect")[:, 0].long()
    side = levels.shape[1] // TILES
    tiles = levels.view(m, TILES, side, TILES, side).transpose(2, 3).reshape(m, TILES**2, side**2)
    histogram = torch.zeros(m, TILES**2, 256, dtype=torch.int64, device=levels.device)
    histogram.scatter_add_(2, tiles, torch.ones_like(tiles))
    limit = (limits * side**2 / 256).floor().clamp(min=1).long()[:, :, None]
    total = limited(histogram, limit).cumsum(2)
    return (total * (255 / side**2)).round().clamp(0, 255).view(m, TILES, TILES, 256), side


def limited(histogram: Tensor, limit: Tensor) -> Tensor:
    """What exceeds the limit is spread over all levels, what is left of it over levels at equal distances."""
    excess = (histogram - limit).clamp(min=0).sum(2, keepdim=True)
    everywhere, left = excess // 256, excess % 256
    distance = (256 // left.clamp(min=1)).clamp(min=1)
    level = torch.arange(256, device=histogram.device)
    chosen = (level % distance == 0) & (level // distance < left)
    return histogram.minimum(limit) + everywhere + chosen


def blended(tables: Tensor, levels: Tensor, side: int) -> Tensor:
    """New levels, whole numbers as float32 (m, S, S): of each pixel between the four tiles around it."""
    m, size, _ = levels.shape
    place = torch.arange(size, device=levels.device) / side - 0.5
    first = place.floor()
    share = place - first
    first, second = (tile.clamp(0, TILES - 1).long() for tile in (first, first + 1))
    flat, pixels = tables.view(m, -1), levels.view(m, -1)

    def through(rows: Tensor, columns: Tensor) -> Tensor:
        tile = (rows[:, None] * TILES + columns).view(1, -1)
        return flat.gather(1, tile * 256 + pixels).view_as(levels)

    upper, lower = (through(row, first).lerp(through(row, second), share.expand_as(levels)) for row in (first, second))
    return upper.lerp(lower, share[:, None].expand_as(levels)).round()


@cache
def lab_tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """OpenCV's integers: of each level its light, of each light its cube root, and red, green and blue in X, Y, Z."""
    level = np.arange(256) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    x = np.arange(3 * 128 << LIGHT_BITS) / (255 << LIGHT_BITS)
    root = np.where(x < 0.008856, 7.787 * x + 16 / 116, np.cbrt(x))
    weights = np.array(TO_XYZ) / np.array(WHITE)[:, None] * (1 << WEIGHT_BITS)
    tables = ((255 << LIGHT_BITS) * light, root * (1 << ROOT_BITS), weights)
    return tuple(torch.from_numpy(np.rint(table).astype(np.int64)).to(device) for table in tables)


def to_lab(squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L of 255, a and b (grey is 0), int64 (m, S, S). In OpenCV's own integers: a level more or less of L would be many
    in a tile of few levels."""
    light, root, weights = lab_tables(squares.device)
    red, green, blue = light[squares.long()].unbind(3)
    x, y, z = (root[descaled(r * red + g * green + b * blue, WEIGHT_BITS)] for r, g, b in weights.unbind(0))
    lightness = descaled((116 * 255 + 50) // 100 * y - (16 * 255 * (1 << ROOT_BITS) + 50) // 100, ROOT_BITS)
    return lightness, descaled(500 * (x - y), ROOT_BITS), descaled(200 * (y - z), ROOT_BITS)


def descaled(value: Tensor, bits: int) -> Tensor:
    return (value + (1 << (bits - 1))) >> bits


def from_lab(lightness: Tensor, green_red: Tensor, blue_yellow: Tensor) -> Tensor:
    """L of 100, a, b → uint8 (m, S, S, 3)."""
    dark = lightness <= 8
    f_y = torch.where(dark, 7.787 * lightness / 903.3 + 16 / 116, (lightness + 16) / 116)
    y = torch.where(dark, lightness / 903.3, f_y**3)
    x, z = (
        torch.where(f <= 6 / 29, (f - 16 / 116) / 7.787, f**3) for f in (f_y + green_red / 500, f_y - blue_yellow / 200)
    )
    xyz = [value * white for value, white in zip((x, y, z), WHITE, strict=True)]
    light = torch.stack(
        [sum(weight * value for weight, value in zip(row, xyz, strict=True)) for row in FROM_XYZ], dim=3
    ).clamp(0, 1)
    colour = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
    return (255 * colour + 0.5).clamp(0, 255).to(torch.uint8)
