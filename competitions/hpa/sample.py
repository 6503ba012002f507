"""Sample data for the Protein Atlas: drawn cells in the layout of the real download. Not real images of any."""

from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.sample import shares, soft_noise, write_sample
from competitions.hpa.cells import LOCATIONS, SIZE, Cell, place_cells, rays, threads
from competitions.hpa.images import COLORS

CLASS_COUNTS = (
    *(12885, 1254, 3621, 1561, 1858, 2513, 1008, 2822, 53, 45, 28, 1093, 688, 537),
    *(1066, 21, 530, 210, 902, 1482, 172, 3777, 802, 2965, 322, 8228, 328, 11),
)
"""Rows of the real train.csv with each class."""
SET_SIZES = (15126, 12485, 3160, 299, 2)
"""Rows of the real train.csv with 1, 2, … classes."""
TRAIN, TEST = 400, 120
SPLIT_SHARES = {"train": 22582, "val": 5664, "test_val": 2826}


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 400 training and 120 test pictures, four files each; the same for the same seed.

    Returns:
        the truth of the test set: id, label (as "0 16"), in the order of sample_submission.csv.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2018])
    train, test = (make_table(n, random) for n in (TRAIN, TEST))
    drawings = [
        (f"{part}/{row.Id}_{color}.png", partial(draw_plane, (seed, int(row.Id[:8], 16)), row.Target, number))
        for part, rows in (("train", train), ("test", test))
        for row in rows.itertuples()
        for number, color in enumerate(COLORS)
    ]
    tables = {
        "train.csv": train,
        "sample_submission.csv": test[["Id"]].assign(Predicted=0),
        "hpa_split.csv": train.assign(Split=np.array(list(SPLIT_SHARES))[split_numbers(train, random)]),
    }
    write_sample(folder, "hpa", seed, drawings, tables)
    truth = [" ".join(sorted(target.split(), key=int)) for target in test["Target"]]
    return pd.DataFrame({"id": test["Id"], "label": truth})


def make_table(n: int, random: np.random.Generator) -> pd.DataFrame:
    """`n` rows as in train.csv. How many classes a row has is as in the real table; rare classes are less rare, by the
    square root and never below 12 parts, so that each is there at all."""
    weights = np.maximum(np.sqrt(CLASS_COUNTS), 12)
    first = random.permutation(shares(weights, n))
    sizes = 1 + random.permutation(shares(SET_SIZES, n))
    targets = [draw_classes(label, size, weights, random) for label, size in zip(first, sizes, strict=True)]
    return pd.DataFrame({"Id": [make_id(random) for _ in range(n)], "Target": targets})


def draw_classes(first: int, size: int, weights: np.ndarray, random: np.random.Generator) -> str:
    """`first` and others, in no order, as the real table has them."""
    others = np.delete(np.arange(len(weights)), first)
    chances = weights[others] / weights[others].sum()
    classes = [first, *random.choice(others, size - 1, replace=False, p=chances)]
    return " ".join(str(label) for label in random.permutation(classes))


def make_id(random: np.random.Generator) -> str:
    """A name like those of the download: a UUID whose later parts few pictures differ in."""
    return f"{random.integers(2**32):08x}-bb{random.integers(256):02x}-11e8-b2b9-ac1f6b6435d0"


def split_numbers(train: pd.DataFrame, random: np.random.Generator) -> np.ndarray:
    """Part of each row: in the shares of the published split, over rows ordered by their first class."""
    parts = np.resize(shares(tuple(SPLIT_SHARES.values()), 11)[random.permutation(11)], len(train))
    order = np.argsort(train["Target"].str.split().str[0].astype(int).to_numpy(), kind="stable")
    return parts[np.argsort(order)]


def draw_plane(seed: tuple[int, int], target: str, color: int) -> np.ndarray:
    """One colour's file, uint8 (SIZE, SIZE). The four of a picture are asked for one after the other."""
    return draw_picture(seed, target)[color]


@lru_cache(maxsize=1)
def draw_picture(seed: tuple[int, int], target: str) -> list[np.ndarray]:
    """Red, green, blue and yellow of one picture, each uint8 (SIZE, SIZE)."""
    random = np.random.default_rng(seed)
    cells = place_cells(random)
    red = sum((0.25 * cell.cytoplasm + 0.8 * rays(cell, random)) for cell in cells)
    reticulum = threads(random, 30, 0.8)
    yellow = sum(cell.cytoplasm * cell.near_nucleus(2.2) * (0.35 + 0.6 * reticulum) for cell in cells)
    chromatin = 0.75 + 0.1 * soft_noise(random, SIZE, SIZE, 40)
    blue = sum(cell.nucleus * (1 - 0.5 * cell.nucleoli) for cell in cells) * chromatin
    planes = (red, draw_protein(cells, target, random), blue, yellow)
    return [photograph(plane, random) for plane in planes]


def draw_protein(cells: list[Cell], target: str, random: np.random.Generator) -> np.ndarray:
    """The protein at each of its places, not equally bright in each nor in each cell, over a haze of stain that binds
    nowhere in particular."""
    green = random.uniform(0.02, 0.15) * sum(cell.body for cell in cells)
    for label in map(int, target.split()):
        strength = random.uniform(0.35, 0.9)
        for cell in cells:
            green = green + strength * random.uniform(0.6, 1.1) * LOCATIONS[label](cell, random)
    return green


def photograph(plane: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What the microscope adds: blur, exposure, grain. uint8."""
    plane = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), random.uniform(0.4, 0.8))
    plane = 255 * random.uniform(0.6, 1.0) * plane
    grain = random.standard_normal(plane.shape, dtype=np.float32) * (2 + 0.25 * np.sqrt(np.maximum(plane, 0)))
    return np.clip(plane + grain + 3, 0, 255).astype(np.uint8)
