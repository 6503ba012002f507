"""Weights are trained once: a recipe that differs from a finished run's in prediction alone takes that run's."""

import os
import shutil
from pathlib import Path
from typing import Any

from common.files import read_record, write_record
from common.recipe import Recipe
from common.run import Run, all_runs, identity
from common.train.session import Session

PREDICTION = ("tta", "decision")
"""Fields of a recipe that no training looks at: epochs are chosen without views and by the plain rule."""


def run_with_the_weights(run: Run) -> Run | None:
    """The finished run beside this one, on the same data, whose recipe differs in `PREDICTION` alone: if there are
    several, one with the same views, then the latest."""
    recipe, competition = run.recipe, run.about["competition"]

    def trained_alike(other: Run) -> bool:
        if not other.finished or "blend" in other.about or other.fingerprint != run.fingerprint:
            return False
        if of_training(other.recipe) != of_training(recipe):
            return False
        predicts_alike = other.recipe.with_fields(**{name: getattr(recipe, name) for name in PREDICTION})
        return identity(competition, predicts_alike, run.fingerprint) == run.id.partition("-")[0]

    alike = filter(trained_alike, all_runs(run.folder.parent.parent, competition))
    return max(alike, key=lambda other: (other.recipe.tta == recipe.tta, other.about["finished"]), default=None)


def of_training(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.identity().items() if name not in PREDICTION}


def take_fold(session: Session, fold: int, owner: Run) -> None:
    """What `Session.train_fold` leaves behind, from the weights of another run."""
    folder = session.fold_folder(fold)
    if (folder / "done").is_file():
        return
    folder.mkdir(exist_ok=True)
    trained, rows = owner.folder / folder.name, session.data.valid_rows(fold)
    names = read_record(trained / "done")["weights"]
    for name in (*names, "curve.csv"):
        link(trained / name, folder / name)
    if len(rows) and owner.recipe.tta == session.recipe.tta:
        link(trained / "out_of_fold.parquet", folder / "out_of_fold.parquet")
    elif len(rows):
        with session.evaluation_feed(rows) as valid:
            session.write_held_out(fold, session.predict_held_out(fold, [folder / name for name in names], valid))
    write_record(folder / "done", {"weights": names})


def link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the disk has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
