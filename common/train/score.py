"""Held-out predictions → scores: after an epoch by the plain rule, of a run by its own, fitted without leaking."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from common.competition import Competition
from common.decide import fit_rule, nested
from common.labels import label_array
from common.metrics import METRICS, bootstrap_interval, evaluate
from common.predict import from_table
from common.recipe import Recipe


def epoch_score(competition: Competition, labels: np.ndarray, outputs: np.ndarray) -> float:
    """The competition's metric by the plain rule (rounding, the largest class, the probability; of several classes a
    row those above the one best cut, for what 1/2 means depends on the loss): what the best epoch is chosen by. Fitted
    thresholds come after training."""
    if METRICS[competition.metric].wants == "class":
        name = "global" if labels.ndim == 2 else "round" if outputs.ndim == 1 else "argmax"
        outputs = fit_rule(name, outputs, labels, len(competition.classes))(outputs)
    return evaluate(competition.metric, labels, outputs, len(competition.classes))


def decided(competition: Competition, recipe: Recipe, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The labels of an out-of-fold table and what they are compared with: each fold decided by a rule fitted on the
    others. Both as the metric wants them: (n,), or (n, K) in a multi-label task."""
    classes = len(competition.classes)
    labels = label_array(table["label"], competition.task, classes)
    groups = table["group"].to_numpy() if "group" in table else None
    parts = (from_table(table), labels, table["fold"].to_numpy(), classes)
    return labels, nested(recipe.decision, *parts, groups=groups, seed=recipe.seed)


def in_words(metric: str, score: float, interval: Sequence[float], n: int) -> str:
    """`accuracy 0.8123 (95% interval 0.7812 to 0.8412) on 600`."""
    low, high = interval
    return f"{metric} {score:.4f} (95% interval {low:.4f} to {high:.4f}) on {n:,}"


def score_out_of_fold(competition: Competition, recipe: Recipe, table: pd.DataFrame) -> dict:
    """What `score_values` says of an out-of-fold table, and the rule fitted on all its rows.

    The reported score is nested: each fold is decided by a rule fitted on the others.
    """
    labels, values = decided(competition, recipe, table)
    rule = fit_rule(recipe.decision, from_table(table), labels, len(competition.classes))
    return {**score_values(competition, table, labels, values, recipe.seed), "rule": rule.to_dict()}


def score_values(
    competition: Competition, table: pd.DataFrame, labels: np.ndarray, values: np.ndarray, seed: int
) -> dict:
    """Score, 95% interval (whole groups resampled), number of rows and per-fold scores of what was decided for the rows
    of a table, both (n,) or (n, K)."""
    score = partial(evaluate, competition.metric, classes=len(competition.classes))
    folds, groups = table["fold"].to_numpy(), table["group"].to_numpy() if "group" in table else None
    interval = bootstrap_interval(
        competition.metric, labels, values, classes=len(competition.classes), groups=groups, seed=seed
    )
    per_fold = {str(fold): score(labels[folds == fold], values[folds == fold]) for fold in np.unique(folds)}
    return {"score": score(labels, values), "interval": list(interval), "n": len(labels), "folds": per_fold}
