"""Label noise: which labels a run's out-of-fold predictions speak against, the worst first."""

from dataclasses import replace

import numpy as np
import pandas as pd

from common.competition import Competition, Task
from common.data import Data, SoftLabels
from common.decide import Rule
from common.errors import UserError
from common.labels import as_text, label_array
from common.predict import from_table
from common.recipe import Recipe
from common.run import Run
from common.stored import read_table


def suspicion(outputs: np.ndarray, labels: np.ndarray, task: Task, classes: int) -> np.ndarray:
    """How much held-out outputs speak against the given labels, float64 (n,), higher is worse.

    One class a row: 1 - probability of the given class (self-confidence; Northcutt, Jiang and Chuang, 2021, "Confident
    learning"), in [0, 1]. A regressed grade: its distance from the given one. Several classes a row: the worst class,
    see `of_several_classes`.

    Args:
        outputs: as they are stored: grades or P(positive), (n,), or probabilities (n, classes).
        labels: int (n,) in 0..classes-1, or indicator rows (n, classes) in a multi-label task.

    Raises:
        UserError: outputs and labels do not go together.
    """
    outputs, labels = np.asarray(outputs, dtype=np.float64), np.asarray(labels)
    of_one = (len(labels),) if task in ("binary", "ordinal") else ()
    if outputs.shape not in (of_one, (len(labels), classes)):
        raise UserError(f"{len(labels)} labels of {classes} classes are not judged by outputs of shape {outputs.shape}")
    if task == "multilabel":
        return of_several_classes(outputs, labels)
    if outputs.ndim == 2:
        return 1 - outputs[np.arange(len(labels)), labels]
    return np.abs(outputs - labels)


def of_several_classes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities and indicator rows (n, K) → (n,): the worst class of each row, in [-1, 1].

    A class speaks against a row by how far its self-confidence falls below the mean of the rows with the same answer
    for that class. Without that, every row of a rare class, whose probabilities are all low, would be a suspect.
    """
    given = labels == 1
    against = np.where(given, 1 - probabilities, probabilities)
    usual = [mean_where(against, answer) for answer in (~given, given)]
    return (against - np.where(given, usual[1], usual[0])).max(axis=1)


def mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of the chosen values of each column, (K,), 0 where none is."""
    return (values * chosen).sum(axis=0) / np.maximum(chosen.sum(axis=0), 1)


def suspicious_rows(run: Run, competition: Competition, share: float) -> pd.DataFrame:
    """The `share` of a run's held-out rows whose labels are most suspicious, the worst first, at least one.

    Columns: `id`, `label`, `predicted` (by the run's rule), `suspicion`, and the outputs, which
    `common.predict.from_table` gives back.

    Raises:
        UserError: the run has no out-of-fold predictions, or they are ranks of grades.
    """
    file = run.folder / "out_of_fold.parquet"
    if not (run.finished and file.is_file()):
        raise UserError(f"run {run.id} has no out-of-fold predictions to judge labels by; name a finished run that has")
    if run.about.get("blend", {}).get("how") == "rank":
        raise UserError(f"run {run.id} blends ranks, which do not say how sure it is; name one that blends the mean")
    table = read_table(file)
    outputs, classes = from_table(table), len(competition.classes)
    values = Rule.from_dict(run.metrics["rule"])(outputs)
    table["predicted"] = as_text(values) if competition.task == "multilabel" else values
    labels = label_array(table["label"], competition.task, classes)
    table["suspicion"] = suspicion(outputs, labels, competition.task, classes)
    named = ["id", "label", "predicted", "suspicion"]
    worst_first = table.sort_values(["suspicion", "id"], ascending=[False, True], ignore_index=True)
    of_outputs = [name for name in table if name not in (*named, "fold", "group")]
    return worst_first[named + of_outputs].head(max(1, round(share * len(table))))


def distrusting(data: Data, competition: Competition, judge: Run, recipe: Recipe) -> Data:
    """The rows of a run in which the suspicious labels are not trained on, or are half replaced by what the judge
    predicts. They are validated with the labels that they have: the score stays that of the data set.

    The judge's networks for one fold have seen the labels of the others. So which training rows go is not wholly
    independent of the rows that the fold validates; the effect is of second order, but it is there.

    Raises:
        UserError: as `suspicious_rows`, or the judge was trained on other data.
    """
    if judge.about.get("source") != data.source:
        raise UserError(f"run {judge.id} was trained on other data than this; clean with a run on the same")
    worst = suspicious_rows(judge, competition, recipe.suspect_share)
    if recipe.suspects == "drop":
        return replace(data, table=data.table.assign(distrusted=data.table["id"].isin(worst["id"])))
    return replace(data, soft=(*data.soft, SoftLabels(worst["id"].to_numpy(), from_table(worst), share=0.5)))
