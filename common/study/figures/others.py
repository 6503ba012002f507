"""Figures that are not over ImageNet top-1: parameters, augmentation, distance to ImageNet."""

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure

from common.study.augmentation import DATA_SETS, ablation
from common.study.distance import distance_and_trend, distances
from common.study.figures import scatter
from common.study.figures.labels import label
from common.study.parameters import points_by_size
from common.study.tables import metric_of, real_world, titles
from common.study.trend import fit

ORIGINS = {"real world": "#D55E00", "web": "#0072B2"}
HOW = {
    "base": ("#777777", "o", "crop and flip"),
    "augmix": ("#009E73", "s", "AugMix"),
    "randaugment": ("#D55E00", "^", "RandAugment"),
}


def parameters(table: pd.DataFrame, counts: pd.Series) -> Figure:
    """Scores over the number of parameters, on a logarithmic axis, with a line through all models."""
    names = real_world(table)
    figure, panels = scatter.grid(names)
    drawn = []
    for axes, name in zip(panels, names, strict=True):
        known = points_by_size(table, name, counts)
        points = pd.DataFrame({"x": known["size"] - 6, "y": known[name]})
        scatter.draw_points(axes, points, filled=points["x"].notna())
        scatter.draw_line(axes, points)
        scatter.name_axes(axes, name, "raw")
        axes.set_xlabel("parameters (million)")
        axes.set_xticks(np.log10([1, 3, 10, 30, 100]), ["1", "3", "10", "30", "100"])
        line = fit(points["x"].to_numpy(), points["y"].to_numpy())
        drawn.append(points.assign(residual=points["y"] - line.intercept - line.slope * points["x"]))
    scatter.finish(figure, table.index)
    for axes, points in zip(panels, drawn, strict=True):
        scatter.name_outliers(axes, points)
    return figure


def augmentation() -> Figure:
    """Each pre-trained model with three augmentations in fine-tuning, on both data sets."""
    table = ablation()
    figure, panels = pyplot.subplots(1, len(DATA_SETS), figsize=(7.0, 2.5), sharey=True)
    for axes, data_set in zip(panels, DATA_SETS, strict=True):
        rows = table[table["dataset"] == data_set].reset_index(drop=True)
        places = np.arange(len(rows))[::-1]
        axes.hlines(places, rows[list(HOW)].min(axis=1), rows[list(HOW)].max(axis=1), color="#bbbbbb", linewidth=1)
        for how, (colour, marker, title) in HOW.items():
            axes.plot(rows[how], places, marker, color=colour, label=title, markersize=5)
        axes.set_yticks(places, [_pretrained(row) for row in rows.itertuples()])
        axes.set_title(titles()[data_set])
        axes.set_xlabel(scatter.METRICS[metric_of()[data_set]])
        scatter.place_ticks(axes.xaxis, metric_of()[data_set], "raw")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(HOW), title="augmentation in fine-tuning")
    return figure


def distance() -> Figure:
    """Fréchet distance of all data sets, and the trend's correlation over it for the six."""
    table = distances()[::-1]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.0, 3.4), width_ratios=[3, 2])
    for origin, colour in ORIGINS.items():
        rows = np.flatnonzero(table["origin"] == origin)
        left.barh(rows, table["fid_to_imagenet"].iloc[rows], color=colour, height=0.65, label=origin)
    left.set_yticks(range(len(table)), [titles()[name] for name in table.index])
    left.margins(y=0.01)
    left.grid(visible=False, axis="y")
    left.set_xlabel("Fréchet inception distance to ImageNet")
    left.legend(loc="lower right")
    six = distance_and_trend()
    right.plot(six["fid_to_imagenet"], six["correlation"], "o", color=ORIGINS["real world"])
    right.set_xlabel("Fréchet inception distance to ImageNet")
    right.set_ylabel("correlation with ImageNet top-1 (above 70%)")
    right.margins(0.15)
    scatter.settle(figure)
    places = {titles()[name]: (row.fid_to_imagenet, row.correlation) for name, row in six.iterrows()}
    label(right, places, six[["fid_to_imagenet", "correlation"]].to_numpy())
    return figure


def _pretrained(row) -> str:
    return row.model if row.pretraining == "standard" else f"{row.model}, {row.pretraining}"
