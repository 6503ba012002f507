"""Averages over members: networks, folds or whole runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from common.errors import UserError, listing


def weighted_mean(members, weights: Sequence[float] | None = None) -> np.ndarray:
    """Members, float (m, n, ...) → their mean (n, ...), weighted by `weights` (m,), which need not sum to 1.

    Raises:
        UserError: members of different shapes or with NaN; weights that are not m numbers ≥ 0 with a positive sum.
    """
    members = checked(members)
    return np.tensordot(checked_weights(weights, len(members)), members, axes=1)


def rank_mean(members, weights: Sequence[float] | None = None) -> np.ndarray:
    """The weighted mean of ranks in place of values, in (0, 1): for metrics that look at the order alone (AUC), it
    takes no notice of how sure of itself each member is.

    Members are float (m, n) or (m, n, K); ranks are taken over the n rows, for each member and column by itself, ties
    share their average rank, and rank r of n becomes (r - 1/2) / n. Raises as `weighted_mean`.
    """
    return weighted_mean(as_ranks(members), weights)


def as_ranks(members) -> np.ndarray:
    """The ranks of `rank_mean` in place of values, float64 of the same shape. Raises as `weighted_mean`."""
    members = checked(members)
    return (rankdata(members, method="average", axis=1) - 0.5) / members.shape[1]


def align(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Prediction tables with a column `id`, all in the order of the first, with a fresh index.

    Raises:
        UserError: a table repeats an id, or lacks one that another has; the message names some.
    """
    first = tables[0]
    aligned = []
    for number, table in enumerate(tables, start=1):
        repeated = table["id"][table["id"].duplicated()].unique()
        if len(repeated):
            raise UserError(f"table {number} repeats the ids {listing(repeated, 5)}")
        missing = first["id"][~first["id"].isin(table["id"])]
        if len(missing):
            raise UserError(f"table {number} lacks the ids {listing(missing, 5)} of table 1; predict the same images")
        extra = table["id"][~table["id"].isin(first["id"])]
        if len(extra):
            raise UserError(f"table 1 lacks the ids {listing(extra, 5)} of table {number}; predict the same images")
        aligned.append(table.set_index("id").loc[first["id"]].reset_index())
    return aligned


def checked(members) -> np.ndarray:
    """float64 (m, n, ...), all finite."""
    members = [np.asarray(member, dtype=np.float64) for member in members]
    if not members:
        raise UserError("nothing to average: no members")
    for number, member in enumerate(members, start=1):
        if member.shape != members[0].shape:
            raise UserError(f"member {number} has shape {member.shape}, member 1 has {members[0].shape}")
        if member.ndim == 0 or member.size == 0:
            raise UserError(f"member {number} has no rows")
        if not np.isfinite(member).all():
            raise UserError(
                f"member {number} holds NaN or infinity, first at row {np.argwhere(~np.isfinite(member))[0][0]}"
            )
    return np.stack(members)


def checked_weights(weights: Sequence[float] | None, m: int) -> np.ndarray:
    """float64 (m,) that sum to 1; equal where `weights` is None."""
    weights = np.ones(m) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (m,) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise UserError(f"weights must be {m} numbers of at least 0, not all 0; got {weights.tolist()}")
    return weights / weights.sum()
