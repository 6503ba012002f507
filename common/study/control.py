"""Controls from one's own results: a web-scraped data set beside the real-world ones, and one data set by two metrics.

The paper shows both (CIFAR-10 in Appendix E, melanoma by accuracy and by area under ROC in Appendix H) as pictures
without a table, so that there is nothing to recompute: they need results of one's own.
"""

import pandas as pd

from common.errors import UserError
from common.study.scales import Scale
from common.study.tables import BESIDES, controls, data_sets
from common.study.trend import fit, points, trend, trend_intervals


def beside_control(table: pd.DataFrame, above: float, scale: Scale = "raw") -> pd.DataFrame:
    """Correlation and slope of every data set, web-scraped ones first: index data set.

    Returns:
        Columns `origin` ("web" or "real world"), `models`, `correlation`, its interval `low` and `high`, `slope`.

    Raises:
        UserError: no data set of the table is one of the paper's web-scraped ones.
    """
    names = controls_first(table)
    lines, (low, high) = trend(table, above, scale), trend_intervals(table, above, scale)
    lines.insert(0, "origin", ["web" if name in controls() else "real world" for name in lines.index])
    lines.insert(1, "models", [len(points(table, name, above)) for name in lines.index])
    lines = lines.assign(low=low["correlation"], high=high["correlation"])
    order = ["origin", "models", "correlation", "low", "high", "slope"]
    return lines.loc[names, order]


def controls_first(table: pd.DataFrame) -> list[str]:
    """The data sets of a table of scores, web-scraped ones first.

    Raises:
        UserError: none is.
    """
    names = sorted(data_sets(table), key=lambda name: name not in controls())
    if not names or names[0] not in controls():
        raise UserError("results: no web-scraped data set to compare with; add rows of cifar10")
    return names


def pairs_of_metrics(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Every data set that a table of scores has by a second metric, as its two columns.

    Raises:
        UserError: there is none.
    """
    pairs = [(column.partition(":")[0], column) for column in table if ":" in column and column not in BESIDES]
    pairs = [pair for pair in pairs if pair[0] in table]
    if not pairs:
        raise UserError("results: no data set by two metrics; add rows of melanoma with the metric accuracy")
    return pairs


def by_metric(table: pd.DataFrame, above: float) -> pd.DataFrame:
    """The trend of a data set by each of its metrics, and how the two rank the models: index column of the table.

    Returns:
        Columns `correlation`, `slope`, and `rho`, Spearman's correlation of the two metrics over all models.
    """
    rows = {}
    for pair in pairs_of_metrics(table):
        both = table[list(pair)].dropna()
        rho = both[pair[0]].corr(both[pair[1]], method="spearman")
        for column in pair:
            line = fit(*points(table, column, above).to_numpy().T)
            rows[column] = {"correlation": float(line.correlation), "slope": float(line.slope), "rho": rho}
    return pd.DataFrame.from_dict(rows, orient="index")
