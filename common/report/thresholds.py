"""What a decision's cut points are worth: the score as one of them moves, and curves over every cut of a binary task.

All are on the held-out rows that the shown cuts were fitted on; the score of the run is nested, and a little lower.
"""

from collections.abc import Sequence

import numpy as np

from common.decide import Rule, apply_thresholds, grades
from common.metrics import find
from common.report.charts import Series

STEPS = 41
"""Positions of a cut that are tried."""


def of_grades(rule: Rule, outputs: np.ndarray, labels: np.ndarray, metric: str, names: Sequence[str]) -> list[Series]:
    """The metric as each cut between two grades moves from its lower to its upper neighbour while the others stay.

    outputs: (n,), (n, 1) or (n, K); labels int (n,); names: of the classes, in order.
    """
    at, cuts = grades(outputs), np.array(rule.cuts)
    ends = np.r_[at.min(), cuts, at.max()]
    ones, found = np.ones(len(labels)), []
    for number in range(len(cuts)):
        tried = np.linspace(ends[number], ends[number + 2], STEPS)
        moved = [np.r_[cuts[:number], cut, cuts[number + 1 :]] for cut in tried]
        decided = [apply_thresholds(at, each) for each in moved]
        scores = [find(metric).prepare(labels, values, rule.classes)(ones) for values in decided]
        name = f"{names[number]} | {names[number + 1]}"
        found.append(Series(name, tried.tolist(), [float(score) for score in scores], dots=False))
    return found


def of_classes(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts (STEPS,), and F1 (STEPS, K) of each class by itself if it is cut there; both inputs (n, K)."""
    cuts = np.linspace(0, 1, STEPS)
    present = labels.sum(axis=0)
    found = np.empty((STEPS, labels.shape[1]))
    for row, cut in enumerate(cuts):
        said = probabilities >= cut
        found[row] = 2 * (said & (labels == 1)).sum(axis=0) / np.maximum(said.sum(axis=0) + present, 1)
    return cuts, found


def of_probability(probability: np.ndarray, labels: np.ndarray) -> tuple[Series, list[Series]]:
    """The ROC curve, and precision and recall over the cut; both inputs (n,)."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    false_alarms, found, _ = roc_curve(labels, probability)
    few = thinned(len(false_alarms))
    roc = Series("ROC", false_alarms[few].tolist(), found[few].tolist(), dots=False)
    precision, recall, cuts = precision_recall_curve(labels, probability)
    few = thinned(len(cuts))
    return roc, [
        Series("precision", cuts[few].tolist(), precision[few].tolist(), dots=False),
        Series("recall", cuts[few].tolist(), recall[few].tolist(), dots=False),
    ]


def thinned(n: int, most: int = 200) -> np.ndarray:
    """`most` of n places, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
