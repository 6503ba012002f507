"""The curve of a study: score over one field, with 95% intervals, beside the default."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def curve(points: pd.DataFrame, name: str, metric: str, by: Sequence[str], default: pd.Series, log: bool) -> Figure:
    """`points`: rows in ascending order of `name`, with `score`, `low` and `high` (NaN: no interval); a line for each
    value of the column in `by`."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.axhline(default["score"], color="#777777", linestyle="--", linewidth=1, label="default")
    if pd.notna(default["low"]):
        axes.axhspan(default["low"], default["high"], color="#777777", alpha=0.12, linewidth=0)
    lines = points.groupby(by[0], sort=False) if by else [("tuned", points)]
    for number, (title, line) in enumerate(lines):
        below, above = (line["score"] - line["low"]).fillna(0), (line["high"] - line["score"]).fillna(0)
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(
            line[name],
            line["score"],
            (below.clip(0), above.clip(0)),
            fmt="o-",
            color=colour,
            label=title,
            capsize=2,
            ms=4,
        )
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(name.replace("_", " "))
    axes.set_ylabel(metric.replace("_", " "))
    axes.legend(fontsize="small", frameon=False)
    return figure
