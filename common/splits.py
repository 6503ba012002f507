"""Which rows validate: the paper's class-balanced choice, and folds that keep groups apart."""

import warnings
from collections.abc import Sequence

import numpy as np

from common.errors import UserError, listing


def class_balanced_choice(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """The split of the paper's code for APTOS, cassava (seed 414) and EuroSAT (seed 42).

    For each class in order, `int(fraction * n)` of its n rows are drawn without replacement, all from one stream.
    `RandomState(seed)` gives the stream of the code's `np.random.seed(seed)` without touching the global one; the
    result depends on the order of the rows.

    Args:
        labels: int (n,).

    Returns:
        bool (n,), True where a row validates.
    """
    stream = np.random.RandomState(seed)
    validates = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        validates[stream.choice(of_class, int(fraction * len(of_class)), replace=False)] = True
    return validates


def grouped_folds(labels: np.ndarray, groups: Sequence | None, k: int, seed: int) -> np.ndarray:
    """k folds with the classes spread evenly and each group in one of them.

    With groups the result depends on the seed and on which group has which labels, not on the order of the rows;
    without groups it depends on that order. A class with fewer than k rows is missing from some folds.

    Args:
        labels: int (n,).
        groups: (n,), or None where every row is its own group.

    Returns:
        int64 (n,) in 0..k-1.

    Raises:
        UserError: fewer groups than folds, or a fold that would hold one class only.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # a second to import

    labels = np.asarray(labels)
    codes = np.arange(len(labels))
    if groups is not None:
        codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    count = codes.max() + 1
    if count < k or np.bincount(labels).max() < k:
        raise UserError(f"{k} folds cannot be made of {len(labels)} rows in {count} groups; use fewer --folds")
    order = np.lexsort((labels, codes))
    # Groups of one row each are no groups: the simpler splitter balances them exactly, and faster.
    alone = count == len(labels)
    splitter = StratifiedKFold if alone else StratifiedGroupKFold
    folds = np.empty(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        grouping = None if alone else codes[order]
        parts = splitter(k, shuffle=True, random_state=seed).split(order, labels[order], grouping)
        for fold, (_, held_out) in enumerate(parts):
            folds[order[held_out]] = fold
    _check_classes(labels, folds, k)
    return folds


def _check_classes(labels: np.ndarray, folds: np.ndarray, k: int) -> None:
    """A fold of one class has no ROC curve and no kappa: better said before it is trained."""
    poor = [fold for fold in range(k) if len(np.unique(labels[folds == fold])) < 2]
    if poor and len(np.unique(labels)) > 1:
        counts = listing(f"class {label}: {(labels == label).sum()} rows" for label in np.unique(labels))
        raise UserError(f"of {k} folds, fold {listing(poor)} would hold one class only ({counts}); use fewer --folds")
