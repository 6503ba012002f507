"""Percentile intervals from resampled models: what another choice of models might have shown."""

import warnings

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


def resamples(models: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Row numbers of models drawn with replacement: int64 (draws, models), the same for the same seed."""
    return np.random.default_rng(seed).integers(models, size=(draws, models))


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """The middle `level` of what the draws gave, over the first axis; a draw that gave nothing (NaN) does not count."""
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)  # where no draw gave anything it is NaN
        low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return low, high
