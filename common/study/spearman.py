"""Do the data sets agree on an order of the models? Spearman's rank correlations (Appendix N.2, Table 13).

All 19 models; each data set against the mean of the other five as they are, against the mean of their standardised
logits, and against ImageNet top-1.
"""

import pandas as pd
from scipy.stats import spearmanr

from common.study.averages import average_of_others, complete, standardised_logits
from common.study.scales import differing
from common.study.tables import IMAGENET, real_world


def spearman(table: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation and p-value per data set and predictor: index data set, columns as in the paper's table.

    Raises:
        UserError: fewer than 3 complete models, or fewer than 2 data sets, or a column whose values are all the same.
    """
    whole = differing(complete(table, models=3, data_sets=2))
    raw, standardised = whole[real_world(whole)], standardised_logits(whole)
    rows = {}
    for name in raw:
        tests = {
            "average_raw": spearmanr(raw[name], average_of_others(raw, name)),
            "average_normalized": spearmanr(raw[name], average_of_others(standardised, name)),
            "imagenet": spearmanr(raw[name], whole[IMAGENET]),
        }
        rows[name] = {f"{key}_{part}": test[i] for key, test in tests.items() for i, part in enumerate(("rho", "p"))}
    return pd.DataFrame.from_dict(rows, orient="index")
