"""Test images with the predictions of a finished run as soft labels, kept apart from what is validated.

The run that labels them has seen most validation rows: in fold k it has trained on those of every other fold. Labels
from all of its networks would carry that knowledge into the student's fold k and flatter its score. So each fold of
the student is taught by the teacher's networks of the same fold alone, which have not seen the rows that it validates.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from common.competition import Competition
from common.data import ALWAYS_TRAIN, Data, SoftLabels, fingerprint
from common.ensemble import average, members_of_blend
from common.errors import UserError, listing
from common.files import content_hash
from common.labels import as_text
from common.options import Options
from common.outputs import plain_labels
from common.predict import from_table, predict_test
from common.run import Run
from common.stored import read_table


def with_pseudo_labels(
    data: Data, competition: Competition, teacher: Run, test: pd.DataFrame, options: Options
) -> Data:
    """The training rows of a run with the test images behind them, never validated, as the teacher sees them.

    Raises:
        UserError: the teacher is not finished, was trained on other data, has other rows in its folds, or is a blend of
            ranks; a test image is a training image.
    """
    check_teacher(data, teacher)
    if known := sorted(set(test["id"]) & set(data.table["id"])):
        raise UserError(f"pseudo: test images are training images too: {listing(known)}; take them out of one table")
    of_fold = by_fold(competition, teacher, test, options)
    mean = np.mean(list(of_fold.values()), axis=0)
    soft = tuple(
        SoftLabels(test["id"].to_numpy(), of_fold[fold] if held_out(data, fold) else mean, 1.0, fold)
        for fold in data.folds
    )
    labels = plain_labels(mean, competition.task, len(competition.classes))
    labels = as_text(labels) if labels.ndim == 2 else labels
    rows = test.assign(label=labels, source="pseudo", fold=ALWAYS_TRAIN, distrusted=False)
    return replace(
        data,
        table=pd.concat([data.table, rows], ignore_index=True),
        fingerprint=content_hash([data.fingerprint, fingerprint(competition, test)]),
        soft=(*data.soft, *soft),
    )


def held_out(data: Data, fold: int) -> bool:
    return len(data.valid_rows(fold)) > 0


def check_teacher(data: Data, teacher: Run) -> None:
    """Raises UserError where the teacher saw other data, or held out other rows than the student will, fold by fold."""
    if not teacher.finished:
        raise UserError(f"run {teacher.id} is not finished; train it first")
    if teacher.about.get("source") != data.source:
        raise UserError(
            f"run {teacher.id} was trained on other data than this, perhaps on its test images; train another"
        )
    file = teacher.folder / "out_of_fold.parquet"
    theirs = read_table(file)[["id", "fold"]] if file.is_file() else pd.DataFrame(columns=["id", "fold"])
    for fold in data.folds:
        ours = set(data.table["id"].to_numpy()[data.valid_rows(fold)])
        if ours and ours != set(theirs.loc[theirs["fold"] == fold, "id"]):
            raise UserError(
                f"run {teacher.id} did not hold out the same images in fold {fold}, and would carry what it knows of "
                "them into the score; train both with the same data, --split, --folds and --seed"
            )


def by_fold(competition: Competition, run: Run, test: pd.DataFrame, options: Options) -> dict[int, np.ndarray]:
    """Fold → mean test prediction, (n,) or (n, K), of the run's networks of that fold alone."""
    blend = run.about.get("blend")
    if blend is None:
        table = predict_test(competition, run, test, replace(options, again=False))
        parts = {
            fold: [from_table(member) for _, member in rows.groupby("member")] for fold, rows in table.groupby("fold")
        }
        return {int(fold): np.mean(members, axis=0) for fold, members in parts.items()}
    if blend["how"] == "rank":
        raise UserError(f"run {run.id} averages ranks, which are no labels; take a blend with --how mean")
    members = [by_fold(competition, member, test, options) for member in members_of_blend(competition, run)]
    return {fold: average(blend, [member[fold] for member in members]) for fold in members[0]}
