"""Calibration: does it happen as often as the network says?"""

from dataclasses import dataclass

import numpy as np

from common.competition import Task

BINS = 15
"""Bins of equal width, as in Guo et al. (2017), "On calibration of modern neural networks"."""


@dataclass(frozen=True)
class Calibration:
    """`said` and `happened` (bins,): the mean of either in each bin that is not empty; `counts` (bins,) of its values.

    `error` is the mean over values of |said - happened| of their bins: the expected calibration error of probabilities;
    of regressed grades the same in grades. `what` says what is compared.
    """

    said: np.ndarray
    happened: np.ndarray
    counts: np.ndarray
    error: float
    what: str


def calibration(outputs: np.ndarray, labels: np.ndarray, task: Task) -> Calibration:
    """Of held-out outputs as they are stored and labels, int (n,) or indicator rows (n, K).

    One class a row: the probability of the likeliest class against the share that is right. Several: all probabilities
    of all classes against the share that is there. A binary task: P(positive) against the share of positives. Regressed
    grades: the grade against the mean of the labels.
    """
    outputs, labels = np.asarray(outputs, dtype=np.float64), np.asarray(labels)
    if task == "multilabel":
        return binned(outputs.ravel(), labels.ravel(), "probability of a class against how often it is there")
    if outputs.ndim == 2:
        right = outputs.argmax(axis=1) == labels
        return binned(outputs.max(axis=1), right, "probability of the likeliest class against how often it is right")
    if task == "ordinal":
        return binned(outputs, labels, "predicted grade against the mean of the labels")
    return binned(outputs, labels, "probability of the positive class against how often it is there")


def binned(said: np.ndarray, happened: np.ndarray, what: str) -> Calibration:
    """Both (n,). Probabilities are binned over [0, 1], grades over what there is."""
    low, high = min(0.0, float(said.min())), max(1.0, float(said.max()))
    place = np.minimum(((said - low) / (high - low) * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    there = counts > 0
    sums = [np.bincount(place, values, minlength=BINS)[there] for values in (said, happened)]
    mean_said, mean_happened = (total / counts[there] for total in sums)
    error = float(np.abs(mean_said - mean_happened) @ counts[there] / counts.sum())
    return Calibration(mean_said, mean_happened, counts[there], error, what)
