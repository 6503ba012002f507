"""Recipes compared on the same images with the same seeds: means over seeds and intervals of their differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.competition import Competition
from common.metrics import Weighted, find
from common.run import Run
from common.stored import read_table
from common.train.score import decided


@dataclass(frozen=True)
class Compared:
    """`scores` float64 (recipes,): mean over seeds of the metric on held-out rows. `replicates` float64 (replicates,
    recipes): the same in each bootstrap sample."""

    scores: np.ndarray
    replicates: np.ndarray

    def interval(self, recipe: int) -> tuple[float, float]:
        """95% interval of a recipe's score."""
        return interval(self.replicates[:, recipe])

    def difference(self, first: int, second: int) -> tuple[float, float, float]:
        """How much higher the first recipe scores than the second, with its 95% interval."""
        low, high = interval(self.replicates[:, first] - self.replicates[:, second])
        return float(self.scores[first] - self.scores[second]), low, high


def compare(
    competition: Competition, runs: Sequence[Sequence[Run]], replicates: int = 1000, random_seed: int = 0
) -> Compared:
    """`runs[recipe][seed]`: finished runs, each recipe with the same seeds, compared on their out-of-fold rows.

    Paired percentile bootstrap (Efron and Tibshirani, 1993, ch. 8 and 13): a sample draws rows (whole groups) and seeds
    together, the same for every recipe. Of S seeds S - 1 are drawn, which gives the mean over few seeds its right
    spread (Rao and Wu, 1988); one seed alone says nothing of the spread over seeds.
    """
    tables = [[read_table(run.folder / "out_of_fold.parquet") for run in row] for row in runs]
    units = pd.Index(np.unique(np.concatenate([units_of(table) for row in tables for table in row])))
    measures = [
        [
            (weighted(competition, run, table), units.get_indexer(units_of(table)))
            for run, table in zip(row, held_out, strict=True)
        ]
        for row, held_out in zip(runs, tables, strict=True)
    ]
    return resampled(measures, len(units), replicates, random_seed)


def resampled(
    measures: Sequence[Sequence[tuple[Weighted, np.ndarray]]], n: int, replicates: int = 1000, random_seed: int = 0
) -> Compared:
    """The bootstrap of `compare`. `measures[recipe][seed]`: a metric as a function of row weights, and which of `n`
    units each of its rows belongs to, int (rows,)."""

    def scores(multiplicity: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        of_seed = {seed: [score(multiplicity[unit]) for score, unit in column(measures, seed)] for seed in set(seeds)}
        return np.mean([of_seed[seed] for seed in seeds], axis=0)

    random, count = np.random.default_rng(random_seed), len(measures[0])
    drawn = [
        scores(
            np.bincount(random.integers(n, size=n), minlength=n).astype(np.float64),
            random.integers(count, size=max(count - 1, 1)),
        )
        for _ in range(replicates)
    ]
    return Compared(scores(np.ones(n), np.arange(count)), np.array(drawn))


def paired_values(
    competition: Competition, labels: np.ndarray, values: Sequence[np.ndarray], units: np.ndarray
) -> Compared:
    """Several ways to decide the same rows, each (n,) or (n, K), compared; `units` (n,) are drawn whole."""
    unit, metric = np.unique(units, return_inverse=True)[1], find(competition.metric)
    measures = [[(metric.prepare(labels, decided, len(competition.classes)), unit)] for decided in values]
    return resampled(measures, int(unit.max()) + 1)


def units_of(table: pd.DataFrame) -> np.ndarray:
    """What is drawn whole: (n,) text, the group of each row, or the row itself."""
    return table["group" if "group" in table else "id"].to_numpy(dtype=str)


def weighted(competition: Competition, run: Run, table: pd.DataFrame):
    """The metric of a run's decided out-of-fold rows as a function of row weights, float64 (n,)."""
    labels, values = decided(competition, run.recipe, table)
    return find(competition.metric).prepare(labels, values, len(competition.classes))


def column(rows: Sequence[Sequence], number: int) -> list:
    return [row[number] for row in rows]


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of the replicates in which the metric is defined."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
