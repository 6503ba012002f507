"""Sample data for EuroSAT: drawn satellite tiles in the layout of the real download. Not real images of any place."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.sample import shares, soft_noise, write_sample
from competitions.eurosat import COMPETITION
from competitions.eurosat.bands import WHITE

CLASS_COUNTS = (3000, 3000, 3000, 2500, 2500, 2000, 2500, 3000, 2500, 3000)  # of the real 27,000
TILES = 750
SIDE = 64
TURN = 2 * np.pi
MEADOW, SOIL, STRAW, OLIVE = (60, 105, 80), (80, 100, 130), (110, 145, 160), (65, 92, 88)  # blue, green, red
FOREST, WATER, STREET = (48, 66, 44), (95, 62, 35), (135, 132, 130)


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 750 tiles in `2750`, each in RGB and, beside it, in thirteen bands; the same for the same seed.

    Returns:
        the truth of a test set (id, label), which is empty: EuroSAT has none.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2750])
    labels = shares(CLASS_COUNTS, TILES)
    names = [COMPETITION.classes[label] for label in labels]
    numbers = random.choice(np.arange(1, 3001), TILES, replace=False)
    ids = [f"{name}/{name}_{number}" for name, number in zip(names, numbers, strict=True)]
    drawings = [
        drawing
        for i, (id, label) in enumerate(zip(ids, labels, strict=True))
        for drawing in (
            (f"2750/{id}.jpg", partial(draw_tile, [seed, i], label)),
            (f"2750/{id}.tif", partial(draw_bands, [seed, i], label)),
        )
    ]
    write_sample(folder, "eurosat", seed, drawings, {})
    return pd.DataFrame({"id": [], "label": []})


def draw_tile(seed, label: int) -> np.ndarray:
    """One tile of 640 m as uint8 (64, 64, 3) in BGR, seen through its own season, haze and light."""
    random = np.random.default_rng(seed)
    tile = DRAW[COMPETITION.classes[label]](random)
    tile *= random.normal(1, 0.07, 3).astype(np.float32) * np.float32(random.uniform(0.75, 1.25))
    haze = np.float32(random.uniform(0, 0.3))
    tile += haze * (np.array([140, 130, 125], np.float32) - tile)
    tile = cv2.GaussianBlur(tile, (0, 0), random.uniform(0.5, 0.9))
    tile += 2 * random.standard_normal(tile.shape, dtype=np.float32)
    return np.clip(tile, 0, 255).astype(np.uint8)


def draw_bands(seed, label: int) -> bytes:
    """The same tile as a TIFF file of thirteen bands: what is green is bright in the near infrared, what is bare is
    bright in the short-wave one, and water is dark in both."""
    blue, green, red = np.moveaxis(draw_tile(seed, label).astype(np.float32) / 255, 2, 0)
    other = np.maximum(red, blue)
    plants = np.clip(6 * (green - other) / (green + other + 0.05), 0, 1)
    bare = np.clip(1 - plants, 0, 1) * red
    near, short = 0.1 + 0.8 * plants * (0.5 + green), 0.1 + bare
    edge, water, cirrus = (red + near) / 2, 0.3 * near, 0.1 * blue
    seen = (blue, blue, green, red, edge, near, near, near, water, cirrus, short, 0.8 * short, near)
    grain = np.random.default_rng([*seed, 13]).normal(1, 0.02, (SIDE, SIDE, 1))
    bands = np.stack(seen, axis=2) * np.array(list(WHITE.values())) * grain
    return as_tiff(np.clip(bands, 0, 65535).astype("<u2"))


def as_tiff(pixels: np.ndarray) -> bytes:
    """uint16 (h, w, bands), little-endian → an uncompressed TIFF file of one strip, as the real tiles are. Pillow and
    OpenCV write four bands at most."""
    height, width, bands = pixels.shape
    data = pixels.tobytes()
    bits_at = 8 + len(data)
    short, long = 3, 4
    tags = (
        *((256, long, 1, width), (257, long, 1, height), (258, short, bands, bits_at), (259, short, 1, 1)),
        *((262, short, 1, 1), (273, long, 1, 8), (277, short, 1, bands), (278, long, 1, height)),
        *((279, long, 1, len(data)), (284, short, 1, 1)),
    )
    bits = struct.pack(f"<{bands}H", *[16] * bands)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHI", b"II", 42, bits_at + len(bits))
    return head + data + bits + struct.pack("<H", len(tags)) + entries + bytes(4)


def ground(random: np.random.Generator, color: tuple, patches: float, grain: float) -> np.ndarray:
    """One colour with soft patches and fine grain, float32 (64, 64, 3)."""
    light = 1 + patches * soft_noise(random, SIDE, SIDE, 4) + grain * soft_noise(random, SIDE, SIDE, 30)
    return np.array(color, np.float32) * light[..., None]


def fields(random: np.random.Generator, colors: list[tuple], size: float, grain: float) -> np.ndarray:
    """Plots of about `size` pixels in the directions of one grid, each of a colour between some of `colors`."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2
    angle = random.uniform(0, TURN)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    reach = 0.75 * SIDE
    cuts = [np.sort(random.uniform(-reach, reach, round(2 * reach / step))) for step in (size, 1.8 * size)]
    cell = np.searchsorted(cuts[0], along), np.searchsorted(cuts[1], across)
    weights = random.dirichlet([0.6] * len(colors), [len(cut) + 1 for cut in cuts])
    plots = (weights @ np.array(colors)).astype(np.float32)[cell]
    return plots * ground(random, (1, 1, 1), 0.05, grain)


def countryside(random: np.random.Generator) -> np.ndarray:
    """What roads and rivers run through."""
    return [annual_crop, herbaceous, pasture, forest][random.choice(4, p=[0.4, 0.25, 0.2, 0.15])](random)


def annual_crop(random: np.random.Generator) -> np.ndarray:
    return fields(random, [MEADOW, SOIL, STRAW], random.uniform(16, 40), 0.03)


def permanent_crop(random: np.random.Generator) -> np.ndarray:
    """Smaller plots than annual crops, with the grain of rows of trees."""
    return fields(random, [MEADOW, OLIVE, SOIL], random.uniform(9, 20), 0.09)


def forest(random: np.random.Generator) -> np.ndarray:
    return ground(random, FOREST, 0.06, 0.05)


def herbaceous(random: np.random.Generator) -> np.ndarray:
    """Scrub: olive and brown that run into each other."""
    tile = ground(random, OLIVE, 0.14, 0.08)
    share = np.clip(0.35 + 0.4 * soft_noise(random, SIDE, SIDE, 7), 0, 1)[..., None]
    return tile + share * (np.array(SOIL, np.float32) - tile)


def pasture(random: np.random.Generator) -> np.ndarray:
    """Even green with hedges and single trees."""
    tile = fields(random, [MEADOW, (66, 118, 92)], 35, 0.03)
    for _ in range(random.poisson(9)):
        cv2.circle(tile, point(random), int(random.integers(1, 3)), FOREST, -1, cv2.LINE_AA)
    return tile


def highway(random: np.random.Generator) -> np.ndarray:
    """A road of one or two lanes, straight or in a wide bend."""
    tile = countryside(random)
    path = winding(random, bend=0.25)
    cv2.polylines(tile, [path], False, STREET, int(random.integers(2, 5)), cv2.LINE_AA)
    return tile


def river(random: np.random.Generator) -> np.ndarray:
    """A wider, darker and more winding band than a road."""
    tile = countryside(random)
    color = tinted(random, WATER)
    cv2.polylines(tile, [winding(random, bend=0.9)], False, color, int(random.integers(5, 15)), cv2.LINE_AA)
    return tile


def industrial(random: np.random.Generator) -> np.ndarray:
    """Few large bright roofs on asphalt."""
    tile = ground(random, STREET, 0.12, 0.12)
    angle = random.uniform(0, 90)
    for _ in range(int(random.integers(5, 13))):
        roof(tile, random, angle, random.uniform(8, 22, 2), tinted(random, (190, 190, 190)))
    return tile


def residential(random: np.random.Generator) -> np.ndarray:
    """Many small roofs, red or grey, among gardens and along streets."""
    tile = ground(random, MEADOW, 0.12, 0.12)
    angle = random.uniform(0, 90)
    for _ in range(int(random.integers(3, 6))):
        cv2.polylines(tile, [winding(random, bend=0.1)], False, STREET, 1, cv2.LINE_AA)
    for _ in range(int(random.integers(60, 140))):
        color = [(115, 125, 165), (150, 150, 155)][random.integers(2)]
        roof(tile, random, angle, random.uniform(2, 5, 2), tinted(random, color))
    return tile


def sea_lake(random: np.random.Generator) -> np.ndarray:
    """Water, now and then with a shore."""
    water = ground(random, WATER, 0.04, 0.02)
    if random.uniform() < 0.75:
        return water
    shore = np.clip(4 * (soft_noise(random, SIDE, SIDE, 2) - random.uniform(0.8, 1.5)), 0, 1)[..., None]
    return water + shore * (countryside(random) - water)


def winding(random: np.random.Generator, bend: float) -> np.ndarray:
    """Points of a line through the tile from one side to another, int32 (n, 2)."""
    heading, along = random.uniform(0, TURN), np.linspace(-1, 1, 15)
    sway = bend * np.sin(along * random.uniform(1, 3) + random.uniform(0, TURN)) + random.normal(0, 0.02, 15)
    across = random.uniform(-0.4, 0.4) + sway - sway.mean()
    x, y = np.cos(heading) * along - np.sin(heading) * across, np.sin(heading) * along + np.cos(heading) * across
    return np.rint(SIDE / 2 + SIDE * 0.75 * np.stack([x, y], axis=1)).astype(np.int32)


def tinted(random: np.random.Generator, color: tuple) -> tuple:
    return tuple((np.array(color) * random.normal(1, 0.15) + random.normal(0, 6, 3)).tolist())


def roof(tile: np.ndarray, random: np.random.Generator, angle: float, size: np.ndarray, color: tuple) -> None:
    corners = cv2.boxPoints((point(random), tuple(size.tolist()), angle))
    cv2.fillConvexPoly(tile, np.rint(16 * corners).astype(np.int32), color, cv2.LINE_AA, 4)


def point(random: np.random.Generator) -> tuple[int, int]:
    x, y = random.integers(0, SIDE, 2)
    return int(x), int(y)


DRAW: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "AnnualCrop": annual_crop,
    "Forest": forest,
    "HerbaceousVegetation": herbaceous,
    "Highway": highway,
    "Industrial": industrial,
    "Pasture": pasture,
    "PermanentCrop": permanent_crop,
    "Residential": residential,
    "River": river,
    "SeaLake": sea_lake,
}
