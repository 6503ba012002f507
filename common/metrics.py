"""The competitions' metrics and their bootstrap intervals. For all of them higher is better, and none is ever NaN.

A metric is prepared once for its labels and values and then asked for its value under row weights: all ones give the
metric, multiplicities give a bootstrap replicate. So the sorting and counting are done once, not a thousand times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from common.errors import UserError, closest

Weighted = Callable[[np.ndarray], float]
"""Row weights, float64 (n,), → the metric; NaN where it is undefined."""


@dataclass(frozen=True)
class Metric:
    """`prepare(labels, values, classes)` validates its input and returns the metric as a function of row weights."""

    name: str
    wants: Literal["class", "probability"]
    prepare: Callable[[np.ndarray, np.ndarray, int], Weighted]
    undefined_when: str = ""


def evaluate(metric_name: str, labels, values, classes: int) -> float:
    """The metric of `values` (classes or probabilities, as the metric wants) against `labels`.

    Raises:
        UserError: no such metric; labels or values of the wrong shape or range, or NaN; the metric is undefined.
    """
    metric = find(metric_name)
    weighted = metric.prepare(np.asarray(labels), np.asarray(values), classes)
    value = weighted(np.ones(len(labels)))
    if np.isnan(value):
        raise UserError(f"{metric.name} is undefined: {metric.undefined_when}")
    return float(value)


def quadratic_weighted_kappa(labels, predictions, classes: int = 5) -> float:
    """Agreement of grades beyond chance, weighted by the squared distance (Cohen, 1968), in [-1, 1].

    labels, predictions: int (n,) in 0..classes-1. All classes count, present or not, in contrast to scikit-learn's
    `cohen_kappa_score` without `labels`, which closes the gap where a grade is absent. Raises as `evaluate`.
    """
    return evaluate("quadratic_weighted_kappa", labels, predictions, classes)


def macro_f1(labels, predictions, classes: int) -> float:
    """Mean over all classes of 2 TP / (2 TP + FP + FN), in [0, 1]; a class neither present nor predicted counts 0.

    labels, predictions: int (n,) in 0..classes-1, or 0/1 matrices (n, classes). Raises as `evaluate`.
    """
    return evaluate("macro_f1", labels, predictions, classes)


def roc_auc(labels, scores) -> float:
    """Chance that a positive row scores above a negative one, ties counting one half, in [0, 1].

    labels: 0/1 (n,); scores: float (n,), on any scale. Raises as `evaluate`, also where one class is missing.
    """
    return evaluate("roc_auc", labels, scores, 2)


def accuracy(labels, predictions, classes: int) -> float:
    """Share of the rows predicted right. labels, predictions: int (n,) in 0..classes-1. Raises as `evaluate`."""
    return evaluate("accuracy", labels, predictions, classes)


def bootstrap_interval(
    metric_name: str,
    labels,
    values,
    classes: int,
    groups=None,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `evaluate` (Efron and Tibshirani, 1993, ch. 13).

    Rows are drawn with replacement; with `groups` (n,) whole groups are, for the images of one patient are not
    independent. Replicates in which the metric is undefined are drawn but left out. A replicate that lacks a class can
    score less by macro F1 than the rows it is drawn from ever would; the interval is widened to the value itself then.

    Raises:
        UserError: as `evaluate`; fewer than two groups; the metric is undefined in more than half of the replicates.
    """
    metric = find(metric_name)
    weighted = metric.prepare(np.asarray(labels), np.asarray(values), classes)
    member = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(member) != len(labels):
        raise UserError(f"{len(labels)} labels but {len(member)} groups")
    units = int(member.max()) + 1
    if units < 2:
        raise UserError(f"a bootstrap interval of {metric.name} needs at least two groups of rows, found {units}")
    random = np.random.default_rng(seed)
    drawn = np.empty(replicates)
    for replicate in range(replicates):
        multiplicity = np.bincount(random.integers(0, units, units), minlength=units).astype(np.float64)
        drawn[replicate] = weighted(multiplicity if groups is None else multiplicity[member])
    defined = drawn[~np.isnan(drawn)]
    if 2 * len(defined) < replicates:
        raise UserError(
            f"{metric.name} is undefined in {replicates - len(defined)} of {replicates} bootstrap replicates: "
            f"{metric.undefined_when}; validate on more rows"
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    value = weighted(np.ones(len(labels)))
    return float(min(low, value)), float(max(high, value))


def find(metric_name: str) -> Metric:
    """The metric of that name. Raises UserError where there is none."""
    if metric_name not in METRICS:
        raise UserError(f"no metric '{metric_name}'{closest(metric_name, METRICS)}; known: {', '.join(METRICS)}")
    return METRICS[metric_name]


def of_confusion(score: Callable[[np.ndarray], float]):
    """A metric that is a function of the confusion matrix, float64 (classes, classes), rows the labels."""

    def prepare(labels: np.ndarray, predictions: np.ndarray, classes: int) -> Weighted:
        labels = class_vector(labels, classes, "labels")
        predictions = class_vector(predictions, classes, "predictions")
        same_length(labels, predictions)
        cell = labels * classes + predictions
        return lambda weights: score(np.bincount(cell, weights, classes * classes).reshape(classes, classes))

    return prepare


def kappa_of_confusion(counts: np.ndarray) -> float:
    grades = np.arange(len(counts))
    distance = (grades[:, None] - grades) ** 2
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = (distance * by_chance).sum()
    return 1 - (distance * counts).sum() / expected if expected > 0 else np.nan


def accuracy_of_confusion(counts: np.ndarray) -> float:
    return np.trace(counts) / counts.sum()


def f1_of_confusion(counts: np.ndarray) -> float:
    return mean_f1(np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1))


def mean_f1(hits: np.ndarray, predicted_plus_present: np.ndarray) -> float:
    """Mean over classes, (classes,), of F1 = 2 TP / (predicted + present), 0 where the denominator is."""
    return float(np.mean(2.0 * hits / np.maximum(predicted_plus_present, 1.0), dtype=np.float64))


def prepare_macro_f1(labels: np.ndarray, predictions: np.ndarray, classes: int) -> Weighted:
    if labels.ndim == 1:
        return of_confusion(f1_of_confusion)(labels, predictions, classes)
    labels = indicator_matrix(labels, classes, "labels")
    predictions = indicator_matrix(predictions, classes, "predictions")
    same_length(labels, predictions)
    hits, either = labels * predictions, labels + predictions
    return lambda weights: mean_f1(weights.astype(np.float32) @ hits, weights.astype(np.float32) @ either)


def prepare_roc_auc(labels: np.ndarray, scores: np.ndarray, classes: int) -> Weighted:
    labels = class_vector(labels, 2, "labels")
    scores = finite(scores, "scores")
    if scores.ndim != 1:
        raise UserError(f"scores must be one number a row, got shape {scores.shape}")
    same_length(labels, scores)
    positive = np.flatnonzero(labels == 1)
    negative = np.flatnonzero(labels == 0)
    negative = negative[np.argsort(scores[negative], kind="stable")]
    below = np.searchsorted(scores[negative], scores[positive], side="left")
    not_above = np.searchsorted(scores[negative], scores[positive], side="right")

    def weighted(weights: np.ndarray) -> float:
        negatives = np.concatenate([[0.0], np.cumsum(weights[negative])])
        positives = weights[positive]
        pairs = positives.sum() * negatives[-1]
        return positives @ (negatives[below] + negatives[not_above]) / (2 * pairs) if pairs > 0 else np.nan

    return weighted


def finite(values: np.ndarray, what: str) -> np.ndarray:
    """Numbers, none of them NaN or infinite, at least one row."""
    if values.size == 0:
        raise UserError(f"{what} are empty")
    if values.dtype.kind not in "biuf":
        raise UserError(f"{what} must be numbers, got {values.dtype}")
    bad = ~np.isfinite(values)
    if bad.any():
        raise UserError(f"{what} hold NaN or infinity in {bad.sum()} places, first at row {np.argwhere(bad)[0][0]}")
    return values


def class_vector(values: np.ndarray, classes: int, what: str) -> np.ndarray:
    """int64 (n,) in 0..classes-1."""
    values = finite(values, what)
    if values.ndim != 1:
        raise UserError(f"{what} must be one class a row, got shape {values.shape}")
    bad = np.flatnonzero((values < 0) | (values >= classes) | (values != np.floor(values)))
    if len(bad):
        raise UserError(f"{what} must be whole numbers in 0..{classes - 1}, got {values[bad[0]]} at row {bad[0]}")
    return values.astype(np.int64)


def indicator_matrix(values: np.ndarray, classes: int, what: str) -> np.ndarray:
    """float32 (n, classes) of zeros and ones; sums of weights stay exact up to 2^24 rows."""
    values = finite(values, what)
    if values.ndim != 2 or values.shape[1] != classes:
        raise UserError(f"{what} must be a matrix with {classes} columns, got shape {values.shape}")
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"{what} must be 0 or 1")
    return values.astype(np.float32)


def same_length(labels: np.ndarray, values: np.ndarray) -> None:
    if len(labels) != len(values):
        raise UserError(f"{len(labels)} labels but {len(values)} predictions")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "quadratic_weighted_kappa",
            "class",
            of_confusion(kappa_of_confusion),
            "labels and predictions are all one and the same class",
        ),
        Metric("macro_f1", "class", prepare_macro_f1),
        Metric("roc_auc", "probability", prepare_roc_auc, "all labels are of one class"),
        Metric("accuracy", "class", of_confusion(accuracy_of_confusion)),
    )
}
