"""Greedy ensemble selection: which runs to average, with which weights, chosen on their held-out outputs.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models" (ICML 2004): forward selection
with replacement, which starts from the best few, over bags of the models. Weights chosen on the rows that score them
flatter, so the score is nested: each fold is averaged and decided by what was chosen on the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from common.decide import Rule, fit_rule, parts
from common.metrics import evaluate
from common.progress import Progress

STEPS, PATIENCE = 20, 5
"""Models that are added after the start at most, and in a row without bettering the best ensemble on the way."""
BAGS, SMALLEST_BAG = 20, 5
"""A bag holds half of the models, and no fewer than five: of fewer than that, all are looked at, once."""

Counts = tuple[int, ...]
"""How often each model was chosen."""


@dataclass(frozen=True)
class Selected:
    """What was chosen, and how good it is on rows that it was not chosen on.

    `weights` float64 (m,), which sum to 1, and `rule` are chosen on all rows; `in_sample` is their score on the same
    rows, which flatters. `outputs` (n, ...) and `values` (n,) or (n, K) are nested: averaged and decided by what was
    chosen on the other folds. `single` are the values of the one model that is best on the other folds.
    """

    weights: np.ndarray
    rule: Rule
    in_sample: float
    outputs: np.ndarray
    values: np.ndarray
    single: np.ndarray


def select(
    members: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    metric: str,
    decision: str,
    classes: int,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> Selected:
    """Weights of `members`, float (m, n) or (m, n, K), with the best metric after the decision rule.

    Args:
        labels: int (n,), or indicator rows (n, K).
        folds: int (n,), whole groups. Where there is one fold alone it is cut, by `groups` (n,) if given, into parts.

    Raises:
        UserError: as `common.decide.fit_rule` and `common.metrics.evaluate`.
    """
    if len(np.unique(folds)) == 1:
        folds = parts(len(folds), groups, seed)
    chosen = partial(_chosen, metric=metric, decision=decision, classes=classes, seed=seed)
    outputs = np.empty(members.shape[1:])
    values = np.empty(labels.shape, dtype=np.float64 if decision == "probability" else np.int64)
    single = np.empty_like(values)
    numbers = np.unique(folds)
    with Progress(len(numbers) + 1, "weights of the blend", unit="folds") as progress:
        for fold in numbers:
            inside = folds == fold
            weights, best = chosen(members[:, ~inside], labels[~inside])
            for picked, decided in ((weights, values), (best, single)):
                rule = fit_rule(decision, blended(members[:, ~inside], picked), labels[~inside], classes)
                decided[inside] = rule(blended(members[:, inside], picked))
            outputs[inside] = blended(members[:, inside], weights)
            progress.update(1)
        weights, _ = chosen(members, labels)
    rule = fit_rule(decision, blended(members, weights), labels, classes)
    in_sample = evaluate(metric, labels, rule(blended(members, weights)), classes)
    return Selected(weights, rule, in_sample, outputs, values, single)


def _chosen(
    members: np.ndarray, labels: np.ndarray, metric: str, decision: str, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the ensemble and of the best single member, both (m,), on these rows."""

    def score(outputs: np.ndarray) -> float:
        return evaluate(metric, labels, fit_rule(decision, outputs, labels, classes)(outputs), classes)

    return greedy_weights(members, score, seed), best_single(members, score)


def best_single(members: np.ndarray, score: Callable[[np.ndarray], float]) -> np.ndarray:
    """Weights (m,): all on the member with the highest score."""
    return np.eye(len(members))[int(np.argmax([score(member) for member in members]))]


def greedy_weights(members: np.ndarray, score: Callable[[np.ndarray], float], seed: int = 0) -> np.ndarray:
    """Weights float64 (m,) ≥ 0 that sum to 1: the mean over bags of the ensembles that `climb` finds.

    members: float (m, n, ...); score: outputs (n, ...) → a number, the higher the better.
    """
    m = len(members)

    @cache
    def score_of(counts: Counts) -> float:
        return score(blended(members, np.array(counts) / sum(counts)))

    size = min(m, max(SMALLEST_BAG, -(-m // 2)))
    random = np.random.default_rng(seed)
    bags = [np.arange(m)] if size == m else [random.choice(m, size, replace=False) for _ in range(BAGS)]
    found = np.array([climb(score_of, bag.tolist(), m) for bag in bags], dtype=np.float64)
    return (found / found.sum(axis=1, keepdims=True)).mean(axis=0)


def climb(score_of: Callable[[Counts], float], models: Sequence[int], m: int) -> Counts:
    """How often each of `m` models is chosen, out of `models`: the best N together, for the N that scores best, then
    again and again the model that helps most. Of equally good ensembles the first found, which is the smallest."""
    none = (0,) * m
    order = sorted(models, key=lambda model: -score_of(added(none, model)))
    starts = [added(none, *order[: n + 1]) for n in range(len(order))]
    counts = best = max(starts, key=score_of)
    for _ in range(STEPS):
        counts = max((added(counts, model) for model in order), key=score_of)
        best = max(best, counts, key=score_of)
        if sum(counts) - sum(best) >= PATIENCE:
            break
    return best


def added(counts: Counts, *models: int) -> Counts:
    return tuple(count + (model in models) for model, count in enumerate(counts))


def blended(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of members (m, n, ...) → (n, ...) by weights (m,), of which those at 0 cost nothing."""
    used = np.flatnonzero(weights)
    return np.tensordot(weights[used], members[used], axes=1)
