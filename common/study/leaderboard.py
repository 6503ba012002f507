"""Backbones ranked by the average over data sets: one's own among the paper's 19.

Every score is a logit, standardised by the mean and deviation of the paper's models on that data set, and averaged over
the data sets that one's own results have: 0 is an average model of the paper, 1 is a deviation better.
"""

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.study import tables
from common.study.scales import logit, standardise
from common.study.tables import data_sets, metric_of, real_world

NORMAL_95 = 1.96


def leaderboard(rows: pd.DataFrame | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The paper's models, with one's own results among them, best first.

    Args:
        rows: as `results.read_rows_of_runs` gives them; of several recipes the best on a data set counts.

    Returns:
        The ranking, index backbone: `whose` ("paper" or "own"), `average` with the ends `low` and `high` of its 95%
        interval (NaN where nothing is known of it), `recipes`, `environment`, and the score on each data set; and
        the names of the backbones that lack a data set and have no rank.

    Raises:
        UserError: no result is on one of the paper's data sets by the paper's metric.
    """
    paper = tables.scores()
    if rows is None:
        names, own, incomplete = real_world(paper), paper.iloc[:0], []
    else:
        names, own, incomplete = _own(rows, paper)
    logits = logit(paper[names])
    board = paper[names].assign(whose="paper", average=standardise(logits).mean(axis=1))
    if len(own):
        averages = standardise(logit(own[names]), reference=logits).mean(axis=1)
        half = NORMAL_95 * _deviation_of_average(rows, own.index, logits)
        mine = own.assign(whose="own", average=averages, low=averages - half, high=averages + half)
        board = pd.concat([board, mine])
    columns = ["whose", "average", "low", "high", "recipes", "environment", *names]
    return board.reindex(columns=columns).sort_values("average", ascending=False), incomplete


def best_recipes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the recipe whose mean over seeds is best, for each backbone and data set by the paper's metric."""
    rows = rows[rows["metric"] == rows["dataset"].map(metric_of())]
    means = rows.groupby(["dataset", "backbone", "recipe"])["score"].transform("mean")
    best = means.groupby([rows["dataset"], rows["backbone"]]).transform("max")
    rows = rows[means == best]
    first = rows.groupby(["dataset", "backbone"])["recipe"].transform("first")
    return rows[rows["recipe"] == first]


def _own(rows: pd.DataFrame, paper: pd.DataFrame) -> tuple[list[str], pd.DataFrame, list[str]]:
    """The data sets that count, the complete backbones, and the names of the others."""
    best = best_recipes(rows)
    names = [name for name in real_world(paper) if name in set(best["dataset"])]
    if not names:
        found = listing(rows["dataset"].unique())
        raise UserError(f"results: the board is over {listing(data_sets(paper))} by their own metrics, found {found}")
    best = best[best["dataset"].isin(names)]
    scores = best.groupby(["backbone", "dataset"])["score"].mean().unstack("dataset")[names]
    of_backbone = best.groupby("backbone")
    scores["recipes"] = of_backbone["recipe"].unique().map(lambda recipes: " ".join(dict.fromkeys(recipes)))
    if "environment" in best:
        scores["environment"] = of_backbone["environment"].unique().map(lambda them: " ".join(filter(None, them)))
    whole = scores[names].notna().all(axis=1)
    if not whole.any():
        raise UserError(f"results: no backbone has a score on each of {listing(names)}; add the missing ones")
    return names, scores[whole], list(scores.index[~whole])


def _deviation_of_average(rows: pd.DataFrame, backbones: pd.Index, paper_logits: pd.DataFrame) -> pd.Series:
    """Standard error of each average: of the test set (the interval of a row) and of the seeds, over the data sets."""
    best = best_recipes(rows).query("backbone in @backbones and dataset in @paper_logits.columns")
    score = best["score"]
    # An end of an interval may be 1, which has no logit: its width goes over by the logit's derivative.
    best = best.assign(score=np.log(score / (1 - score)), width=(best["high"] - best["low"]) / (score * (1 - score)))
    groups = best.groupby(["backbone", "dataset"])
    of_test_set = (groups["width"].mean() / (2 * NORMAL_95)) ** 2
    of_seeds = groups["score"].var() / groups["score"].count()
    variance = pd.concat([of_test_set, of_seeds], axis=1).sum(axis=1, min_count=1).unstack("dataset")
    standardised = variance / paper_logits.std(ddof=0) ** 2
    return np.sqrt(standardised.sum(axis=1, skipna=False)) / len(paper_logits.columns)
