"""Is it the number of parameters? Scores against model size (Appendix L)."""

import numpy as np
import pandas as pd

from common.errors import UserError
from common.models.zoo import zoo
from common.study import tables
from common.study.bootstrap import interval, resamples
from common.study.tables import IMAGENET, data_sets
from common.study.trend import FEWEST, fit


def counted() -> pd.Series:
    """Parameters of the paper's models as counted: index the paper's name. ViT-B/16 has 86.6M, printed as 304M."""
    return pd.Series({model.paper_name: float(model.parameters) for model in zoo().values()}, name="parameters")


def printed() -> pd.Series:
    """Parameters of the 19 models as the paper prints them."""
    return tables.read("models")["parameters"].str.removesuffix("M").astype(float) * 1e6


def points_by_size(table: pd.DataFrame, data_set: str, parameters: pd.Series) -> pd.DataFrame:
    """`size` (log10 of the parameters), score and ImageNet top-1 of the models whose three are known.

    Raises:
        UserError: fewer than 3 are.
    """
    known = table[[IMAGENET, data_set]].assign(size=np.log10(parameters.reindex(table.index))).dropna()
    if len(known) < FEWEST:
        raise UserError(
            f"{data_set}: a line needs {FEWEST} models with a score, {IMAGENET} and 'parameters', found {len(known)}; "
            "fill them in or add results"
        )
    return known


def by_parameters(table: pd.DataFrame, parameters: pd.Series) -> pd.DataFrame:
    """Correlation of each data set's score with log10 of the parameters, and with ImageNet top-1, over the same models.

    Returns:
        Index data set; columns `models`, `parameters`, its 95% bootstrap interval `low` and `high`, `imagenet`.

    Raises:
        UserError: fewer than 3 models of a data set have a known number of parameters.
    """
    rows = {}
    for name in data_sets(table):
        known = points_by_size(table, name, parameters)
        size, score = known["size"].to_numpy(), known[name].to_numpy()
        drawn = resamples(len(known))
        low, high = interval(fit(size[drawn], score[drawn]).correlation)
        by_imagenet = fit(known[IMAGENET].to_numpy(), score)
        rows[name] = (len(known), fit(size, score).correlation, low, high, by_imagenet.correlation)
    columns = ["models", "parameters", "low", "high", "imagenet"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(dict.fromkeys(columns[1:], float))
