"""Sample data for APTOS: drawn fundus photographs in the layout of the real download. Not real images of anyone."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.sample import shares, soft_noise, write_sample

CLASS_COUNTS = (1805, 370, 999, 193, 295)  # of the real train.csv
TRAIN, TEST = 600, 200
TURN = 2 * np.pi
SUB = 4  # OpenCV's fixed point for drawing between pixels: coordinates are given in sixteenths


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 600 training and 200 test photographs; the same for the same seed.

    Returns:
        the truth of the test set: id, label (0..4), in the order of test.csv.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    random = np.random.default_rng([seed, 2019])
    grades = np.concatenate([random.permutation(shares(CLASS_COUNTS, n)) for n in (TRAIN, TEST)])
    ids = [f"{number:012x}" for number in random.choice(2**48, TRAIN + TEST, replace=False)]
    table = pd.DataFrame({"id_code": ids, "diagnosis": grades})
    train, test = table[:TRAIN], table[TRAIN:]
    drawings = [
        (f"{part}_images/{row.id_code}.png", partial(draw_photograph, [seed, int(row.id_code, 16)], row.diagnosis))
        for part, rows in (("train", train), ("test", test))
        for row in rows.itertuples()
    ]
    tables = {
        "train.csv": train,
        "test.csv": test[["id_code"]],
        "sample_submission.csv": test.assign(diagnosis=0),
    }
    write_sample(folder, "aptos", seed, drawings, tables)
    return test.rename(columns={"id_code": "id", "diagnosis": "label"}).reset_index(drop=True)


@dataclass(frozen=True)
class Eye:
    """Where things are in one photograph, in pixels."""

    height: int
    width: int
    center: np.ndarray
    radius: float
    disc: np.ndarray
    macula: np.ndarray
    side: int  # 1: the optic disc lies to the right

    def anywhere(self, random: np.random.Generator, reach: float = 0.9) -> np.ndarray:
        """A random point of the retina."""
        angle, distance = random.uniform(0, TURN), self.radius * reach * np.sqrt(random.uniform())
        return self.center + distance * np.array([np.cos(angle), np.sin(angle)])


def draw_photograph(seed, grade: int) -> np.ndarray:
    """One eye as uint8 (h, w, 3) in BGR. What is seen follows a severity that scatters around the grade by 0.4."""
    random = np.random.default_rng(seed)
    eye = place_eye(random)
    severity = max(0.0, grade + random.normal(0, 0.4)) if grade else abs(random.normal(0, 0.25))
    image = draw_retina(eye, random)
    draw_vessels(image, eye, random)
    draw_lesions(image, eye, random, severity)
    return photograph(image, eye, random)


def place_eye(random: np.random.Generator) -> Eye:
    """Cameras differ: a whole circle in a wide frame, a circle cut above and below, or a tight crop."""
    height = int(random.integers(160, 221))
    wide, fill = ((1.5, 0.49), (1.33, 0.56), (1.05, 0.5))[random.choice(3, p=[0.45, 0.35, 0.2])]
    width = int(height * wide)
    radius = height * fill * random.uniform(0.97, 1.0)
    center = np.array([width / 2, height / 2]) + random.normal(0, 0.015 * height, 2)
    side = int(random.choice([-1, 1]))
    disc = center + radius * np.array([0.5 * side, random.uniform(-0.08, 0.08)])
    macula = center + radius * np.array([-0.15 * side, random.uniform(0.0, 0.1)])
    return Eye(height, width, center, radius, disc, macula, side)


def draw_retina(eye: Eye, random: np.random.Generator) -> np.ndarray:
    """The background with optic disc and macula, float32 (h, w, 3), about 0 to 255."""
    hue = np.array([random.uniform(20, 60), random.uniform(70, 115), random.uniform(165, 220)], np.float32)
    mottled = (
        1 + 0.06 * soft_noise(random, eye.height, eye.width, 5) + 0.03 * soft_noise(random, eye.height, eye.width, 24)
    )
    image = hue * mottled[..., None]
    image *= 1 - 0.4 * _spot(eye, eye.macula, 0.2)[..., None]
    glow = np.array([150, 215, 250], np.float32)
    for center, size, strength in ((eye.disc, 0.14, 0.85), (eye.disc + random.normal(0, 2, 2), 0.07, 0.6)):
        blend = np.float32(strength) * np.minimum(1, 1.6 * _spot(eye, center, size))[..., None]
        image += blend * (glow - image)
    return image


def draw_vessels(image: np.ndarray, eye: Eye, random: np.random.Generator) -> None:
    """Arcades from the optic disc above and below the macula, veins darker and wider than arteries, with branches."""
    for color, width in (((30, 35, 115), 0.034), ((40, 55, 150), 0.022)):
        for vertical in (-1, 1):
            for bend in (random.uniform(0.75, 1.1), random.uniform(0.2, 0.5)):
                heading = np.arctan2(vertical, -eye.side * random.uniform(0.1, 0.6))
                turn = -vertical * eye.side * bend
                _vessel(image, eye, random, eye.disc, heading, -turn, width * eye.radius, color, branches=3)
            away = np.arctan2(vertical * 0.8, eye.side)
            _vessel(image, eye, random, eye.disc, away, random.normal(0, 0.3), width * 0.6 * eye.radius, color, 1)


def _vessel(image, eye, random, start, heading, turn, width, color, branches) -> None:
    """A curve of 24 steps that thins towards its end, in pieces of one width each; branches fork off midway."""
    steps, piece = 24, 4
    headings = heading + turn * np.linspace(0, 1.6, steps) + np.cumsum(random.normal(0, 0.07, steps))
    moves = 0.067 * eye.radius * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    points = np.vstack([start, start + np.cumsum(moves, axis=0)])
    widths = width * np.linspace(1, 0.3, steps)
    for i in range(0, steps, piece):
        _line(image, points[i : i + piece + 1], color, widths[i])
    for i in random.integers(4, steps - 4, branches):
        fork = headings[i] + random.choice([-1, 1]) * random.uniform(0.4, 0.9)
        _vessel(image, eye, random, points[i], fork, random.normal(0, 0.4), 0.65 * widths[i], color, 0)


def draw_lesions(image: np.ndarray, eye: Eye, random: np.random.Generator, severity: float) -> None:
    """Numbers grow with severity: microaneurysms first, then bleedings and exudates, then new vessels."""
    expected = {
        _microaneurysm: 5 * severity,
        _bleeding: 3.2 * max(0, severity - 1) ** 1.3,
        _exudates: 1.1 * max(0, severity - 0.9),
        _cotton_wool: 0.9 * max(0, severity - 1.6),
        _new_vessels: 1.6 * max(0, severity - 3.2),
        _large_bleeding: 0.8 * max(0, severity - 3.3),
    }
    for draw, mean in expected.items():
        for _ in range(random.poisson(mean)):
            draw(image, eye, random)


def _microaneurysm(image, eye, random) -> None:
    _dot(image, eye.anywhere(random), random.uniform(0.012, 0.022) * eye.radius, (25, 25, 105))


def _bleeding(image, eye, random) -> None:
    """A blot of a few overlapping dots."""
    center, size = eye.anywhere(random), random.uniform(0.02, 0.045) * eye.radius
    color = (18, 20, random.uniform(70, 100))
    for _ in range(int(random.integers(2, 5))):
        _dot(image, center + random.normal(0, 0.7 * size, 2), size * random.uniform(0.5, 1), color)


def _exudates(image, eye, random) -> None:
    """A cluster of sharp yellow specks, oftener near the macula."""
    center = eye.macula + random.normal(0, 0.35 * eye.radius, 2)
    spread = random.uniform(0.04, 0.1) * eye.radius
    for _ in range(int(random.integers(4, 12))):
        _dot(image, center + random.normal(0, spread, 2), random.uniform(0.01, 0.028) * eye.radius, (110, 215, 245))


def _cotton_wool(image, eye, random) -> None:
    """A pale patch without an edge."""
    blend = np.float32(0.55) * _spot(eye, eye.anywhere(random, 0.7), random.uniform(0.035, 0.06))[..., None]
    image += blend * (np.array([170, 205, 225], np.float32) - image)


def _new_vessels(image, eye, random) -> None:
    """A tangle of fine vessels, on the optic disc or elsewhere."""
    start = eye.disc if random.uniform() < 0.5 else eye.anywhere(random, 0.7)
    for _ in range(5):
        steps = random.normal(0, 0.035 * eye.radius, (9, 2))
        _line(image, start + np.cumsum(steps, axis=0), (35, 40, 130), 1.0)


def _large_bleeding(image, eye, random) -> None:
    """Blood before the retina, level on top as it settles."""
    center, size = eye.anywhere(random, 0.6), random.uniform(0.12, 0.22) * eye.radius
    axes = (_fixed(size), _fixed(size * 0.6))
    cv2.ellipse(image, _fixed_point(center), axes, 0, 0, 180, (15, 18, 85), -1, cv2.LINE_AA, SUB)


def photograph(image: np.ndarray, eye: Eye, random: np.random.Generator) -> np.ndarray:
    """What the camera adds: fall-off of light, blur, exposure, noise and the black surround. uint8."""
    y, x = np.ogrid[: eye.height, : eye.width]
    distance = np.hypot(x - eye.center[0], y - eye.center[1]).astype(np.float32) / np.float32(eye.radius)
    light = (1 - random.uniform(0.25, 0.5) * distance**2) * (1 + random.uniform(-0.15, 0.15) * (x / eye.width - 0.5))
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.0)) * np.float32(random.uniform(0.7, 1.1))
    image *= light.astype(np.float32)[..., None]
    image += random.normal(0, random.uniform(1, 3), (eye.height, eye.width, 1)).astype(np.float32)
    image *= np.clip((1 - distance) * np.float32(eye.radius), 0, 1)[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _spot(eye: Eye, center: np.ndarray, size: float) -> np.ndarray:
    """A bell of height 1 around a point, float32 (h, w); `size` is its deviation as a share of the radius."""
    scale = np.float32(2 * (size * eye.radius) ** 2)
    along = np.exp(-((np.arange(eye.width, dtype=np.float32) - np.float32(center[0])) ** 2) / scale)
    down = np.exp(-((np.arange(eye.height, dtype=np.float32) - np.float32(center[1])) ** 2) / scale)
    return np.outer(down, along)


def _fixed(length: float) -> int:
    return round(length * 2**SUB)


def _fixed_point(point: np.ndarray) -> tuple[int, int]:
    return _fixed(point[0]), _fixed(point[1])


def _dot(image: np.ndarray, center: np.ndarray, radius: float, color) -> None:
    cv2.circle(image, _fixed_point(center), _fixed(radius), color, -1, cv2.LINE_AA, SUB)


def _line(image: np.ndarray, points, color, width: float) -> None:
    """OpenCV's lines are whole pixels wide: narrower ones are drawn paler by the blur that follows."""
    line = np.rint(points * 2**SUB).astype(np.int32)
    cv2.polylines(image, [line], False, color, max(1, round(width)), cv2.LINE_AA, SUB)
