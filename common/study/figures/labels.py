"""Names beside points, where they hide neither points nor each other."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
SLANTED = ((0.4, 1), (-0.4, 1), (0.4, -1), (-0.4, -1))
DISTANCES = (5, 8, 12, 17, 23)
"""From the point to the nearest edge of its name, in points of 1/72 inch."""
FAR = 8
"""A name further away gets a line to its point."""
DOT = 3
"""Half the width that a point takes up."""
LONGEST = 24
"""Letters of a name that have room in a panel; the interactive page has it whole."""
LEADER = {"arrowstyle": "-", "linewidth": 0.4, "color": "#888888", "shrinkA": 0, "shrinkB": 2}
HALO = [withStroke(linewidth=1.5, foreground="white")]


def label(axes: Axes, names: Mapping[str, tuple[float, float]], obstacles: np.ndarray, size: float = 5.5) -> None:
    """Write each name, cut off where it is long, near its place: at the nearest free spot, or where it covers least.

    Args:
        axes: with its limits set and the layout done; names are kept inside.
        names: name → x, y in data coordinates.
        obstacles: points (n, 2) in data coordinates that names keep off.
    """
    renderer = axes.figure.canvas.get_renderer()
    unit = axes.figure.dpi / 72
    frame = np.array(axes.get_window_extent(renderer).extents) + 2 * unit * np.array([1, 1, -1, -1])
    dots = axes.transData.transform(obstacles)
    taken = np.hstack([dots - DOT * unit, dots + DOT * unit])
    for name, place in names.items():
        name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        probe = axes.text(*place, name, fontsize=size)
        extent = probe.get_window_extent(renderer)
        probe.remove()
        spots = list(_spots(extent.width / unit, extent.height / unit))
        centre = axes.transData.transform(place)
        boxes = np.array([_box(centre, spot, extent.width, extent.height, unit) for spot in spots])
        costs = [_covered(box, taken) + _outside(box, frame) + _crossed(centre, box, taken, unit) for box in boxes]
        best = int(np.argmin(costs))  # the first of the least, and spots come nearest first
        taken = np.vstack([taken, boxes[best]])
        dx, dy, distance = spots[best]
        far = LEADER if distance > FAR else None
        how = {"fontsize": size, "ha": "center", "va": "center", "arrowprops": far, "path_effects": HALO, "zorder": 2.5}
        axes.annotate(name, place, (dx, dy), textcoords="offset points", **how)


def _spots(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Where the middle of a name may be, relative to its point: x, y, distance."""
    for distance in DISTANCES:
        for across, up in (*SIDES, *SLANTED):
            yield across * (distance + width / 2), up * (distance + height / 2), distance


def _box(centre: np.ndarray, spot: tuple[float, float, float], width: float, height: float, unit: float) -> np.ndarray:
    x, y = centre[0] + spot[0] * unit, centre[1] + spot[1] * unit
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _covered(box: np.ndarray, others: np.ndarray) -> float:
    """The area that a box shares with others, in square pixels."""
    wide = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    high = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((wide.clip(0) * high.clip(0)).sum())


def _crossed(centre: np.ndarray, box: np.ndarray, taken: np.ndarray, unit: float) -> float:
    """A cost for what a line from the point to the middle of its name runs across, other than the two."""
    middle = (box[:2] + box[2:]) / 2
    steps = centre + np.linspace(0.0, 1.0, 12)[:, None] * (middle - centre)
    steps = steps[np.linalg.norm(steps - centre, axis=1) > 2 * DOT * unit][:, None]
    inside = (steps > taken[:, :2]) & (steps < taken[:, 2:])
    return 40.0 * float(inside.all(axis=-1).sum())


def _outside(box: np.ndarray, frame: np.ndarray) -> float:
    """A cost for leaving the frame that no overlap outweighs."""
    over = np.maximum(frame[:2] - box[:2], 0).sum() + np.maximum(box[2:] - frame[2:], 0).sum()
    return 1e4 * float(over)
