"""Labelled parts of a data set beside its test set, such as places never trained on: predicted and scored by a run."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from common.competition import Competition
from common.ensemble import answers, predict_run
from common.labels import label_array
from common.metrics import bootstrap_interval, evaluate
from common.options import Options
from common.run import Run
from common.train.score import in_words


def score_parts(competition: Competition, run: Run, raw: Path, options: Options) -> Iterator[str]:
    """For each labelled part that `raw` has, its line: `trans_test: accuracy 0.1234 (95% interval 0.1112 to 0.1356) on
    600 images`. The predictions stay in the run folder as `<part>.parquet`, as `test.parquet` does.

    Raises:
        UserError: the part cannot be read, or the metric is undefined on it.
    """
    for name, read in competition.labelled_parts.items():
        table = read(raw)
        if not table.empty:
            yield f"{name}: {score_part(competition, run, name, table, options)}"


def score_part(competition: Competition, run: Run, name: str, table: pd.DataFrame, options: Options) -> str:
    """`measure` in words."""
    found = measure(competition, run, name, table, options)
    return f"{in_words(found['metric'], found['score'], found['interval'], found['n'])} images"


def measure(competition: Competition, run: Run, name: str, table: pd.DataFrame, options: Options) -> dict:
    """The metric of one part (`metric`, `score`, `interval`, `n`), decided by the run's rule, with an interval that
    draws whole groups anew."""
    _, values = answers(run, predict_run(competition, run, table, options, part=name))
    labels = label_array(table["label"], competition.task, len(competition.classes))
    asked = (competition.metric, labels, values, len(competition.classes))
    groups = table["group"].to_numpy() if "group" in table else None
    interval = bootstrap_interval(*asked, groups=groups, seed=run.recipe.seed)
    return {"metric": competition.metric, "score": evaluate(*asked), "interval": list(interval), "n": len(table)}
