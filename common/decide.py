"""From outputs to labels: the decision rules of a recipe, and scores of them that were not fitted on what they score.

Outputs are one of
    (n,)             a regressed grade, or the probability of class 1 of a binary task
    (n, K)           class probabilities
    (members, n, K)  either, from several networks; K = 1 for the first kind

Labels are classes (n,), or the indicator rows (n, K) of a multi-label task, which `common.multilabel` decides.
"""

from dataclasses import asdict, dataclass

import numpy as np

from common import multilabel
from common.errors import UserError, closest
from common.metrics import class_vector, finite, indicator_matrix

RULES = ("argmax", "round", "thresholds", "global", "prevalence", "majority", "probability")
FITTED = ("thresholds", "global", "prevalence")
PARTS = 5
"""Parts of a single fold for nested fitting."""


@dataclass(frozen=True)
class Rule:
    """A decision rule, fitted where it has something to fit. `cuts` are the classes - 1 ascending cut points between
    grades, or one cut a class in a multi-label task."""

    name: str
    classes: int
    cuts: tuple[float, ...] = ()

    def __call__(self, outputs) -> np.ndarray:
        """Outputs → int64 labels (n,), or 0/1 rows (n, K) in a multi-label task; for 'probability' the float64
        probabilities, (n,) or (n, K).

        Raises:
            UserError: the outputs hold NaN or have a shape the rule cannot decide.
        """
        outputs = finite(np.asarray(outputs, dtype=np.float64), "outputs")
        if self.name == "majority":
            members = outputs if outputs.ndim == 3 else outputs[None]
            return majority_vote([argmax(member, self.classes) for member in members])
        outputs = mean_of_members(outputs)
        if len(self.cuts) == self.classes:
            return multilabel.decide(outputs, self.cuts)
        if self.name == "argmax":
            return argmax(outputs, self.classes)
        if self.name == "round":
            return round_grades(grades(outputs), self.classes)
        if self.name == "probability":
            return grades(outputs) if self.classes == 2 else outputs
        return apply_thresholds(grades(outputs), self.cuts)

    def to_dict(self) -> dict:
        return asdict(self) | {"cuts": list(self.cuts)}

    @classmethod
    def from_dict(cls, values: dict) -> "Rule":
        return cls(values["name"], values["classes"], tuple(values["cuts"]))


def fit_rule(name: str, outputs, labels, classes: int, metric: str = "quadratic_weighted_kappa") -> Rule:
    """The rule of that name, fitted on held-out outputs and their labels, int (n,) or indicator rows (n, K).

    `metric` is what 'thresholds' maximizes over grades; with several classes a row it is F1. Rules with nothing to fit
    take None for outputs and labels.

    Raises:
        UserError: no such rule; nothing to fit it on; the outputs or labels are malformed.
    """
    if name not in RULES:
        raise UserError(f"no decision rule '{name}'{closest(name, RULES)}; known: {', '.join(RULES)}")
    check_rule(name, several=labels is not None and np.ndim(labels) == 2)
    if name not in FITTED:
        return Rule(name, classes)
    if outputs is None or labels is None:
        raise UserError(f"decision '{name}' is fitted on held-out images and there are none; hold some out (split)")
    outputs = mean_of_members(finite(np.asarray(outputs, dtype=np.float64), "outputs"))
    if len(outputs) != len(labels):
        raise UserError(f"decision '{name}': {len(outputs)} outputs but {len(labels)} labels")
    if np.ndim(labels) == 2:
        return Rule(name, classes, cuts_of_classes(name, outputs, np.asarray(labels), classes))
    outputs, labels = grades(outputs), class_vector(np.asarray(labels), classes, "labels")
    if name == "thresholds":
        cuts = fit_thresholds(outputs, labels, classes, metric)
    else:
        cuts = prevalence_thresholds(outputs, np.bincount(labels, minlength=classes) / len(labels))
    return Rule(name, classes, tuple(cuts.tolist()))


def check_rule(name: str, several: bool) -> None:
    """Raises UserError where a rule does not go with a task in which a row has several classes, or just one."""
    if several and name not in FITTED:
        raise UserError(f"decision '{name}' does not name several classes a row; use {', '.join(FITTED)}")
    if name == "global" and not several:
        raise UserError("decision 'global' is one cut for rows of several classes; use another, such as argmax")


def cuts_of_classes(name: str, outputs: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """One cut a class, fitted on probabilities and indicator rows, both (n, classes)."""
    labels = indicator_matrix(labels, classes, "labels").astype(np.int64)
    if outputs.shape != labels.shape:
        raise UserError(f"decision '{name}' needs {classes} probabilities a row, got {outputs.shape}")
    if name == "global":
        return (multilabel.global_cut(outputs, labels),) * classes
    fit = multilabel.best_cuts if name == "thresholds" else multilabel.prevalence_cuts
    return tuple(fit(outputs, labels).tolist())


def nested(
    name: str,
    outputs,
    labels,
    folds,
    classes: int,
    groups=None,
    seed: int = 0,
    metric: str = "quadratic_weighted_kappa",
) -> np.ndarray:
    """Values (n,), or (n, K) in a multi-label task, in which each fold is decided by a rule fitted on the other folds,
    for a score that is not fitted.

    folds: int (n,), the fold that held each row out. Where there is one fold alone it is cut, by `groups` (n,) if
    given, into five parts that take the part of folds. Raises as `fit_rule`.
    """
    outputs, labels, folds = np.asarray(outputs), np.asarray(labels), np.asarray(folds)
    if name not in FITTED:
        return fit_rule(name, outputs, labels, classes)(outputs)
    if len(np.unique(folds)) == 1:
        folds = parts(len(folds), groups, seed)
    row_axis = 1 if outputs.ndim == 3 else 0
    values = np.empty(labels.shape, dtype=np.int64)
    for fold in np.unique(folds):
        inside = folds == fold
        rule = fit_rule(name, outputs.compress(~inside, row_axis), labels[~inside], classes, metric)
        values[inside] = rule(outputs.compress(inside, row_axis))
    return values


def parts(n: int, groups, seed: int) -> np.ndarray:
    """Part of each of `n` rows, int (n,): groups (rows where None) dealt out at random in turn."""
    member = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    units = int(member.max()) + 1
    if units < 2:
        raise UserError("a rule cannot be fitted and scored on one group of images; hold out more of them")
    return np.random.default_rng(seed).permutation(np.arange(units) % PARTS)[member]


def mean_of_members(outputs: np.ndarray) -> np.ndarray:
    return outputs.mean(axis=0) if outputs.ndim == 3 else outputs


def grades(outputs: np.ndarray) -> np.ndarray:
    """One number a row, (n,): the grade itself, or the expected one, sum_k k p_k, of class probabilities (n, K)."""
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        return outputs.reshape(len(outputs))
    return outputs @ np.arange(outputs.shape[1])


def argmax(outputs: np.ndarray, classes: int) -> np.ndarray:
    """The likeliest class, int64 (n,), of probabilities (n, classes), or (n,) or (n, 1) of class 1 out of two."""
    if outputs.ndim == 2 and outputs.shape[1] == classes:
        return outputs.argmax(axis=1)
    if classes == 2 and outputs.size == len(outputs):
        return (outputs.reshape(-1) >= 0.5).astype(np.int64)
    raise UserError(f"the likeliest of {classes} classes needs {classes} probabilities a row, got {outputs.shape}")


def round_grades(outputs: np.ndarray, classes: int) -> np.ndarray:
    """The nearest grade in 0..classes-1, int64 (n,); halves go up."""
    return np.clip(np.floor(outputs + 0.5), 0, classes - 1).astype(np.int64)


def apply_thresholds(outputs: np.ndarray, cuts) -> np.ndarray:
    """The number of cut points at or below each output, int64 (n,)."""
    return np.searchsorted(np.asarray(cuts), outputs, side="right")


def majority_vote(labels) -> np.ndarray:
    """The label (n,) that most members (members, n) give; of tied ones the nearest to the members' mean, then the
    lower. Distance is what a wrong grade costs, so the middle of a split vote risks least."""
    labels = np.asarray(labels)
    candidates = np.arange(labels.max() + 1)[:, None]
    votes = (labels[:, None, :] == candidates).sum(axis=0)
    distance = np.abs(candidates - labels.mean(axis=0))
    return np.where(votes == votes.max(axis=0), distance, np.inf).argmin(axis=0)


def prevalence_thresholds(outputs: np.ndarray, shares) -> np.ndarray:
    """Cuts (K-1,) after which the predicted classes have the given shares (K,), as nearly as tied outputs allow.

    Third place of the Human Protein Atlas competition matched prevalences so: it overfits less than the best cut.
    """
    shares = finite(np.asarray(shares, dtype=np.float64), "shares")
    if (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise UserError(f"class shares must be at least 0 and sum to 1, got {shares.tolist()}")
    values, counts = np.unique(outputs, return_counts=True)
    below = np.r_[0, np.cumsum(counts)]
    wanted = np.cumsum(shares)[:-1] * len(outputs)
    return cuts_at(values, np.abs(below[:, None] - wanted).argmin(axis=0))


def fit_thresholds(outputs, labels, classes: int, metric: str = "quadratic_weighted_kappa") -> np.ndarray:
    """The ascending cuts (classes-1,) that maximize kappa or accuracy on these outputs (n,): the very best ones.

    Kappa is 1 - O / E with O the observed and E the chance disagreement. For a given labelling of the rows both are
    sums over rows, so O - ratio * E is minimized exactly by dynamic programming over the sorted outputs, and
    Dinkelbach's iteration (1967) raises kappa until the ratio no longer falls.

    Raises:
        UserError: another metric; only one class among the labels.
    """
    if metric not in ("quadratic_weighted_kappa", "accuracy"):
        raise UserError(f"no thresholds for the metric '{metric}'; choose decision 'argmax' or 'probability'")
    outputs, labels = np.asarray(outputs, dtype=np.float64), np.asarray(labels)
    present = np.bincount(labels, minlength=classes)
    if present.max() == len(labels):
        raise UserError(f"thresholds cannot be fitted: all {len(labels)} labels are {labels[0]}")
    values, position = np.unique(outputs, return_inverse=True)
    counts = np.zeros((len(values), classes))
    np.add.at(counts, (position, labels), 1)
    grade = np.arange(classes)
    if metric == "accuracy":
        return cuts_at(values, cheapest_boundaries(counts @ (grade[:, None] != grade)))
    distance = (grade[:, None] - grade) ** 2
    observed = counts @ distance
    by_chance = counts.sum(axis=1, keepdims=True) * (present @ distance / len(labels))
    ratio = 1.0
    while True:
        boundaries = cheapest_boundaries(observed - ratio * by_chance)
        given = np.searchsorted(boundaries, np.arange(len(values)), side="right")[:, None]
        better = np.take_along_axis(observed, given, 1).sum() / np.take_along_axis(by_chance, given, 1).sum()
        if better >= ratio - 1e-12:
            return cuts_at(values, boundaries)
        ratio = better


def cheapest_boundaries(cost: np.ndarray) -> np.ndarray:
    """The boundaries (K-1,), ascending in 0..m, that give each of m values one of K classes, in order, for the least
    sum of cost (m, K): values before the first boundary are of class 0, and so on."""
    m, classes = cost.shape
    running = np.vstack([np.zeros(classes), np.cumsum(cost, axis=0)])
    best = running[:, 0]
    came_from = np.empty((classes, m + 1), dtype=np.int64)
    for k in range(1, classes):
        gain = best - running[:, k]
        least = np.minimum.accumulate(gain)
        came_from[k] = np.maximum.accumulate(np.where(gain == least, np.arange(m + 1), 0))
        best = running[:, k] + least
    boundaries = [m]
    for k in range(classes - 1, 0, -1):
        boundaries.append(came_from[k, boundaries[-1]])
    return np.array(boundaries[:0:-1])


def cuts_at(values: np.ndarray, boundaries: np.ndarray) -> np.ndarray:
    """Cut points half-way between the sorted distinct values on both sides of each boundary; outside of all of them
    by one half for a class that is given to none."""
    padded = np.r_[values[0] - 1, values, values[-1] + 1]
    return (padded[boundaries] + padded[boundaries + 1]) / 2
