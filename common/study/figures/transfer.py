"""Figures of scores over ImageNet top-1: Figure 1, its logit variant, CLIP's stars, controls and second metrics."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.study import tables
from common.study.control import controls_first, pairs_of_metrics
from common.study.figures import scatter
from common.study.figures.labels import label
from common.study.scales import Scale
from common.study.tables import IMAGENET, controls, real_world


def transfer(table: pd.DataFrame, above: float, scale: Scale = "raw", columns: Sequence[str] = ()) -> Figure:
    """A panel for each real-world data set, or for each of `columns`."""
    names = list(columns) or real_world(table)
    figure, panels = scatter.grid(names)
    drawn = [scatter.by_imagenet(axes, table, name, above, scale) for axes, name in zip(panels, names, strict=True)]
    below = (table[IMAGENET] <= above).any()
    scatter.finish(figure, table.index, [scatter.HOLLOW] if below else [])
    for axes, points in zip(panels, drawn, strict=True):
        scatter.name_outliers(axes, points)
    return figure


def control(table: pd.DataFrame, above: float) -> Figure:
    """The web-scraped data sets of one's own results, and then the real-world ones."""
    names = controls_first(table)
    figure = transfer(table, above, columns=names)
    for axes, name in zip(figure.axes, names, strict=True):
        axes.set_title("scraped from the web" if name in controls() else "real world", loc="right", y=0, size=6)
    return figure


def metrics(table: pd.DataFrame, above: float) -> Figure:
    """Each data set that has two metrics, by both."""
    return transfer(table, above, columns=[column for pair in pairs_of_metrics(table) for column in pair])


def clip(above: float) -> Figure:
    """CLIP models as stars over the line of the ImageNet models."""
    table, stars = tables.scores(), tables.scores("clip_by_dataset")
    names = real_world(table)
    figure, panels = scatter.grid(names)
    for axes, name in zip(panels, names, strict=True):
        scatter.by_imagenet(axes, table, name, above)
        axes.plot(stars[IMAGENET], stars[name], **scatter.STAR)
    scatter.finish(figure, table.index, [scatter.HOLLOW, Line2D([], [], **scatter.STAR, label="CLIP")])
    for axes, name in zip(panels, names, strict=True):
        both = pd.concat([table, stars])[[IMAGENET, name]]
        rows = stars[[IMAGENET, name]].itertuples()
        places = {model.removeprefix("CLIP-"): (x, y) for model, x, y in rows}
        label(axes, places, both.to_numpy())
    return figure
