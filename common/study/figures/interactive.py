"""One page with the scatter plots to point at: plotly, in a file that needs no network."""

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from common.files import write_text
from common.study.figures.families import FAMILIES, family_of
from common.study.tables import IMAGENET, data_sets, titles
from common.study.trend import band, fit, points

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Does progress on ImageNet transfer?</title></head>
<body style="font-family: sans-serif; max-width: 1250px; margin: auto">
{parts}
</body></html>
"""


def write_page(path: Path, table: pd.DataFrame, parameters: pd.Series, above: float) -> None:
    """Scores over ImageNet top-1 and over parameters; a point tells its model, families are switched in the legend."""
    write_text(path, PAGE.format(parts="\n".join(parts(table, parameters, above))))


def parts(table: pd.DataFrame, parameters: pd.Series, above: float) -> list[str]:
    """The two figures as HTML, for a page of any kind; the first brings plotly."""
    by_imagenet = scatters(table, 100 * table[IMAGENET], "ImageNet top-1 (%)")
    for place, name in enumerate(data_sets(table)):
        add_line(by_imagenet, place, points(table, name, above))
    by_imagenet.update_layout(title=f"Score over ImageNet top-1, lines above {above:.0%} with 95% bootstrap bands")
    by_size = scatters(table, parameters.reindex(table.index) / 1e6, "parameters (million)")
    by_size.update_xaxes(type="log").update_layout(title="Score over the number of parameters")
    figures = {"by-imagenet": by_imagenet, "by-size": by_size}
    return [
        figure.to_html(full_html=False, include_plotlyjs=name == "by-imagenet", div_id=name)
        for name, figure in figures.items()
    ]


def scatters(table: pd.DataFrame, x: pd.Series, x_title: str) -> go.Figure:
    """A panel for each data set, points coloured by family."""
    names = data_sets(table)
    figure = make_subplots(-(-len(names) // 3), 3, subplot_titles=[titles().get(name, name) for name in names])
    families = {model: family_of(model) for model in table.index}
    for place, name in enumerate(names):
        for family in FAMILIES:
            of_family = [model for model in table.index if families[model] == family]
            if of_family:
                figure.add_trace(
                    go.Scatter(
                        x=x[of_family],
                        y=table.loc[of_family, name],
                        text=of_family,
                        mode="markers",
                        marker={"color": family.colour, "symbol": family.plotly_marker, "size": 9},
                        name=family.name,
                        legendgroup=family.name,
                        showlegend=place == 0,
                        hovertemplate="%{text}<br>%{x:.4g}: %{y:.4f}",
                    ),
                    row=place // 3 + 1,
                    col=place % 3 + 1,
                )
    figure.update_xaxes(title_text=x_title)
    return figure.update_layout(template="plotly_white", height=340 * -(-len(names) // 3) + 120, width=1200)


def add_line(figure: go.Figure, place: int, known: pd.DataFrame) -> None:
    """The line through ImageNet top-1 and score, fractions (n, 2), and its band, in the panel at a place."""
    x, y = known.to_numpy().T
    line, at = fit(x, y), np.linspace(x.min(), x.max(), 40)
    low, high = band(x, y, at)
    where = {"row": place // 3 + 1, "col": place % 3 + 1}
    around = go.Scatter(
        x=100 * np.concatenate([at, at[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor="rgba(120,120,120,0.2)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    along = go.Scatter(
        x=100 * at,
        y=line.intercept + line.slope * at,
        mode="lines",
        line={"color": "#333333"},
        name=f"r = {line.correlation:.2f}, slope {line.slope:.2f}",
        hovertemplate="%{fullData.name}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(around, **where).add_trace(along, **where)
