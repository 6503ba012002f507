"""Does a better ImageNet model score better? A line per data set over the models above a threshold (Table 2).

The paper takes the 14 of its 19 models above 70% ImageNet top-1, and accuracies as fractions on their own scale: the
slope is what one point of ImageNet accuracy brings in points of the data set's metric.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.errors import UserError
from common.study.bootstrap import interval, resamples
from common.study.scales import Scale, on
from common.study.tables import IMAGENET, data_sets

ABOVE = 0.70
"""ImageNet top-1 that the paper's lines begin above."""
FEWEST = 3
"""Models without which there is no line worth an interval."""


@dataclass(frozen=True)
class Line:
    """Least-squares lines; each field is a float64 array of the shape that `fit` was given, less its last axis."""

    correlation: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray


def fit(x: np.ndarray, y: np.ndarray) -> Line:
    """Lines through points, float64 (…, n); NaN where all x or all y are the same."""
    x_mean, y_mean = x.mean(axis=-1, keepdims=True), y.mean(axis=-1, keepdims=True)
    dx, dy = x - x_mean, y - y_mean
    xx, yy, xy = (dx * dx).sum(axis=-1), (dy * dy).sum(axis=-1), (dx * dy).sum(axis=-1)
    # A mean may be a rounding beside what all values are, so that the sums of squares do not tell.
    x_varies, y_varies = np.ptp(x, axis=-1) > 0, np.ptp(y, axis=-1) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(x_varies, xy / xx, np.nan)
        correlation = np.where(x_varies & y_varies, xy / np.sqrt(xx * yy), np.nan)
    return Line(correlation, slope, y_mean[..., 0] - slope * x_mean[..., 0])


def points(table: pd.DataFrame, data_set: str, above: float = ABOVE, scale: Scale = "raw") -> pd.DataFrame:
    """ImageNet top-1 and score of the models that the line is through, on the scale.

    Raises:
        UserError: fewer than 3 models are above the threshold.
    """
    known = table.loc[table[IMAGENET] > above, [IMAGENET, data_set]].dropna()
    if len(known) < FEWEST:
        raise UserError(
            f"{data_set}: a line needs {FEWEST} models with a score and {IMAGENET} above {above:.0%}, found "
            f"{len(known)}; lower --above, fill in {IMAGENET}, add results, or leave {data_set} out"
        )
    return on(scale, known)


def trend(table: pd.DataFrame, above: float = ABOVE, scale: Scale = "raw") -> pd.DataFrame:
    """Correlation and slope per data set: index data set, columns `correlation` and `slope`, float64."""
    lines = {name: fit(*points(table, name, above, scale).to_numpy().T) for name in data_sets(table)}
    rows = {name: {"correlation": float(line.correlation), "slope": float(line.slope)} for name, line in lines.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def trend_intervals(
    table: pd.DataFrame, above: float = ABOVE, scale: Scale = "raw"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The 95% bootstrap intervals of `trend`: two frames of its shape, lower and upper ends."""
    low, high = {}, {}
    for name in data_sets(table):
        x, y = points(table, name, above, scale).to_numpy().T
        drawn = resamples(len(x))
        line = fit(x[drawn], y[drawn])
        ends = interval(np.stack([line.correlation, line.slope], axis=-1))
        low[name], high[name] = ends
    columns = ["correlation", "slope"]
    return tuple(pd.DataFrame.from_dict(end, orient="index", columns=columns) for end in (low, high))


def band(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% bootstrap band of the line through the points (n,), at the places (m,): lower and upper ends (m,)."""
    drawn = resamples(len(x))
    line = fit(x[drawn], y[drawn])
    return interval(line.intercept[:, None] + line.slope[:, None] * at)
