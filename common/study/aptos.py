"""What interventions bring on APTOS: scores on Kaggle's leaderboards over a small grid (Section 4.2, Appendix F).

A score is quadratic weighted kappa on the private part (85% of the test set) or the public one.
"""

import pandas as pd

from common.study import tables


def interventions() -> pd.DataFrame:
    """The best of each model's grid: one row a study and model, in the paper's order.

    Returns:
        Columns `study`, `model`, `runs`, `best_private`; `chosen_by_public`, the private score of the run that is best
        on the public part, which a competitor could have chosen; `median_private`.
    """
    grid = tables.read("aptos_interventions").reset_index()
    rows = []
    for (study, model), runs in grid.groupby(["study", "model"], sort=False):
        private = runs["private_qwk"]
        rows.append(
            {
                "study": study,
                "model": model,
                "runs": len(runs),
                "best_private": private.max(),
                "chosen_by_public": private[runs["public_qwk"].idxmax()],
                "median_private": private.median(),
            }
        )
    return pd.DataFrame(rows)


def gain_of_augmentation() -> pd.Series:
    """More augmentation less less, of ResNet-50, in each of the three ways of `interventions`."""
    by_model = interventions().set_index("model")
    columns = ["best_private", "chosen_by_public", "median_private"]
    return by_model.loc["ResNet-50 more augmentation", columns] - by_model.loc["ResNet-50 less augmentation", columns]
