"""How far a sweep is, from the folders of its runs: asked at any time, from any machine that sees them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from common import terminal
from common.progress import clock
from common.sweep.claims import is_claimed
from common.sweep.halving import rung
from common.sweep.plan import Plan
from common.sweep.results import results
from common.sweep.state import State, Task, seconds_of, state_of

Goals = Sequence[tuple[Task, int | None]]
"""Tasks of a rung, each with the epoch it stops at; None: its end."""
SHOWN = 20
"""Failures that are listed one by one."""


def status_text(plan: Plan, runs: Path) -> str:
    """Counts, time left, the best of each cell and what failed, as `status_facts` has them."""
    about = status_facts(plan, runs)
    always = ("done", "running", "failed", "to do")
    counts = [f"{count:,} {what}" for what, count in about["counts"].items() if count or what in always]
    parts = [f"sweep {plan.name}: {', '.join(counts)}"]
    if about["seconds_left"] is not None:
        of_rung = f" of rung {about['rung']} of {plan.rungs + 1}" if plan.rungs else ""
        workers = f"{plan.workers} worker" + ("s" if plan.workers > 1 else "")
        parts.append(f"about {clock(about['seconds_left'])} left{of_rung} for {workers}")
    if about["best"]:
        parts.append(best_text(about["best"]))
    failed = [f"failed: {run['dataset']} {run['backbone']} {run['run']}: {run['reason']}" for run in about["failed"]]
    more = [f"… and {len(failed) - SHOWN:,} more"] if len(failed) > SHOWN else []
    return "\n".join([*parts, *failed[:SHOWN], *more])


def status_facts(plan: Plan, runs: Path) -> dict[str, Any]:
    """`sweep`, `counts` (see `counted`), `rung` (from 1, of successive halving), `workers`, `seconds_left` (None where
    there is nothing left or nothing to tell by), `best` (see `best_of_cells`) and `failed` with reasons."""
    states = {task: state_of(task.folder(runs)) for task in plan.tasks}
    number, goals = rung_now(plan, states, runs)
    failed = [
        {"dataset": task.job.competition, "backbone": task.job.recipe.backbone, "run": task.run, "reason": state.reason}
        for task, state in states.items()
        if state.kind == "failed"
    ]
    return {
        "sweep": plan.name,
        "counts": counted(plan, states, goals, runs),
        "rung": number + 1,
        "workers": plan.workers,
        "seconds_left": seconds_left(plan, states, goals, runs),
        "best": best_of_cells(results(plan, runs)),
        "failed": failed,
    }


def counted(plan: Plan, states: dict[Task, State], goals: Goals, runs: Path) -> dict[str, int]:
    """How many runs are done, running, and so on. Runs in a cluster's queue count as running; what halving left behind
    or keeps waiting for others of its rung is told apart."""
    open_ = {task for task, stop in goals if not states[task].settled(stop)}
    running = {task for task in open_ if is_claimed(task.folder(runs))}
    kinds = Counter(state.kind for state in states.values())
    waiting = len(states) - kinds["done"] - kinds["failed"] - len(open_)
    return {
        "done": kinds["done"],
        "running": len(running),
        "failed": kinds["failed"],
        "to do": len(open_) - len(running),
        "stopped by halving": waiting,
        "not possible yet": len(plan.blocked),
    }


def seconds_left(plan: Plan, states: dict[Task, State], goals: Goals, runs: Path) -> float | None:
    """By the seconds that each image took in the finished runs of a backbone, in all finished runs where there are none
    of it, or as planned where nothing is finished. Of successive halving: of the rung that is being climbed."""
    left = [(task, stop) for task, stop in goals if not states[task].settled(stop)]
    seconds = _seconds_an_image(plan, states, runs) if left else None
    if seconds is None:
        return None
    total = 0.0
    for task, stop in left:
        epochs = (stop or task.job.epochs) - states[task].epochs
        total += seconds(task) * task.images * epochs / task.job.epochs
    return total / plan.workers


def rung_now(plan: Plan, states: dict[Task, State], runs: Path) -> tuple[int, Goals]:
    """The first rung that is not settled, or the last, and its tasks with their stops."""
    for number in range(plan.rungs + 1):
        goals = rung(plan.tasks, runs, number, plan.rungs)
        if any(not states[task].settled(stop) for task, stop in goals):
            break
    return number, goals


def _seconds_an_image(plan: Plan, states: dict[Task, State], runs: Path) -> Callable[[Task], float] | None:
    rows = [
        (task.job.recipe.backbone, seconds_of(task.folder(runs)), task.images)
        for task, state in states.items()
        if state.kind == "done"
    ]
    seen = pd.DataFrame(rows, columns=["backbone", "seconds", "images"]).query("seconds > 0")
    of_backbone = seen.groupby("backbone")[["seconds", "images"]].sum()
    of_backbone = (of_backbone["seconds"] / of_backbone["images"]).to_dict()
    mean = seen["seconds"].sum() / seen["images"].sum() if len(seen) else None

    def of(task: Task) -> float:
        try:
            planned = plan.hours(task) * 3600 / task.images
        except KeyError:
            planned = mean
        return of_backbone.get(task.job.recipe.backbone, planned or mean or 0.0)

    return of if len(seen) or plan.rates else None


def best_of_cells(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of `common.sweep.results.results`, the best run of each data set and backbone, and how many it is the best of."""
    cells = table.groupby(["dataset", "backbone", "variant"], sort=False)
    columns = [
        "dataset",
        "backbone",
        "variant",
        "score",
        "optimizer",
        "schedule",
        "learning_rate",
        "weight_decay",
        "run",
    ]
    return terminal.records(cells.head(1)[columns].assign(best_of=cells["run"].transform("count")))


def best_text(best: Sequence[dict[str, Any]]) -> str:
    names = ("data set", "backbone", "score", "optimizer", "rate", "decay", "best of", "run")
    rows = [
        (
            row["dataset"],
            f"{row['backbone']} {row['variant']}".strip(),
            f"{row['score']:.4f}",
            f"{row['optimizer']}+{row['schedule']}",
            f"{row['learning_rate']:g}",
            f"{row['weight_decay']:g}",
            f"{row['best_of']}",
            row["run"],
        )
        for row in best
    ]
    return terminal.table(names, rows)
