"""The average over data sets, which the paper recommends as a benchmark (Sections 6 and N.1).

Scores are put on the logit scale and standardised, data set by data set, before they are averaged: EuroSAT's last
tenths of a percent then count as much as CCT-20's points.
"""

import pandas as pd

from common.errors import UserError, listing
from common.study.scales import logit, standardise
from common.study.tables import IMAGENET, real_world


def complete(table: pd.DataFrame, models: int, data_sets: int) -> pd.DataFrame:
    """The models that have a score on every real-world data set.

    Raises:
        UserError: fewer than `models` models, or fewer than `data_sets` data sets.
    """
    names = real_world(table)
    whole = table[[IMAGENET, *names]].dropna()
    if len(names) < data_sets:
        found = listing(names) or "none"
        raise UserError(f"results: {data_sets} data sets that are no control are needed, found {found}; add some")
    if len(whole) < models:
        lacking = table[[IMAGENET, *names]].isna().sum()
        most = f"{lacking.idxmax()} is missing for {lacking.max()} of {len(table)}" if lacking.any() else "add results"
        raise UserError(
            f"results: {models} models with {IMAGENET} and a score on each of {listing(names)} are needed, found "
            f"{len(whole)}; {most}"
        )
    return whole


def standardised_logits(table: pd.DataFrame) -> pd.DataFrame:
    """Every real-world score as a standardised logit: the table's models × data sets."""
    return standardise(logit(table[real_world(table)]))


def average(table: pd.DataFrame) -> pd.Series:
    """Mean standardised logit of each model over the real-world data sets."""
    return standardised_logits(table).mean(axis=1)


def average_of_others(values: pd.DataFrame, data_set: str) -> pd.Series:
    """The mean of each model over all other data sets, of models × data sets on any scale."""
    return values.drop(columns=data_set).mean(axis=1)
