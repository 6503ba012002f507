"""The paper's tables, as CSV files of this project, and the names and kinds of its data sets."""

from functools import cache
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).with_name("tables")
IMAGENET = "imagenet_top1"
BESIDES = (IMAGENET, "parameters")
"""Columns of a table of scores that are no data set."""


def read(name: str) -> pd.DataFrame:
    """One of the paper's tables with its first column as index, numbers as printed (accuracies in percent)."""
    return pd.read_csv(FOLDER / f"{name}.csv", index_col=0)


def half_units(name: str) -> pd.DataFrame:
    """Half a unit of the last printed digit of every cell of a table of numbers: what rounding can have hidden."""
    printed = pd.read_csv(FOLDER / f"{name}.csv", index_col=0, dtype=str)
    return printed.map(lambda cell: 0.5 * 10.0 ** -len(cell.partition(".")[2]))


def percent_columns(printed: pd.DataFrame) -> list[str]:
    """The columns that are printed in percent: what exceeds 1 is no fraction."""
    return [column for column in printed if printed[column].max() > 1]


def scores(name: str = "models_by_dataset") -> pd.DataFrame:
    """A table of scores, `models_by_dataset` (19 models) or `clip_by_dataset` (6): float64 fractions."""
    printed = read(name)
    return printed.assign(**{column: printed[column] / 100 for column in percent_columns(printed)})


def score_half_units(name: str = "models_by_dataset") -> pd.DataFrame:
    """What rounding can have hidden in every cell of `scores(name)`, in the same units."""
    halves = half_units(name)
    return halves.assign(**{column: halves[column] / 100 for column in percent_columns(read(name))})


@cache
def titles() -> dict[str, str]:
    """Data set → how figures and tables call it."""
    return read("fid")["title"].to_dict() | read("datasets")["title"].to_dict()


@cache
def metric_of() -> dict[str, str]:
    """Data set → the metric that the paper scores it by, in this project's names."""
    return read("datasets")["metric"].to_dict() | dict.fromkeys(controls(), "accuracy")


@cache
def controls() -> tuple[str, ...]:
    """The data sets scraped from the web, which the paper sets its own against."""
    origin = read("fid")["origin"]
    return tuple(origin.index[origin == "web"])


def data_sets(table: pd.DataFrame) -> list[str]:
    """Every data set of a table of scores by its own metric, controls too."""
    return [column for column in table if column not in BESIDES and ":" not in column]


def real_world(table: pd.DataFrame) -> list[str]:
    """The data sets of a table of scores that averages are over: all but the web-scraped controls."""
    return [column for column in data_sets(table) if column not in controls()]
