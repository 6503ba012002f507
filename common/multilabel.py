"""Decisions of a multi-label task: probabilities (n, K) and one cut for each class → 0/1 rows that are never empty.

Cuts are fitted on probabilities and indicator rows (n, K) of held-out images. A cut lies half-way between two
probabilities that it tells apart; where cuts are equally good the highest is taken, which predicts the least.
"""

import numpy as np

from common.errors import UserError


def decide(probabilities: np.ndarray, cuts) -> np.ndarray:
    """Probabilities (n, K) → int64 (n, K), 1 where a probability reaches its class's cut (K,). A row that reaches none
    gets the one class whose probability is highest in proportion to its cut: an empty prediction can only lose."""
    cuts = np.asarray(cuts, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(cuts):
        raise UserError(f"{len(cuts)} cuts decide {len(cuts)} probabilities a row, got shape {probabilities.shape}")
    rows = (probabilities >= cuts).astype(np.int64)
    empty = np.flatnonzero(~rows.any(axis=1))
    rows[empty, (probabilities[empty] / cuts).argmax(axis=1) if len(empty) else []] = 1
    return rows


def best_cuts(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,): for each class by itself the cut with the best F1 on these rows, the very best one. A class that no row has
    is cut above all its probabilities."""
    return np.array([best_cut(*column) for column in zip(probabilities.T, labels.T, strict=True)])


def best_cut(probability: np.ndarray, label: np.ndarray) -> float:
    """The cut of one class, probability and label (n,), with the best F1."""
    order = np.argsort(-probability, kind="stable")
    values = probability[order]
    last_of_ties = np.r_[values[1:] < values[:-1], True]
    scores = np.where(last_of_ties, f1_of_prefixes(label[order]), -1.0)
    best = int(scores.argmax())
    return cut_below(values, best + 1 if scores[best] > 0 else 0)


def global_cut(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The one cut for all classes with the best macro F1 on these rows, the very best one, empty rows decided as
    `decide` does it: with one cut for all, a row's likeliest class is predicted wherever the cut lies."""
    values = probabilities.astype(np.float64)
    values[np.arange(len(values)), values.argmax(axis=1)] = np.inf
    order = np.argsort(-values, axis=0, kind="stable")
    sorted_labels = np.take_along_axis(labels, order, axis=0)
    gains = np.stack([np.diff(f1_of_prefixes(label), prepend=0.0) for label in sorted_labels.T], axis=1)
    values, gains = np.take_along_axis(values, order, axis=0).ravel(), gains.ravel()
    order = np.argsort(-values, kind="stable")
    values, macro = values[order], np.cumsum(gains[order])
    last_of_ties = np.r_[values[1:] < values[:-1], True]
    best = int(np.where(last_of_ties, macro.round(12), -1.0).argmax())
    finite = int(np.isinf(values).sum())
    return cut_below(values[finite:], best + 1 - finite)


def prevalence_cuts(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K,): each class is predicted as often as it is present, as nearly as tied probabilities allow. Third place of
    the Human Protein Atlas competition cut so: it overfits less than the best F1."""
    values = -np.sort(-probabilities, axis=0)
    wanted = labels.sum(axis=0, dtype=np.int64)
    return np.array([cut_near(column, int(count)) for column, count in zip(values.T, wanted, strict=True)])


def f1_of_prefixes(label: np.ndarray) -> np.ndarray:
    """F1 when the first 1, 2, … rows are predicted, float64 (n,)."""
    hits, predicted = np.cumsum(label, dtype=np.int64), np.arange(1, len(label) + 1)
    return 2 * hits / (predicted + label.sum(dtype=np.int64))


def cut_near(values: np.ndarray, count: int) -> float:
    """The cut that leaves about `count` of the descending values above it, never between equal ones."""
    ends = np.r_[0, np.flatnonzero(np.r_[values[1:] < values[:-1], True]) + 1]
    return cut_below(values, int(ends[np.abs(ends - count).argmin()]))


def cut_below(values: np.ndarray, count: int) -> float:
    """Half-way between the `count` first of the descending values and the rest; beyond all of them by one half."""
    if len(values) == 0:
        return 0.5
    if count == 0:
        return float(values[0] + 0.5)
    return float(values[count - 1] - 0.5 if count == len(values) else (values[count - 1] + values[count]) / 2)
