"""The paper's value beside ours: how far apart, and whether the rounding of the printed scores explains it."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from common.study import tables

Statistic = Callable[[pd.DataFrame], pd.DataFrame]
"""From a table of scores to a frame data set × quantity."""
AS_PRINTED, ROUNDING, UNKNOWN = "as printed", "rounding", "unknown"
DRAWS = 100


def reach(statistic: Statistic, draws: int = DRAWS, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The least and the greatest value of a statistic over random tables that all round to the printed one."""
    printed, halves = tables.scores(), tables.score_half_units()
    generator = np.random.default_rng(seed)
    values = [statistic(printed + halves * generator.uniform(-1, 1, printed.shape)) for _ in range(draws)]
    least, greatest = np.min(values, axis=0), np.max(values, axis=0)
    return tuple(pd.DataFrame(ends, values[0].index, values[0].columns) for ends in (least, greatest))


def compare(statistic: Statistic, name: str, draws: int = DRAWS) -> pd.DataFrame:
    """A statistic of the paper's scores beside the paper's own table of it, a row a cell.

    Args:
        name: the paper's table, of the shape that the statistic gives.

    Returns:
        Columns `dataset`, `quantity`, `ours`, `paper`, `difference` and `reason`: "as printed" (the same digits),
        "rounding" (a table that rounds to the printed scores gives the paper's value), or "unknown".
    """
    ours = statistic(tables.scores())
    paper, printed_half = tables.read(name), tables.half_units(name)
    least, greatest = reach(statistic, draws)
    rows = []
    for data_set in ours.index:
        for quantity in ours.columns:
            value, published = ours.loc[data_set, quantity], paper.loc[data_set, quantity]
            half = printed_half.loc[data_set, quantity] * (1 + 1e-9)
            within = (
                least.loc[data_set, quantity] <= published + half
                and published - half <= greatest.loc[data_set, quantity]
            )
            reason = AS_PRINTED if abs(value - published) <= half else ROUNDING if within else UNKNOWN
            rows.append((data_set, quantity, value, published, value - published, reason))
    return pd.DataFrame(rows, columns=["dataset", "quantity", "ours", "paper", "difference", "reason"])


def beside(ours: pd.DataFrame, name: str) -> pd.DataFrame:
    """A statistic of other scores beside the paper's table, as `compare`, without reasons; NaN where it has none."""
    long = ours.rename_axis("dataset").reset_index().melt("dataset", var_name="quantity", value_name="ours")
    paper = tables.read(name).rename_axis("dataset").reset_index()
    known = paper.melt("dataset", var_name="quantity", value_name="paper")
    order = {data_set: rank for rank, data_set in enumerate(ours.index)}
    both = long.merge(known, how="left").sort_values("dataset", key=lambda column: column.map(order), kind="stable")
    return both.assign(difference=both["ours"] - both["paper"]).reset_index(drop=True)
