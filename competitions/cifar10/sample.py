"""Sample data for CIFAR-10: ten drawn things on 32 × 32 pixels, in class folders. No photograph of anything."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.sample import soft_noise, write_sample
from competitions.cifar10 import COMPETITION

TRAIN, TEST = 80, 30  # images a class
SIDE, FINE = 32, 64  # drawn on the fine grid, then shrunk: the blur of small pictures
SUB = 4  # OpenCV's fixed point for drawing between pixels: coordinates are given in sixteenths


def make_sample(folder: Path, seed: int) -> pd.DataFrame:
    """Draw 800 training and 300 test pictures, as many of each class; the same for the same seed.

    Returns:
        the truth of the test part: id, label (0..9), in the order of `read_test`.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    files = [
        (f"{part}/{name}/{number:04d}", label, [seed, place, label, number])
        for place, (part, count) in enumerate({"train": TRAIN, "test": TEST}.items())
        for label, name in enumerate(COMPETITION.classes)
        for number in range(count)
    ]
    drawings = [(f"{id}.jpg", partial(draw_picture, key, COMPETITION.classes[label])) for id, label, key in files]
    write_sample(folder, "cifar10", seed, drawings, {})
    test = [(id, label) for id, label, _ in files if id.startswith("test/")]
    return pd.DataFrame(test, columns=["id", "label"])


def draw_picture(seed, name: str) -> np.ndarray:
    """One picture as uint8 (32, 32, 3) in BGR: the thing somewhere before its usual background, or another's."""
    random = np.random.default_rng(seed)
    usual = BACKGROUNDS[name] if random.uniform() < 0.6 else random.choice(list(SCENES))
    picture = draw_background(usual, random)
    mask = np.zeros((FINE, FINE, 4), np.uint8)
    DRAWN[name](Pen(mask, random))
    mask = mask[:, ::-1] if random.uniform() < 0.5 else mask
    fur = 1 + 0.15 * soft_noise(random, FINE, FINE, 30)
    picture *= 1 - mask[..., 3:].astype(np.float32) / 255
    picture += mask[..., :3] * fur[..., None]
    picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) * np.float32(random.uniform(0.75, 1.2))
    picture += random.normal(0, 6, picture.shape).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


SCENES = {  # colour above, colour below (BGR)
    "sky": ((215, 175, 125), (225, 205, 180)),
    "street": ((190, 185, 180), (95, 95, 95)),
    "meadow": ((150, 170, 130), (60, 125, 90)),
    "room": ((140, 160, 175), (90, 110, 150)),
    "sea": ((220, 200, 170), (140, 95, 45)),
    "leaves": ((50, 110, 70), (45, 90, 80)),
}
BACKGROUNDS = {
    **{"airplane": "sky", "automobile": "street", "bird": "leaves", "cat": "room", "deer": "meadow"},
    **{"dog": "room", "frog": "leaves", "horse": "meadow", "ship": "sea", "truck": "street"},
}


def draw_background(scene: str, random: np.random.Generator) -> np.ndarray:
    """Two soft colours one above the other, float32 (64, 64, 3)."""
    above, below = (np.array(color, np.float32) + random.normal(0, 18, 3).astype(np.float32) for color in SCENES[scene])
    y = np.arange(FINE, dtype=np.float32)[:, None, None]
    share = np.clip((y - FINE * random.uniform(0.4, 0.75)) / random.uniform(2, 20), 0, 1)
    texture = 0.1 * soft_noise(random, FINE, FINE, 5) + 0.08 * soft_noise(random, FINE, FINE, 24)
    return (above + share * (below - above)) * (1 + texture[..., None])


class Pen:
    """Draws on a transparent BGRA square in units of the thing's half width: x ahead, y up, from its middle."""

    def __init__(self, mask: np.ndarray, random: np.random.Generator) -> None:
        self.mask, self.random = mask, random
        self.middle = FINE * (0.5 + random.normal(0, 0.06, 2))
        self.unit = FINE * random.uniform(0.28, 0.46)
        turn = random.normal(0, 0.12)
        self.turn = np.array([[np.cos(turn), np.sin(turn)], [np.sin(turn), -np.cos(turn)]])

    def color(self, *choices) -> tuple:
        """One of some BGR colours, give or take."""
        base = np.array(choices[self.random.integers(len(choices))])
        return tuple(np.clip(base * self.random.normal(1, 0.15) + self.random.normal(0, 10, 3), 5, 245).tolist())

    def points(self, *points) -> np.ndarray:
        return np.rint((self.middle + self.unit * np.array(points) @ self.turn.T) * 2**SUB).astype(np.int32)

    def area(self, color, *corners) -> None:
        cv2.fillPoly(self.mask, [self.points(*corners)], (*color, 255), cv2.LINE_AA, SUB)

    def line(self, color, width: float, *points) -> None:
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.mask, [self.points(*points)], False, (*color, 255), thickness, cv2.LINE_AA, SUB)

    def blob(self, color, x: float, y: float, along: float, across: float) -> None:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.area(color, *np.stack([x + along * np.cos(angles), y + across * np.sin(angles)], axis=1))


WHITE, BLACK, GREY, RED, BLUE = (225, 225, 225), (30, 30, 30), (130, 130, 130), (45, 45, 185), (170, 90, 50)
BROWN, TAN, GREEN, ORANGE = (45, 70, 110), (120, 160, 195), (50, 130, 90), (60, 120, 200)
GLASS = (90, 75, 60)


def airplane(pen: Pen) -> None:
    paint = pen.color(WHITE, GREY, WHITE)
    pen.blob(paint, 0, 0, 1, 0.13)
    sweep = pen.random.uniform(0.1, 0.5)
    pen.area(pen.color(paint), (0.25, 0.05), (-0.15, 0.05), (-0.15 - sweep, 0.65), (-sweep, 0.65))
    pen.area(pen.color(GREY), (0.25, -0.05), (-0.15, -0.05), (-0.15 - sweep, -0.55), (-sweep, -0.55))
    pen.area(pen.color(paint, RED, BLUE), (-0.7, 0.05), (-0.95, 0.05), (-1.05, 0.45), (-0.9, 0.45))


def automobile(pen: Pen) -> None:
    paint = pen.color(RED, BLUE, WHITE, BLACK, GREY)
    pen.area(paint, (-0.5, 0.1), (-0.3, 0.45), (0.25, 0.45), (0.5, 0.1))
    pen.area(pen.color(GLASS), (-0.38, 0.12), (-0.25, 0.38), (0.2, 0.38), (0.38, 0.12))
    pen.area(paint, (-1, -0.3), (-0.95, 0.12), (0.75, 0.12), (1, -0.05), (1, -0.3))
    _wheels(pen, (-0.58, 0.6), -0.32, 0.2)


def truck(pen: Pen) -> None:
    paint = pen.color(WHITE, BLUE, RED, GREEN, GREY)
    pen.area(pen.color(WHITE, GREY, TAN, paint), (-1, -0.3), (-1, 0.6), (0.35, 0.6), (0.35, -0.3))
    pen.area(paint, (0.4, -0.35), (0.4, 0.4), (0.75, 0.4), (0.98, 0.05), (0.98, -0.35))
    pen.area(pen.color(GLASS), (0.55, 0.08), (0.55, 0.32), (0.72, 0.32), (0.86, 0.08))
    _wheels(pen, (-0.75, -0.4, 0.68), -0.4, 0.18)


def ship(pen: Pen) -> None:
    pen.area(pen.color(RED, BLACK, GREY, BLUE), (-1, 0), (-0.8, -0.4), (0.7, -0.4), (1.05, 0.05))
    pen.area(pen.color(WHITE), (-0.6, 0), (-0.6, 0.3), (0.2, 0.3), (0.3, 0))
    pen.area(pen.color(RED, BLACK, WHITE), (-0.35, 0.3), (-0.35, 0.6), (-0.15, 0.6), (-0.15, 0.3))
    pen.line(pen.color(GREY), 0.04, (0.45, 0), (0.45, 0.7))


def _wheels(pen: Pen, places, y: float, radius: float) -> None:
    for x in places:
        pen.blob((25, 25, 25), x, y, radius, radius)
        pen.blob((150, 150, 150), x, y, radius / 2.5, radius / 2.5)


def bird(pen: Pen) -> None:
    coat = pen.color(BROWN, BLUE, RED, GREY, ORANGE)
    pen.area(coat, (-0.4, 0.1), (-1, -0.15), (-0.95, 0.05), (-0.4, 0.25))
    pen.blob(coat, -0.05, 0.05, 0.5, 0.35)
    pen.blob(pen.color(coat, WHITE), 0.1, -0.05, 0.3, 0.2)
    pen.blob(coat, 0.45, 0.4, 0.24, 0.22)
    pen.area((40, 160, 225), (0.62, 0.48), (0.95, 0.38), (0.62, 0.32))
    for x in (-0.05, 0.12):
        pen.line((60, 110, 150), 0.04, (x, -0.25), (x + 0.05, -0.65))
    pen.blob(BLACK, 0.52, 0.45, 0.05, 0.05)


def frog(pen: Pen) -> None:
    skin = pen.color(GREEN, GREEN, (60, 110, 130))
    pen.blob(skin, -0.1, -0.1, 0.75, 0.38)
    pen.blob(skin, 0.45, 0.1, 0.38, 0.28)
    pen.line(skin, 0.2, (-0.5, -0.1), (-0.85, -0.45), (-0.3, -0.5))
    pen.line(skin, 0.14, (0.35, -0.2), (0.45, -0.5), (0.7, -0.5))
    pen.blob(pen.color(TAN), 0.3, -0.22, 0.35, 0.12)
    pen.blob((60, 200, 215), 0.45, 0.36, 0.13, 0.13)
    pen.blob(BLACK, 0.48, 0.37, 0.06, 0.08)


def _four_legged(pen: Pen, coat, depth: float, leg: float, neck: float, head: float) -> tuple[float, float]:
    """Body, four legs mid-stride, neck and head; returns the middle of the head."""
    for x in (-0.5, -0.38, 0.32, 0.45):
        pen.line(coat, 0.12, (x, 0), (x + pen.random.normal(0, 0.1), -depth / 2 - leg))
    pen.blob(coat, 0, 0, 0.62, depth)
    top = 0.55 + 0.5 * neck, 0.15 + neck
    pen.line(coat, 0.55 * head + 0.12, (0.45, 0.05), top)
    pen.blob(coat, *top, head, 0.75 * head)
    pen.blob(BLACK, top[0] + 0.3 * head, top[1] + 0.1, 0.04, 0.04)
    return top


def cat(pen: Pen) -> None:
    coat = pen.color(ORANGE, GREY, BLACK, TAN)
    x, y = _four_legged(pen, coat, 0.25, 0.3, 0.15, 0.27)
    for side in (-0.18, 0.12):
        pen.area(coat, (x + side - 0.1, y + 0.12), (x + side, y + 0.42), (x + side + 0.12, y + 0.12))
    pen.line(coat, 0.1, (-0.55, 0.05), (-0.85, 0.3), (-0.8, 0.75))
    for stripe in np.linspace(-0.4, 0.3, 4):
        pen.line(tuple(0.5 * channel for channel in coat), 0.06, (stripe, 0.2), (stripe, -0.05))


def dog(pen: Pen) -> None:
    coat = pen.color(BROWN, WHITE, BLACK, TAN)
    x, y = _four_legged(pen, coat, 0.28, 0.35, 0.25, 0.27)
    pen.blob(coat, x + 0.28, y - 0.08, 0.2, 0.12)
    pen.blob(BLACK, x + 0.45, y - 0.05, 0.05, 0.05)
    pen.blob(tuple(0.6 * channel for channel in coat), x - 0.15, y - 0.1, 0.1, 0.24)
    pen.line(coat, 0.1, (-0.55, 0.1), (-0.85, 0.4))


def deer(pen: Pen) -> None:
    coat = pen.color((60, 100, 150), BROWN)
    x, y = _four_legged(pen, coat, 0.22, 0.55, 0.45, 0.17)
    for side in (-0.25, 0.15):
        tip = (x + 1.6 * side, y + 0.55)
        pen.line((90, 130, 160), 0.05, (x, y + 0.1), (x + side, y + 0.3), tip)
        pen.line((90, 130, 160), 0.05, (x + side, y + 0.3), (x + side + 0.12, y + 0.5))
    pen.blob(WHITE, -0.6, 0.1, 0.1, 0.1)


def horse(pen: Pen) -> None:
    coat = pen.color(BROWN, BLACK, WHITE, (40, 60, 120))
    x, y = _four_legged(pen, coat, 0.28, 0.55, 0.4, 0.17)
    pen.blob(coat, x + 0.18, y - 0.1, 0.2, 0.12)
    mane = pen.color(BLACK, TAN)
    pen.line(mane, 0.12, (0.35, 0.3), (x - 0.15, y + 0.1))
    pen.line(mane, 0.13, (-0.6, 0.1), (-0.8, -0.1), (-0.78, -0.5))


DRAWN: dict[str, Callable[[Pen], None]] = {
    draw.__name__: draw for draw in (airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck)
}
