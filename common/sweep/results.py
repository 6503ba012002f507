"""The results of a sweep as a table, one row a run, in the columns that `common.study` reads."""

from pathlib import Path

import pandas as pd

from common.files import read_json, write_text
from common.run import Run
from common.sweep.grid import recipe_hash
from common.sweep.plan import Plan
from common.sweep.state import Task, seconds_of, state_of

SEARCHED = ("augment", "optimizer", "schedule", "learning_rate", "weight_decay", "epochs")
COLUMNS = (
    *("dataset", "backbone", "metric", "recipe", "seed", "score", "low", "high", "environment"),
    *("run", "variant", *SEARCHED, "images", "seconds"),
)


def results(plan: Plan, runs: Path) -> pd.DataFrame:
    """A row for every finished run with a score, by data set, backbone and variant, the best first."""
    done = [task for task in plan.tasks if state_of(task.folder(runs)).kind == "done"]
    rows = [row for task in done if (row := _row(task, runs))["score"] is not None]
    order = ["dataset", "backbone", "variant", "score", "run"]
    ascending = [True, True, True, False, True]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(order, ascending=ascending, ignore_index=True)


def _row(task: Task, runs: Path) -> dict:
    run, recipe = Run(task.folder(runs)), task.job.recipe
    metrics, environment = run.metrics, read_json(run.folder / "environment.json")
    low, high = metrics["interval"] or (None, None)
    return {
        "dataset": task.job.competition,
        "backbone": recipe.backbone,
        "metric": metrics["metric"],
        "recipe": recipe_hash(recipe),
        "seed": recipe.seed,
        "score": metrics["score"],
        "low": low,
        "high": high,
        "environment": f"{environment['device']}, torch {environment['packages']['torch']}",
        "run": task.run,
        "variant": task.job.variant,
        **{name: getattr(recipe, name) for name in SEARCHED},
        "images": task.images,
        "seconds": round(seconds_of(run.folder), 1),
    }


def write_results(plan: Plan, runs: Path, file: Path) -> None:
    write_text(file, results(plan, runs).to_csv(index=False))
