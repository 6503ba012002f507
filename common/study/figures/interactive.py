"""One page with the scatter plots to point at: plotly, in a file that needs no network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from common.files import write_text
from common.study.figures.families import FAMILIES, family_of
from common.study.tables import IMAGENET, data_sets, titles
from common.study.trend import band, fit, points

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Does progress on ImageNet transfer?</title></head>
<body style="font-family: sans-serif; max-width: 1250px; margin: auto; padding: 0 1rem">
{parts}
</body></html>
"""
COLUMNS, PANEL, GAP = 3, 240, 100
"""Panels in a row at most, height of a panel and of what is between two, in pixels."""
MARGINS = {"l": 45, "r": 5, "b": 50}

ARRANGE = """
const plot = document.getElementById("{plot_id}"), arrangements = ARRANGEMENTS;
const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";  // a finger scrolls the page
let shown = 0;
const arrange = () => {
  const columns = Math.max(1, Math.min(arrangements.length, Math.floor(plot.clientWidth / 330)));
  if (columns === shown) return;
  shown = columns;
  plot.parentElement.style.height = plot.style.height = `${arrangements[columns - 1].height}px`;
  Plotly.relayout(plot, { dragmode, ...arrangements[columns - 1] });
};
new ResizeObserver(arrange).observe(plot);
"""
"""As many columns as fit, also after the window has changed."""


@dataclass(frozen=True)
class Part:
    title: str
    html: str


def write_page(path: Path, table: pd.DataFrame, parameters: pd.Series, above: float) -> None:
    """Scores over ImageNet top-1 and over parameters; a point tells its model, families are switched in the legend."""
    shown = [f"<h2>{part.title}</h2>\n{part.html}" for part in parts(table, parameters, above)]
    write_text(path, PAGE.format(parts="\n".join(shown)))


def parts(table: pd.DataFrame, parameters: pd.Series, above: float) -> list[Part]:
    """The two figures as HTML, for a page of any kind and width; the first brings plotly."""
    by_imagenet = scatters(table, 100 * table[IMAGENET], "ImageNet top-1 (%)")
    for place, name in enumerate(data_sets(table)):
        add_line(by_imagenet, place, points(table, name, above))
    by_size = scatters(table, parameters.reindex(table.index) / 1e6, "parameters (million)")
    by_size.update_xaxes(type="log", dtick=1)
    titles_of = {
        "by-imagenet": f"Score over ImageNet top-1, lines above {above:.0%} with 95% bootstrap bands",
        "by-size": "Score over the number of parameters",
    }
    names = panel_names(table)
    arrangements = [arrangement(names, columns) for columns in range(1, min(COLUMNS, len(names)) + 1)]
    script = ARRANGE.replace("ARRANGEMENTS", json.dumps(arrangements))
    return [
        Part(
            titles_of[name],
            figure.to_html(
                full_html=False,
                include_plotlyjs=name == "by-imagenet",
                div_id=name,
                config={"responsive": True, "displayModeBar": False},
                post_script=script,
            ),
        )
        for name, figure in (("by-imagenet", by_imagenet), ("by-size", by_size))
    ]


def panel_names(table: pd.DataFrame) -> list[str]:
    return [titles().get(name, name) for name in data_sets(table)]


def panels(names: Sequence[str], columns: int) -> go.Figure:
    """An empty panel for each name, row by row, with room for the legend above."""
    rows = -(-len(names) // columns)
    inside = PANEL * rows + GAP * (rows - 1)
    places = [[{} if row * columns + column < len(names) else None for column in range(columns)] for row in range(rows)]
    between = {"horizontal_spacing": 0.2 / columns, "vertical_spacing": GAP / inside}
    figure = make_subplots(rows, columns, specs=places, subplot_titles=names, **between)
    margins = {**MARGINS, "t": 110 if columns == 1 else 70}
    return figure.update_layout(height=inside + margins["t"] + margins["b"], margin=margins)


def where(place: int) -> dict[str, int]:
    """The panel at a place, as plotly numbers rows and columns."""
    return {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}


def arrangement(names: Sequence[str], columns: int) -> dict[str, Any]:
    """What `Plotly.relayout` changes for so many columns: panels keep their axes, which are numbered row by row."""
    layout = panels(names, columns).layout
    changes: dict[str, Any] = {"height": layout.height, "margin.t": layout.margin.t}
    for place, title in enumerate(layout.annotations):
        changes |= {f"annotations[{place}].{side}": title[side] for side in ("x", "y")}
        for axis in (f"xaxis{place + 1 if place else ''}", f"yaxis{place + 1 if place else ''}"):
            changes[f"{axis}.domain"] = layout[axis].domain
    return changes


def scatters(table: pd.DataFrame, x: pd.Series, x_title: str) -> go.Figure:
    """A panel for each data set, points coloured by family."""
    figure = panels(panel_names(table), COLUMNS)
    families = {model: family_of(model) for model in table.index}
    for place, name in enumerate(data_sets(table)):
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
                    **where(place),
                )
    figure.update_xaxes(title_text=x_title)
    above = {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"}
    return figure.update_layout(template="plotly_white", legend=above)


def add_line(figure: go.Figure, place: int, known: pd.DataFrame) -> None:
    """The line through ImageNet top-1 and score, fractions (n, 2), and its band, in the panel at a place."""
    x, y = known.to_numpy().T
    line, at = fit(x, y), np.linspace(x.min(), x.max(), 40)
    low, high = band(x, y, at)
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
    figure.add_trace(around, **where(place)).add_trace(along, **where(place))
