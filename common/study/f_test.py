"""What predicts a data set better: ImageNet, or the other data sets? Nested-model F-tests (Appendix N.1, Table 12).

All 19 models; the target and ImageNet top-1 are logits, the other predictor is the mean of the standardised logits over
the other five data sets. A model with one predictor is nested in the model with both; the F-test asks whether the
second predictor explains more than chance would.
"""

import numpy as np
import pandas as pd
import statsmodels.api as sm

from common.study.averages import average_of_others, complete, standardised_logits
from common.study.scales import differing, logit
from common.study.tables import IMAGENET

COLUMNS = (
    "f_adding_average",
    "p_adding_average",
    "f_adding_imagenet",
    "p_adding_imagenet",
    "adjusted_r2_imagenet",
    "adjusted_r2_average",
    "adjusted_r2_both",
)


def f_test(table: pd.DataFrame) -> pd.DataFrame:
    """Both F-tests and the three adjusted R² of every real-world data set: index data set, columns `COLUMNS`.

    Raises:
        UserError: fewer than 5 complete models, or fewer than 2 data sets, or a column whose values are all the same.
    """
    whole = differing(complete(table, models=5, data_sets=2))
    logits, standardised = logit(whole), standardised_logits(whole)
    rows = {
        name: _tests(logits[name], logits[IMAGENET], average_of_others(standardised, name)) for name in standardised
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)


def _tests(target: pd.Series, imagenet: pd.Series, average: pd.Series) -> list[float]:
    def fitted(*predictors: pd.Series):
        return sm.OLS(target.to_numpy(), sm.add_constant(np.column_stack(predictors))).fit()

    by_imagenet, by_average, by_both = fitted(imagenet), fitted(average), fitted(imagenet, average)
    f_average, p_average, _ = by_both.compare_f_test(by_imagenet)
    f_imagenet, p_imagenet, _ = by_both.compare_f_test(by_average)
    return [
        f_average,
        p_average,
        f_imagenet,
        p_imagenet,
        *(fit.rsquared_adj for fit in (by_imagenet, by_average, by_both)),
    ]
