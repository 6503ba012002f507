"""What the tables know beside the image: age, sex and site of the body, and the diagnosis behind the target."""

import numpy as np
import pandas as pd

from competitions.melanoma import DIAGNOSES

SEXES = ("male", "female")
SITES = (
    *("torso", "lower extremity", "upper extremity", "head/neck", "palms/soles", "oral/genital"),
    *("anterior torso", "lateral torso", "posterior torso"),
)
"""Those of 2020, then those that the earlier years have besides."""
OLDEST = 90
"""Years; ages are given in steps of five up to this."""

MERGED = {
    "NV": "nevus",
    "MEL": "melanoma",
    **dict.fromkeys(("seborrheic keratosis", "lichenoid keratosis", "solar lentigo", "lentigo NOS"), "BKL"),
    **dict.fromkeys(("cafe-au-lait macule", "atypical melanocytic proliferation"), "unknown"),
}
"""Names of 2020 and of the earlier years that mean one of the nine."""


def read_metadata(table: pd.DataFrame) -> np.ndarray:
    """float32 (n, 15): age / 90 and whether it is unknown; sex, then site, one-hot with 'unknown' last.

    Works for training, test and external tables alike; a column that a table lacks is unknown in every row, and so is
    a value that neither 2020 nor the earlier years have.
    """
    years = pd.to_numeric(column(table, "age_approx"), errors="coerce")
    age = years.where(years.between(0, OLDEST)).to_numpy(dtype=np.float32)[:, None] / OLDEST
    sex, site = column(table, "sex"), column(table, "anatom_site_general_challenge")
    return np.hstack((np.nan_to_num(age), np.isnan(age), one_hot(sex, SEXES), one_hot(site, SITES)), dtype=np.float32)


def read_auxiliary(train: pd.DataFrame) -> np.ndarray:
    """int64 (n,): position in `DIAGNOSES`, -1 where the table has no diagnosis or one of another name."""
    diagnosis = column(train, "diagnosis").astype("string").str.strip()
    return pd.Categorical(diagnosis.replace(MERGED), categories=DIAGNOSES).codes.astype(np.int64)


def column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series(np.nan, index=table.index)


def one_hot(values: pd.Series, known: tuple[str, ...]) -> np.ndarray:
    """(n, len(known) + 1), the last for what is not `known`."""
    codes = pd.Categorical(values.astype("string").str.strip().str.lower(), categories=known).codes
    return np.eye(len(known) + 1, dtype=np.float32)[codes]  # -1, not known, is the last row
