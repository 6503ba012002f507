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
from common.study.parameters import counted
from common.study.tables import IMAGENET, data_sets, metric_of
from common.tables import delimiter_of, read_csv, read_header, read_rows

REQUIRED = ("dataset", "backbone", "metric", "recipe", "seed", "score")
TEXT = ("dataset", "backbone", "metric", "recipe", "environment")
OF_COLLECT = ("run", "scored_on", "data", "deviations", "mark")
"""Further columns of text that `common.study.from_runs` writes."""
NUMBERS = {
    **dict.fromkeys(("score", "low", "high"), (-1, 1)),  # kappa begins at -1
    IMAGENET: (0, 1),
    "parameters": (1, 1e12),
    **dict.fromkeys(("scored", "rows"), (0, 1e12)),
}
"""Column → the least and the greatest of it; `scored` and `rows` are `collect`'s."""
NEVER_BLANK = (*REQUIRED, "scored", "rows")
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
    return of_backbone.join(scores).rename_axis("model")


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
    for column in rows.columns.intersection(list(NUMBERS)):
        rows[column] = _numbers(rows[column], path, *NUMBERS[column])
    for column in rows.columns.intersection(list(NEVER_BLANK)):
        if (blank := rows.index[rows[column].isna() | (rows[column] == "")]).size:
            raise UserError(f"{path}: '{column}' is blank in line {listing(blank + 2)}; fill it in")
    if (crossed := rows.index[rows["low"] > rows["high"]]).size:
        raise UserError(f"{path}: 'low' is above 'high' in line {listing(crossed + 2)}; swap them")
    repeated = rows.duplicated(["dataset", "backbone", "metric", "recipe", "seed"])
    if repeated.any():
        where = listing(rows.index[repeated] + 2)
        raise UserError(f"{path}: line {where} repeats a data set, backbone, metric, recipe and seed; keep one")
    for column, of_zoo in ((IMAGENET, _imagenet_of_zoo), ("parameters", _parameters_of_zoo)):
        rows[column] = _one_a_backbone(rows, column, path).fillna(rows["backbone"].map(of_zoo))
    return rows.assign(column=_columns(rows, path))


def _one_a_backbone(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """The column, blanks filled in from other rows of the backbone; these must agree."""
    of_backbone = rows.groupby("backbone")[column]
    several = of_backbone.nunique() > 1
    if several.any():
        told = listing(rows.loc[rows["backbone"] == several.idxmax(), column].dropna().unique())
        raise UserError(f"{path}: '{column}' of {several.idxmax()} must be one number, but it has {told}; keep one")
    return of_backbone.transform("first")


def _read_wide(path: Path) -> pd.DataFrame:
    table = read_csv(path, ["model", IMAGENET], "model", LAYOUT, names=str.isprintable).set_index("model")
    if not data_sets(table):
        raise UserError(f"{path}: column of a data set is missing; it wants model, {IMAGENET} and a column a data set")
    for column in table.columns.drop("parameters", errors="ignore"):
        table[column] = fractions(table[column], path, least=0 if column == IMAGENET else -1)
    if "parameters" not in table:
        return table.assign(parameters=counted().reindex(table.index))
    return table.assign(parameters=_numbers(table["parameters"], path, *NUMBERS["parameters"]))


def fractions(column: pd.Series, path: Path, least: float) -> pd.Series:
    """A column in fractions or, where a value exceeds 1, in percent, as fractions; blanks stay.

    Raises:
        UserError: a value is neither, or both kinds are among them.
    """
    numbers = _numbers(column, path, least, 100)
    percent = numbers > 1
    if not percent.any():
        return numbers
    if (mixed := ~percent & (numbers.abs() > 0)).any():
        odd, usual = column[mixed.idxmax()], column[percent.idxmax()]
        raise UserError(f"{path}: '{column.name}' has {odd} and {usual}; give all in percent or all as fractions")
    return numbers / 100


def _numbers(column: pd.Series, path: Path, least: float, greatest: float) -> pd.Series:
    """A column as float64; NaN where it is blank. Raises UserError for words and for what is out of range."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna() | (numbers < least) | (numbers > greatest)
    if wrong.any():
        at = wrong.idxmax()
        where = f"line {at + 2}" if isinstance(at, int) else at
        told = f"a number from {least:g} to {greatest:g}, but {where} has {str(column[at])!r}"
        raise UserError(f"{path}: '{column.name}' must be {told}")
    return numbers.astype(float)


def _columns(rows: pd.DataFrame, path: Path) -> pd.Series:
    metrics = rows.groupby("dataset")["metric"].unique()
    for name, found in metrics.items():
        if (metric := metric_of().get(name, found[0])) not in found:
            raise UserError(f"{path}: {name} wants the metric {metric}, found {listing(found)}; add rows of it")
    own = rows["dataset"].map({name: metric_of().get(name, found[0]) for name, found in metrics.items()})
    return rows["dataset"].where(rows["metric"] == own, rows["dataset"] + ":" + rows["metric"])


def _imagenet_of_zoo(backbone: str) -> float:
    model = find(backbone)
    return model.published_top1 / 100 if model else float("nan")


def _parameters_of_zoo(backbone: str) -> float:
    model = find(backbone)
    return float(model.parameters) if model else float("nan")
