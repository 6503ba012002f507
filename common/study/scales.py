"""The two scales of the study: accuracies as they are, and their logits, standardised where they are averaged.

Near 1 a tenth of a percent is worth more than in the middle; the logit says so. Standardising gives every data set the
same weight in an average (Appendix N.1).
"""

from typing import Literal

import numpy as np
import pandas as pd

from common.errors import UserError, listing

Scale = Literal["raw", "logit"]


def logit(table: pd.DataFrame) -> pd.DataFrame:
    """log(p / (1 - p)) of every cell; NaN stays.

    Raises:
        UserError: a score is not inside (0, 1); names model and data set.
    """
    outside = (table <= 0) | (table >= 1)
    if outside.to_numpy().any():
        model, column = outside.stack().idxmax()
        raise UserError(
            f"{model}, {column}: a score of {table.loc[model, column]:g} has no logit; "
            "give a fraction inside (0, 1), or use --scale raw where there is one"
        )
    return np.log(table / (1 - table))


def standardise(table: pd.DataFrame, reference: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every column to mean 0 and deviation 1, over its own models or those of `reference`."""
    reference = differing(table if reference is None else reference)
    return (table - reference.mean()) / reference.std(ddof=0)


def differing(table: pd.DataFrame) -> pd.DataFrame:
    """The table, in which not all models have the same value of a column: there would be no order and no deviation.

    Raises:
        UserError: in one they have.
    """
    if same := [column for column in table if table[column].nunique() == 1]:
        raise UserError(f"results: all models have the same {listing(same)}; leave it out, or add models that differ")
    return table


def on(scale: Scale, table: pd.DataFrame) -> pd.DataFrame:
    """The table on a scale."""
    return logit(table) if scale == "logit" else table
