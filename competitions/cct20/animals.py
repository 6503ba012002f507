"""The drawn animals (and cars) of the sample data: side views made of ellipses, told apart by size, build and coat."""

from dataclasses import dataclass

import cv2
import numpy as np

SUB = 4  # OpenCV's fixed point for drawing between pixels: coordinates are given in sixteenths


@dataclass(frozen=True)
class Build:
    """Lengths but `size` are shares of the body's length; colours are BGR."""

    size: float  # body length as a share of the picture's height, where the animal stands nearest
    depth: float
    legs: float
    neck: float
    head: float
    ears: float
    tail: float
    thick: float  # of the tail
    color: tuple[int, int, int]
    mark: str = ""


GREY, BROWN, SAND, RED, BLACK = (110, 115, 118), (50, 75, 105), (95, 130, 160), (45, 95, 175), (32, 30, 30)
BUILDS = {
    "opossum": Build(0.20, 0.42, 0.16, 0.10, 0.22, 0.05, 0.75, 0.04, (140, 145, 150), "white face"),
    "raccoon": Build(0.22, 0.52, 0.20, 0.05, 0.25, 0.08, 0.55, 0.16, GREY, "ringed tail"),
    "squirrel": Build(0.12, 0.45, 0.14, 0.08, 0.30, 0.08, 0.90, 0.26, (85, 100, 115), "raised tail"),
    "bobcat": Build(0.28, 0.42, 0.42, 0.10, 0.25, 0.14, 0.16, 0.08, SAND, "spots"),
    "skunk": Build(0.18, 0.45, 0.16, 0.04, 0.22, 0.03, 0.75, 0.30, BLACK, "stripe"),
    "dog": Build(0.30, 0.36, 0.46, 0.22, 0.25, 0.07, 0.45, 0.06, (70, 95, 130), "patches"),
    "coyote": Build(0.29, 0.34, 0.48, 0.20, 0.23, 0.16, 0.50, 0.14, (105, 125, 140)),
    "rabbit": Build(0.15, 0.60, 0.14, 0.06, 0.38, 0.42, 0.08, 0.14, (80, 105, 125)),
    "bird": Build(0.11, 0.50, 0.34, 0.12, 0.30, 0.00, 0.55, 0.14, (90, 60, 45), "beak"),
    "cat": Build(0.22, 0.36, 0.32, 0.08, 0.27, 0.11, 0.80, 0.07, (60, 75, 85), "bars"),
    "badger": Build(0.27, 0.46, 0.12, 0.04, 0.23, 0.03, 0.18, 0.10, (120, 130, 138), "striped head"),
    "deer": Build(0.32, 0.38, 0.75, 0.48, 0.22, 0.13, 0.08, 0.06, (75, 105, 150)),
    "fox": Build(0.25, 0.34, 0.36, 0.12, 0.24, 0.14, 0.75, 0.18, RED, "pale tail"),
    "rodent": Build(0.09, 0.55, 0.08, 0.02, 0.35, 0.12, 0.95, 0.04, BROWN),
}


class Figure:
    """Draws on a transparent BGRA picture in the animal's own units: x ahead of it, y up, from between its feet."""

    def __init__(self, layer: np.ndarray, foot: np.ndarray, length: float, facing: int) -> None:
        self.layer, self.foot, self.length, self.facing = layer, foot, length, facing

    def at(self, x: float, y: float) -> np.ndarray:
        return self.foot + self.length * np.array([self.facing * x, -y])

    def blob(self, x: float, y: float, along: float, across: float, color, tilt: float = 0.0) -> None:
        """An ellipse with the half axes `along` and `across`; `tilt` lifts its front, in degrees."""
        axes = (_fixed(along * self.length), _fixed(across * self.length))
        center, angle = tuple(map(_fixed, self.at(x, y))), -tilt * self.facing
        cv2.ellipse(self.layer, center, axes, angle, 0, 360, (*color, 255), -1, cv2.LINE_AA, SUB)

    def limb(self, points, width: float, color) -> None:
        line = np.rint(np.array([self.at(x, y) for x, y in points]) * 2**SUB).astype(np.int32)
        thickness = max(1, round(width * self.length))
        cv2.polylines(self.layer, [line], False, (*color, 255), thickness, cv2.LINE_AA, SUB)


def draw_animal(layer: np.ndarray, name: str, foot: np.ndarray, scale: float, facing: int, random) -> np.ndarray:
    """Draw one animal with its feet at `foot` (x, y) on uint8 (h, w, 4), BGR times alpha and alpha, 0 elsewhere.

    Args:
        scale: 1 is the size at the camera's nearest.
        facing: 1 to the right, -1 to the left.

    Returns:
        (x, y) of its eye, which shines at night.
    """
    build = BUILDS[name]
    length = build.size * scale * layer.shape[0] * random.normal(1, 0.08)
    coat = np.clip(np.array(build.color) * random.normal(1, 0.12) + random.normal(0, 6, 3), 8, 235)
    coat = tuple(coat.tolist())
    figure = Figure(layer, foot, length, facing)
    back = build.legs + build.depth / 2
    _draw_legs(figure, build, coat, random)
    _draw_tail(figure, build, back, coat, random)
    figure.blob(0, back, 0.52, build.depth / 2, coat, random.normal(0, 4))
    _draw_coat(figure, build, back, coat, random)
    return _draw_head(figure, build, back, coat, random)


def _shade(color, factor: float) -> tuple:
    return tuple(min(255.0, channel * factor) for channel in color)


def _draw_legs(figure: Figure, build: Build, coat, random) -> None:
    """Four legs in mid-stride, the far pair darker; a bird has two."""
    places = (0.0,) if build.mark == "beak" else (-0.36, 0.36)
    for far in (True, False):
        for place in places:
            stride = random.normal(0, 0.35 * build.legs)
            top, color = (place, build.legs + 0.12), _shade(coat, 0.6 if far else 0.85)
            figure.limb([top, (place + stride / 2, build.legs / 2), (place + stride, 0)], 0.09, color)


def _draw_tail(figure: Figure, build: Build, back: float, coat, random) -> None:
    lift = 75 if build.mark == "raised tail" else random.normal(-5, 15)
    ahead, up = -np.cos(np.radians(lift)), np.sin(np.radians(lift))
    middle = 0.48 + build.tail / 2 * -ahead, back + build.tail / 2 * up
    figure.blob(-middle[0], middle[1], build.tail / 2, build.thick / 2, _shade(coat, 0.9), -lift)
    if build.mark == "ringed tail":
        for share in (0.3, 0.5, 0.7, 0.9):
            x, y = -0.48 + build.tail * share * ahead, back + build.tail * share * up
            figure.blob(x, y, 0.035, build.thick / 2, BLACK, -lift)
    if build.mark in ("pale tail", "stripe"):
        end = -0.48 + build.tail * 0.85 * ahead, back + build.tail * 0.85 * up
        figure.blob(*end, 0.1, build.thick / 3, (215, 220, 225), -lift)


def _draw_coat(figure: Figure, build: Build, back: float, coat, random) -> None:
    """What the flank shows: stripes, spots, bars, patches, and a paler belly."""
    figure.blob(0, back - 0.3 * build.depth, 0.4, 0.12 * build.depth, _shade(coat, 1.25))
    if build.mark == "stripe":
        figure.blob(-0.05, back + 0.3 * build.depth, 0.46, 0.13 * build.depth, (220, 222, 225))
    if build.mark == "spots":
        for _ in range(14):
            x, y = random.uniform(-0.4, 0.4), random.uniform(-0.3, 0.35) * build.depth
            figure.blob(x, back + y, 0.03, 0.025, _shade(coat, 0.5))
    if build.mark == "bars":
        for x in np.linspace(-0.35, 0.35, 6):
            figure.blob(x, back + 0.1 * build.depth, 0.022, 0.3 * build.depth, _shade(coat, 0.45))
    if build.mark == "patches":
        for _ in range(3):
            x, size = random.uniform(-0.35, 0.35), random.uniform(0.06, 0.16)
            figure.blob(x, back, size, size, random.choice([(225, 228, 230), (30, 35, 40)]).tolist())


def _draw_head(figure: Figure, build: Build, back: float, coat, random) -> np.ndarray:
    """Neck, ears, head, snout and face; grazing or nodding lowers it. Returns where the eye is."""
    nod = random.normal(0, 12) - (55 if random.uniform() < 0.2 else 0)
    rise = np.radians(35 + nod)
    root, reach = (0.42, back + 0.1 * build.depth), build.neck + 0.45 * build.head
    x, y = root[0] + reach * np.cos(rise), root[1] + reach * np.sin(rise)
    half = build.head / 2
    figure.limb([root, (x, y)], 0.6 * build.head, coat)
    ear_height = y + 0.8 * half + build.ears / 2
    for offset, factor in ((-0.35, 0.75), (0.1, 1.0)):
        figure.blob(x + offset * half, ear_height, build.ears / 3, build.ears / 1.6, _shade(coat, factor), 80)
    face = (205, 210, 215) if build.mark == "white face" else coat
    figure.blob(x, y, half, 0.8 * half, face)
    figure.blob(x + 0.9 * half, y - 0.3 * half, 0.55 * half, 0.4 * half, face, -15)
    if build.mark == "ringed tail":
        figure.blob(x + 0.3 * half, y + 0.1 * half, 0.5 * half, 0.25 * half, BLACK)
    if build.mark == "striped head":
        figure.blob(x + 0.2 * half, y + 0.5 * half, half, 0.2 * half, (225, 228, 230))
        figure.blob(x + 0.2 * half, y, half, 0.22 * half, BLACK)
    if build.mark == "beak":
        figure.blob(x + 1.5 * half, y - 0.2 * half, 0.6 * half, 0.2 * half, (40, 150, 210), -10)
    figure.blob(x + 0.45 * half, y + 0.2 * half, 0.14 * half, 0.14 * half, (15, 15, 15))
    return figure.at(x + 0.45 * half, y + 0.2 * half)


def draw_car(layer: np.ndarray, foot: np.ndarray, scale: float, facing: int, random) -> np.ndarray:
    """One car with its wheels at `foot`, as `draw_animal`; returns where its headlight is."""
    length = 0.55 * scale * layer.shape[0] * random.normal(1, 0.08)
    paint = random.choice([(200, 200, 205), (60, 60, 65), (50, 50, 160), (140, 80, 50), (95, 130, 120)]).tolist()
    figure = Figure(layer, foot, length, facing)
    for corners, color in (
        ([(-0.5, 0.08), (-0.5, 0.26), (0.48, 0.24), (0.5, 0.08)], paint),
        ([(-0.4, 0.26), (-0.28, 0.42), (0.12, 0.42), (0.26, 0.25)], _shade(paint, 0.9)),
        ([(-0.33, 0.27), (-0.25, 0.39), (0.1, 0.39), (0.2, 0.27)], (70, 60, 50)),
    ):
        polygon = np.rint(np.array([figure.at(x, y) for x, y in corners]) * 2**SUB).astype(np.int32)
        cv2.fillPoly(layer, [polygon], (*color, 255), cv2.LINE_AA, SUB)
    for x in (-0.3, 0.3):
        figure.blob(x, 0.08, 0.08, 0.08, (25, 25, 25))
        figure.blob(x, 0.08, 0.035, 0.035, (150, 150, 150))
    return figure.at(0.47, 0.18)


def _fixed(length: float) -> int:
    return round(float(length) * 2**SUB)
