"""Where a model stands: its scores among the paper's, against the trend over ImageNet, and among one's own runs.

Everything is on the scale of the scores. An error is a standard error: of a score, of the images that it was measured
on and of the seeds; of what the trend expects, that of a least-squares prediction for one more model.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from common.errors import UserError, listing
from common.models.zoo import find
from common.study import tables
from common.study.leaderboard import NORMAL_95, best_recipes
from common.study.tables import IMAGENET, metric_of
from common.study.trend import ABOVE, fit

NEARLY_ALL = 0.9
"""Share of the paper's images that a data set must have to be that data set: it counts CCT-20 by boxes, and its own
table and code differ by an image or two."""
VALIDATED_APART = ("cct20",)
"""The paper's evaluation part is no part of the rows that are trained and validated on."""


COLUMNS = ("data", "rows", "scored", "scored_on", "deviations")
"""What `collect` writes beside the columns that every table of results has."""


@dataclass(frozen=True)
class Standing:
    """A model on one data set. Halves are those of 95% intervals.

    - `rank` of `among` the paper's models and this one; `expected` of a model of its ImageNet accuracy by their trend,
      `residual` the score less that; `gain` the score less that of the reference model.
    - `unlike`: why score and paper cannot be compared; empty where they can.
    - `own`: (backbone, score, ImageNet top-1) of one's own runs on the same data under the same protocol, best first,
      this model among them.
    """

    data_set: str
    seeds: int
    score: float
    half: float
    unlike: str
    rank: int = 0
    among: int = 0
    expected: float = np.nan
    residual: float = np.nan
    residual_half: float = np.nan
    gain: float = np.nan
    gain_half: float = np.nan
    own: tuple[tuple[str, float, float], ...] = ()

    @property
    def own_rank(self) -> int:
        return 1 + sum(score > self.score for _, score, _ in self.own)


def standings(rows: pd.DataFrame, backbone: str, top1: float, against: str) -> list[Standing]:
    """The model on every data set that it has a score on, in the paper's order, controls last.

    Args:
        rows: as `results.read_rows_of_runs` gives them, of `from_runs.collect`.
        top1: the model's ImageNet accuracy, a fraction; NaN: there is no trend to hold it against.
        against: name in the zoo of the reference model.

    Raises:
        UserError: no such model in the rows or in the zoo.
    """
    if missing := [column for column in COLUMNS if column not in rows]:
        raise UserError(
            f"results: column {listing(missing)} is missing; `python -m common.study collect` writes them all"
        )
    best = best_recipes(rows)
    mine = best[best["backbone"] == backbone]
    if mine.empty:
        others = listing(best["backbone"].unique()) or "none"
        raise UserError(f"backbone: no results of '{backbone}' on the study's data sets; there are {others}")
    reference, paper = name_in_the_paper(against), tables.scores()
    order = [name for name in metric_of() if name in set(mine["dataset"])]
    return [standing(best, mine, name, top1, paper, reference) for name in order]


def name_in_the_paper(backbone: str) -> str:
    """What the paper calls one of its models, of the name in the zoo. Raises UserError: it is none of them."""
    model = find(backbone)
    if model is None or model.paper_name not in tables.scores().index:
        raise UserError(f"against: '{backbone}' is none of the paper's models; `python -m common.models list` has them")
    return model.paper_name


def standing(
    best: pd.DataFrame, mine: pd.DataFrame, data_set: str, top1: float, paper: pd.DataFrame, reference: str
) -> Standing:
    own = mine[mine["dataset"] == data_set]
    score, error = mean_and_error(own)
    found = {"data_set": data_set, "seeds": own["seed"].nunique(), "score": score, "half": NORMAL_95 * error}
    found |= {"unlike": unlike_the_paper(own.iloc[0]), "own": among_own(best, own.iloc[0])}
    if data_set in paper:
        found |= {"rank": 1 + int((paper[data_set] > score).sum()), "among": 1 + len(paper)}
        found |= {"gain": score - paper.loc[reference, data_set], "gain_half": NORMAL_95 * np.sqrt(2) * error}
        expected, half = prediction(paper[IMAGENET], paper[data_set], top1)
        found |= {"expected": expected, "residual": score - expected}
        found |= {"residual_half": float(np.hypot(half, NORMAL_95 * error))}
    return Standing(**found)


def mean_and_error(rows: pd.DataFrame) -> tuple[float, float]:
    """Mean over the seeds and its standard error: the test set's, which seeds share, and the spread of the seeds."""
    test_set = (rows["high"] - rows["low"]).mean() / (2 * NORMAL_95)
    seeds = rows["score"].std() / np.sqrt(len(rows)) if len(rows) > 1 else 0.0
    return float(rows["score"].mean()), float(np.hypot(test_set, seeds))


def prediction(x: pd.Series, y: pd.Series, at: float) -> tuple[float, float]:
    """What the line through the paper's models expects at an ImageNet accuracy, and half the 95% interval for one more
    model. The line is the paper's, above 70%; below that it is through all of its models."""
    if np.isnan(at):
        return np.nan, np.nan
    if at > ABOVE:
        x, y = x[x > ABOVE], y[x > ABOVE]
    line = fit(x.to_numpy(), y.to_numpy())
    n, dx = len(x), x - x.mean()
    residual = y - line.intercept - line.slope * x
    deviation = np.sqrt((residual**2).sum() / (n - 2) * (1 + 1 / n + (at - x.mean()) ** 2 / (dx**2).sum()))
    return float(line.intercept + line.slope * at), float(stats.t.ppf(0.975, n - 2) * deviation)


def unlike_the_paper(row: pd.Series) -> str:
    """Why a score cannot be compared with the paper's: other data, another protocol, other images that are scored."""
    about = tables.read("datasets")
    if row["dataset"] not in about.index:
        return "the paper prints no scores"
    size = about.loc[row["dataset"]]
    wanted = size["train_size"] + (0 if row["dataset"] in VALIDATED_APART else size["eval_size"])
    reasons = []
    if row["rows"] < NEARLY_ALL * wanted or row["scored"] < NEARLY_ALL * size["eval_size"]:
        scored = f"{row['scored']:,.0f} of {size['eval_size']:,} scored"
        reasons.append(f"{row['rows']:,.0f} of its {wanted:,} images, {scored}")
    if row["dataset"] in VALIDATED_APART and row["scored_on"] != "test":
        reasons.append("scored on cis_val and not on cis_test")
    if other := [word for word in row["deviations"].split() if not word.startswith("epochs=")]:
        reasons.append(" ".join(other))
    return ", ".join(reasons)


def among_own(best: pd.DataFrame, row: pd.Series) -> tuple[tuple[str, float, float], ...]:
    """One's own backbones on the same data, protocol and scored images."""
    same = ["dataset", "data", "deviations", "scored_on"]
    alike = best[(best[same] == row[same]).all(axis=1)]
    means = alike.groupby("backbone").agg(score=("score", "mean"), top1=(IMAGENET, "first"))
    means = means.sort_values("score", ascending=False)
    return tuple(means.itertuples(name=None))
