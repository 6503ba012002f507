"""Drawn cells for the sample data: what the four stains show, and where a protein of each class lies."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from common.sample import soft_noise

SIZE = 128
TURN = 2 * np.pi
SUB = 4  # OpenCV's fixed point for drawing between pixels: coordinates are given in sixteenths
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


@dataclass(frozen=True)
class Cell:
    """One cell: maps are float32 (SIZE, SIZE) in 0..1, places are (x, y) in pixels."""

    center: np.ndarray
    body: np.ndarray
    nucleus: np.ndarray
    nucleoli: np.ndarray
    pole: np.ndarray  # beside the nucleus: where microtubules begin
    radius: float
    nucleus_radius: float
    angle: float

    @property
    def cytoplasm(self) -> np.ndarray:
        return self.body * (1 - self.nucleus)

    def near_nucleus(self, reach: float) -> np.ndarray:
        """1 at the nucleus, falling to 0 `reach` nucleus radii further out."""
        beyond = np.hypot(X - self.center[0], Y - self.center[1]) / self.nucleus_radius - 1
        return np.clip(1 - beyond / reach, 0, 1)


def place_cells(random: np.random.Generator) -> list[Cell]:
    """Three to five cells side by side, none quite round."""
    count = int(random.integers(3, 6))
    turn = random.uniform(0, TURN)
    cells = []
    for k in range(count):
        angle = turn + TURN * k / count + random.normal(0, 0.15)
        distance = SIZE * random.normal(0.27, 0.02)
        center = SIZE / 2 + distance * np.array([np.cos(angle), np.sin(angle)]) + random.normal(0, 3, 2)
        cells.append(make_cell(center, random))
    return cells


def make_cell(center: np.ndarray, random: np.random.Generator) -> Cell:
    radius = SIZE * random.normal(0.23, 0.02)
    nucleus_radius = radius * random.normal(0.45, 0.03)
    angle = random.uniform(0, TURN)
    nucleus = blob(center, nucleus_radius, 0.05, random)
    out = angle + random.normal(0, 0.4)
    pole = center + (nucleus_radius + 3) * np.array([np.cos(out), np.sin(out)])
    body = np.maximum(blob(center, radius, 0.14, random), nucleus)
    nucleoli = dots(random, nucleus * (nucleus > 0.9), int(random.integers(2, 4)), 0.22 * nucleus_radius)
    return Cell(center, body, nucleus, nucleoli, pole, radius, nucleus_radius, angle)


def blob(center: np.ndarray, radius: float, waviness: float, random: np.random.Generator) -> np.ndarray:
    """A disc whose border has waves."""
    dx, dy = X - np.float32(center[0]), Y - np.float32(center[1])
    angle, border = np.arctan2(dy, dx), np.float32(1)
    for k in (2, 3, 5):
        border = border + np.float32(waviness * random.normal() / k) * np.cos(k * angle + random.uniform(0, TURN))
    return np.clip(
        (border - np.hypot(dx, dy) / np.float32(radius)) * np.float32(radius / 2) + 0.5, 0, 1, dtype=np.float32
    )


def dots(random, within: np.ndarray, count: int, radius: float, ring: bool = False) -> np.ndarray:
    """`count` spots, or rings, at random places of the map `within`."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    places = np.argwhere(within > 0.5)[:, ::-1]
    if len(places):
        for place in random.permutation(places)[:count] if count < len(places) else places:
            circle(drawn, place, radius * random.uniform(0.8, 1.2), ring)
    return drawn


def circle(drawn: np.ndarray, place, radius: float, ring: bool = False) -> None:
    middle = tuple(np.rint(np.asarray(place) * 2**SUB).astype(int).tolist())
    cv2.circle(drawn, middle, round(radius * 2**SUB), 1.0, 1 if ring else -1, cv2.LINE_AA, SUB)


def line(drawn: np.ndarray, points: np.ndarray, thickness: int = 1) -> None:
    cv2.polylines(drawn, [np.rint(points * 2**SUB).astype(np.int32)], False, 1.0, thickness, cv2.LINE_AA, SUB)


def dashes(random, places: np.ndarray, angle: float, length: float, thickness: int = 1) -> np.ndarray:
    """Short strokes about `angle` at (x, y) places."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    for place in places:
        turned = angle + random.normal(0, 0.2)
        half = length / 2 * np.array([np.cos(turned), np.sin(turned)])
        line(drawn, np.array([place - half, place + half]), thickness)
    return drawn


def border(shape: np.ndarray) -> np.ndarray:
    """A bright rim of a map, some pixels wide."""
    return np.clip(6 * cv2.GaussianBlur(shape * (1 - shape), (0, 0), 0.8), 0, 1)


def threads(random, cells: int, width: float) -> np.ndarray:
    """Wavy threads over the whole picture: where soft noise crosses zero."""
    return np.clip(1 - np.abs(soft_noise(random, SIZE, SIZE, cells)) / np.float32(width), 0, 1)


def rays(cell: Cell, random, ends_only: bool = False) -> np.ndarray:
    """Curved lines from the pole to the border of the cell, or only their outer ends."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    steps = np.linspace(0.85 if ends_only else 0, 1, 6)[:, None]
    for angle in np.arange(0, TURN, TURN / 22) + random.uniform(0, TURN):
        ahead = np.array([np.cos(angle), np.sin(angle)])
        bend = random.normal(0, 0.25) * np.array([-ahead[1], ahead[0]])
        line(drawn, cell.pole + 1.1 * cell.radius * steps * (ahead + steps * bend))
    return drawn * cell.body


def parallel_fibres(cell: Cell, random) -> np.ndarray:
    """Straight fibres along the cell."""
    along = np.cos(cell.angle) * X + np.sin(cell.angle) * Y
    across = np.cos(cell.angle) * Y - np.sin(cell.angle) * X
    wave = np.sin(across * np.float32(TURN / random.uniform(4.5, 6)) + 0.02 * along + random.uniform(0, TURN))
    return np.clip(2 * wave - 0.8, 0, 1) * cell.body


def rim_places(cell: Cell, random, count: int) -> np.ndarray:
    """(x, y) of `count` places on the border of the cell."""
    places = np.argwhere(border(cell.body) > 0.7)[:, ::-1]
    return random.permutation(places)[:count].astype(float)


def spindle(cell: Cell, random) -> np.ndarray:
    """Lines that run from two opposite points together at the equator of a dividing cell."""
    drawn = np.zeros((SIZE, SIZE), np.float32)
    axis = np.array([np.cos(cell.angle), np.sin(cell.angle)])
    aside = np.array([-axis[1], axis[0]])
    for end in (-1, 1):
        for spread in np.linspace(-0.8, 0.8, 7):
            equator = cell.center + spread * cell.nucleus_radius * aside
            line(drawn, np.array([cell.center + end * 1.3 * cell.nucleus_radius * axis, equator]))
    return drawn


def bridge(cell: Cell, random) -> np.ndarray:
    """A bar across the border of the cell, on the side of the picture's middle."""
    toward = np.arctan2(SIZE / 2 - cell.center[1], SIZE / 2 - cell.center[0])
    place = cell.center + cell.radius * np.array([np.cos(toward), np.sin(toward)])
    return dashes(random, place[None], toward, 0.6 * cell.radius, 2)


def golgi(cell: Cell, random) -> np.ndarray:
    """A ribbon folded beside the nucleus."""
    place = blob(cell.pole, 0.5 * cell.nucleus_radius, 0.5, random)
    return place * np.clip(0.4 + threads(random, 26, 0.7), 0, 1)


def rods_and_rings(cell: Cell, random) -> np.ndarray:
    places = random.permutation(np.argwhere(cell.cytoplasm > 0.5)[:, ::-1])[:3].astype(float)
    return dashes(random, places, random.uniform(0, TURN), 9, 2) + dots(random, cell.body, 2, 3.5, ring=True)


LOCATIONS: tuple[Callable[[Cell, np.random.Generator], np.ndarray], ...] = (
    lambda c, r: c.nucleus * (1 - 0.8 * c.nucleoli),  # nucleoplasm
    lambda c, r: border(c.nucleus),  # nuclear membrane
    lambda c, r: c.nucleoli,
    lambda c, r: dots(r, c.nucleoli, 5, 0.9),  # nucleoli fibrillar center
    lambda c, r: c.nucleus * (soft_noise(r, SIZE, SIZE, 24) > 0.9),  # nuclear speckles
    lambda c, r: dots(r, c.nucleus, int(r.integers(3, 7)), 1.1),  # nuclear bodies
    lambda c, r: c.cytoplasm * c.near_nucleus(1.5) * (0.4 + 0.6 * threads(r, 34, 0.6)),  # endoplasmic reticulum
    golgi,
    lambda c, r: dots(r, c.cytoplasm, 45, 0.7),  # peroxisomes
    lambda c, r: dots(r, c.cytoplasm, 14, 1.4),  # endosomes
    lambda c, r: dots(r, c.cytoplasm * c.near_nucleus(0.9), 14, 1.9),  # lysosomes
    lambda c, r: c.cytoplasm * c.near_nucleus(1.6) * threads(r, 14, 0.22),  # intermediate filaments
    parallel_fibres,  # actin filaments
    lambda c, r: dashes(r, rim_places(c, r, 14), c.angle, 6, 2) * c.body,  # focal adhesion sites
    rays,  # microtubules
    lambda c, r: rays(c, r, ends_only=True),  # microtubule ends
    bridge,  # cytokinetic bridge
    spindle,  # mitotic spindle
    lambda c, r: blob(c.pole, 3.2, 0.1, r),  # microtubule organizing center
    lambda c, r: dots(r, blob(c.pole, 2.6, 0, r), 2, 1.0),  # centrosome
    lambda c, r: dots(r, c.cytoplasm, 16, 2.0, ring=True),  # lipid droplets
    lambda c, r: border(c.body),  # plasma membrane
    lambda c, r: border(c.body) * (np.hypot(X - SIZE / 2, Y - SIZE / 2) < 0.24 * SIZE),  # cell junctions
    lambda c, r: c.cytoplasm * threads(r, 22, 0.3) * (soft_noise(r, SIZE, SIZE, 30) > -0.2),  # mitochondria
    lambda c, r: blob(c.pole, 0.45 * c.nucleus_radius, 0.1, r),  # aggresome
    lambda c, r: c.cytoplasm * np.float32(0.8),  # cytosol
    lambda c, r: dots(r, c.cytoplasm, 4, 1.3),  # cytoplasmic bodies
    rods_and_rings,
)
"""Class number → where the protein lies in a cell."""
