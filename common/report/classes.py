"""Right and wrong, class by class: support, precision, recall, F1, and what is taken for what."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def per_class(labels: np.ndarray, decided: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """One row a class: `class`, `support` (rows that have it), `predicted`, `precision`, `recall`, `f1`; NaN where
    nothing is divided by nothing.

    labels, decided: int (n,), or 0/1 rows (n, K).
    """
    truth, said = (one_hot(values, len(classes)) for values in (labels, decided))
    hits, support, predicted = (truth & said).sum(axis=0), truth.sum(axis=0), said.sum(axis=0)
    with np.errstate(invalid="ignore"):
        shares = {
            "precision": hits / predicted,
            "recall": hits / support,
            "f1": 2 * hits / (support + predicted),
        }
    return pd.DataFrame({"class": list(classes), "support": support, "predicted": predicted, **shares})


def one_hot(values: np.ndarray, classes: int) -> np.ndarray:
    """bool (n, classes) of int (n,), or of 0/1 rows."""
    return values == 1 if values.ndim == 2 else values[:, None] == np.arange(classes)


def confusion(labels: np.ndarray, decided: np.ndarray, classes: int) -> np.ndarray:
    """int (classes, classes): rows the labels, columns what was decided, both int (n,)."""
    return np.bincount(labels * classes + decided, minlength=classes**2).reshape(classes, classes)


def mistakes(counts: np.ndarray, classes: Sequence[str], most: int = 15) -> pd.DataFrame:
    """The most frequent confusions: `label`, `predicted`, `rows`, `share` of the label's rows."""
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    rows = [(int(at) // len(classes), int(at) % len(classes)) for at in order if off.flat[at]]
    found = [(classes[i], classes[j], int(off[i, j]), float(off[i, j] / counts[i].sum())) for i, j in rows]
    return pd.DataFrame(found, columns=["label", "predicted", "rows", "share"])
