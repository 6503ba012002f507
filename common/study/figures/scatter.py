"""A panel a data set: scores over ImageNet top-1 or over parameters, a line with its bootstrap band, named outliers."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from common.study.figures.families import FAMILIES, family_of
from common.study.figures.labels import label
from common.study.scales import Scale, on
from common.study.tables import IMAGENET, metric_of, titles
from common.study.trend import Line, band, fit, points

METRICS = {
    "accuracy": "accuracy (%)",
    "quadratic_weighted_kappa": "quadratic weighted kappa",
    "macro_f1": "macro F1",
    "roc_auc": "area under ROC",
}
NAMED, FEW = 5, 8
"""Models furthest from the line that are named in a panel, and how many are few enough to be all named."""
STAR = {"marker": "*", "color": "#7B3294", "markersize": 9, "markeredgewidth": 0.4, "linestyle": "none", "zorder": 4}

HOLLOW = Line2D([], [], linestyle="none", marker="o", color="#777777", markerfacecolor="white", label="not in the line")


def grid(names: Sequence[str], columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with one panel for each name, two columns of text wide; `finish` has to be called on it."""
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(7.0, 0.45 + 2.2 * rows), squeeze=False)
    panels = list(axes.flat)
    for spare in panels[len(names) :]:
        spare.remove()
    return figure, panels[: len(names)]


def by_imagenet(axes: Axes, table: pd.DataFrame, column: str, above: float, scale: Scale = "raw") -> pd.DataFrame:
    """Scores over ImageNet top-1, with the line of the models above the threshold; those below are hollow.

    Returns:
        The points as drawn, index model, columns `x`, `y`, and `residual` from the line.
    """
    known = on(scale, table[[IMAGENET, column]].dropna()).set_axis(["x", "y"], axis=1)
    beyond = table.loc[known.index, IMAGENET] > above
    draw_points(axes, known, filled=beyond)
    line = draw_line(axes, points(table, column, above, scale).set_axis(["x", "y"], axis=1))
    name_axes(axes, column, scale)
    axes.set_xlabel("ImageNet top-1 (%)")
    place_ticks(axes.xaxis, "accuracy", scale)
    return known.assign(residual=known["y"] - (line.intercept + line.slope * known["x"]))


def draw_points(axes: Axes, points: pd.DataFrame, filled: pd.Series) -> None:
    for model, x, y in points[["x", "y"]].itertuples():
        family = family_of(model)
        inside = family.colour if filled[model] else "white"
        axes.plot(x, y, family.marker, color=family.colour, markerfacecolor=inside, markeredgewidth=0.9, zorder=3)


def draw_line(axes: Axes, points: pd.DataFrame) -> Line:
    """The least-squares line over the points' own range, and its 95% bootstrap band. Few points make it so wide that it
    goes beyond all scores; what there is to see is where the points are, which have to be drawn."""
    axes.set_ylim(axes.get_ylim())
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    line = fit(x, y)
    at = np.linspace(x.min(), x.max(), 60)
    axes.fill_between(at, *band(x, y, at), color="#999999", alpha=0.25, linewidth=0)
    axes.plot(at, line.intercept + line.slope * at, color="#333333")
    return line


def name_axes(axes: Axes, column: str, scale: Scale) -> None:
    data_set, _, metric = column.partition(":")
    metric = metric or metric_of().get(data_set, "score")
    axes.set_title(titles().get(data_set, data_set))
    axes.set_ylabel(METRICS.get(metric, metric.replace("_", " ")))
    place_ticks(axes.yaxis, metric, scale)


def place_ticks(axis: Axis, metric: str, scale: Scale) -> None:
    """Ticks are round scores, in percent where they are accuracies, on either scale. The limits have to be set."""
    low, high = axis.get_view_interval()
    factor = 100 if metric == "accuracy" else 1
    ends = (1 / (1 + np.exp(-low)), 1 / (1 + np.exp(-high))) if scale == "logit" else (low, high)
    shown = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(factor * ends[0], factor * ends[1])
    shown = shown[(shown > factor * ends[0]) & (shown < factor * ends[1]) & (shown <= factor)]
    scores = shown / factor
    digits = max(len(f"{score:.6g}".partition(".")[2]) for score in shown)
    places = np.log(scores / (1 - scores)) if scale == "logit" else scores
    axis.set_ticks(places, [f"{score:.{digits}f}" for score in shown])


def name_outliers(axes: Axes, points: pd.DataFrame) -> None:
    """Names of the models furthest from the line and of the best; of all where they are few."""
    furthest = points["residual"].abs().sort_values(ascending=False).index
    chosen = dict.fromkeys([points["y"].idxmax(), *furthest[: NAMED if len(points) > FEW else FEW]])
    label(axes, {model: tuple(points.loc[model, ["x", "y"]]) for model in chosen}, points[["x", "y"]].to_numpy())


def finish(figure: Figure, models: Iterable[str], extra: Sequence[Line2D] = ()) -> None:
    """The legend of the families that occur, below the panels; then the layout, so that names can be placed."""
    present = {family_of(model).name for model in models}
    handles = [
        Line2D([], [], linestyle="none", marker=family.marker, color=family.colour, label=family.name)
        for family in FAMILIES
        if family.name in present
    ]
    figure.legend(handles=[*handles, *extra], loc="outside lower center", ncols=len(handles) + len(extra))
    settle(figure)


def settle(figure: Figure) -> None:
    """Lay out the panels once and for all: names are placed in pixels, and must not be moved by a second layout."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
