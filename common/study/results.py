"""One's own results: a CSV of one row a trained network, or a table of the paper's shape.

The long form, which the leaderboard reads, has a row for each data set, backbone, recipe, seed and metric:

    dataset,backbone,metric,recipe,seed,score,low,high,environment,imagenet_top1,parameters

`score` and the ends of its 95% interval are fractions; `low` and `high`, `environment` and, for backbones of the zoo,
`imagenet_top1` and `parameters` may be left blank or out. The wide form has a row a model, with `model,imagenet_top1`
and a column a data set, in fractions or, as the paper prints them, in percent.
"""

from pathlib import Path

import pandas as pd

from common.errors import UserError, listing
from common.models.zoo import find
from common.study.tables import IMAGENET, metric_of
from common.tables import delimiter_of, read_csv, read_header, read_rows

REQUIRED = ("dataset", "backbone", "metric", "recipe", "seed", "score")
TEXT = ("dataset", "backbone", "metric", "recipe", "environment")
OF_COLLECT = ("run", "scored_on", "data", "deviations", "mark")
"""Further columns of text that `common.study.from_runs` writes."""
OPTIONAL_NUMBERS = ("low", "high", IMAGENET, "parameters")
LAYOUT = f"rows with the columns {', '.join(REQUIRED)}, or a table with model, {IMAGENET} and a column a data set"


def read_scores(path: Path) -> pd.DataFrame:
    """A table of scores from either form: fractions, index model or backbone.

    Of several seeds it has the mean, of several recipes the best, as the paper has of its grid. A data set's own metric
    (the paper's, or the first that the file has) is in the column of its name; others are in `<data set>:<metric>`.

    Raises:
        UserError: the file is missing or has neither form; a score is no number or out of range.
    """
    if "backbone" not in read_header(path, LAYOUT):
        return _read_wide(path)
    rows = read_rows_of_runs(path)
    seeds = rows.groupby(["column", "backbone", "recipe"], sort=False)["score"].mean()
    scores = seeds.groupby(["column", "backbone"], sort=False).max().unstack("column")
    of_backbone = rows.groupby("backbone")[[IMAGENET, "parameters"]].first()
    return of_backbone.join(scores).rename_axis("model").dropna(axis=1, how="all")


def read_rows_of_runs(path: Path) -> pd.DataFrame:
    """The long form, checked: every column that it may have, and `column`, the name that `read_scores` gives a metric.

    Raises:
        UserError: as `read_scores`.
    """
    columns = read_header(path, LAYOUT)
    if missing := [column for column in REQUIRED if column not in columns]:
        hint = delimiter_of(columns) or f"it wants {', '.join(REQUIRED)}"
        raise UserError(f"{path}: column {listing(missing)} is missing; {hint}")
    rows = read_rows(path, columns, [column for column in (*TEXT, *OF_COLLECT) if column in columns])
    if rows.empty:
        raise UserError(f"{path} has a header and no rows; add results")
    rows = rows.assign(**{column: float("nan") for column in OPTIONAL_NUMBERS if column not in rows})
    for column in ("score", "low", "high"):  # kappa begins at -1
        rows[column] = _numbers(rows[column], path, -1, 1)
    rows[IMAGENET] = _numbers(rows[IMAGENET], path, 0, 1)
    rows["parameters"] = _numbers(rows["parameters"], path, 0, None)
    if rows["score"].isna().any():
        raise UserError(f"{path}: 'score' is blank in line {listing(rows.index[rows['score'].isna()] + 2)}")
    repeated = rows.duplicated(["dataset", "backbone", "metric", "recipe", "seed"])
    if repeated.any():
        where = listing(rows.index[repeated] + 2)
        raise UserError(f"{path}: line {where} repeats a data set, backbone, metric, recipe and seed; keep one")
    rows[IMAGENET] = rows[IMAGENET].fillna(rows["backbone"].map(_imagenet_of_zoo))
    rows["parameters"] = rows["parameters"].fillna(rows["backbone"].map(_parameters_of_zoo))
    return rows.assign(column=_columns(rows))


def _read_wide(path: Path) -> pd.DataFrame:
    table = read_csv(path, ["model", IMAGENET], "model", LAYOUT, names=str.isprintable).set_index("model")
    for column in table:
        numbers = _numbers(table[column], path, 0, None)
        if column != "parameters" and numbers.max() > 1:
            numbers = numbers / 100  # printed in percent
            _numbers(numbers, path, 0, 1)
        table[column] = numbers
    return table


def _numbers(column: pd.Series, path: Path, least: float, greatest: float | None) -> pd.Series:
    """A column as float64; NaN where it is blank. Raises UserError for words and for what is out of range."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna() | (numbers < least)
    if greatest is not None:
        wrong |= numbers > greatest
    if wrong.any():
        at = wrong.idxmax()
        where = f"line {at + 2}" if isinstance(at, int) else at
        between = f"from {least} to {greatest}" if greatest is not None else f"of at least {least}"
        raise UserError(f"{path}: '{column.name}' must be a number {between}, but {where} has {str(column[at])!r}")
    return numbers.astype(float)


def _columns(rows: pd.DataFrame) -> pd.Series:
    first = rows.groupby("dataset")["metric"].first().to_dict()
    own = rows["dataset"].map(first | {name: metric for name, metric in metric_of().items() if name in first})
    return rows["dataset"].where(rows["metric"] == own, rows["dataset"] + ":" + rows["metric"])


def _imagenet_of_zoo(backbone: str) -> float:
    model = find(backbone)
    return model.published_top1 / 100 if model else float("nan")


def _parameters_of_zoo(backbone: str) -> float:
    model = find(backbone)
    return float(model.parameters) if model else float("nan")
