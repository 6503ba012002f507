"""How far a sweep is, from the folders of its runs: asked at any time, from any machine that sees them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

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
    """Counts, time left, the best of each cell and what failed."""
    states = {task: state_of(task.folder(runs)) for task in plan.tasks}
    number, goals = rung_now(plan, states, runs)
    counts = counted(plan, states, goals, runs)
    parts = [f"sweep {plan.name}: {counts}", time_left(plan, states, number, goals, runs)]
    table = results(plan, runs)
    if len(table):
        parts.append(best_text(table))
    parts.append(failures_text({task: state for task, state in states.items() if state.kind == "failed"}))
    return "\n".join(filter(None, parts))


def counted(plan: Plan, states: dict[Task, State], goals: Goals, runs: Path) -> str:
    """`12 done, 2 running, 1 failed, 45 to do`. Runs in a cluster's queue count as running; what halving left behind or
    keeps waiting for others of its rung is told apart."""
    open_ = {task for task, stop in goals if not states[task].settled(stop)}
    running = {task for task in open_ if is_claimed(task.folder(runs))}
    kinds = Counter(state.kind for state in states.values())
    waiting = len(states) - kinds["done"] - kinds["failed"] - len(open_)
    counts = {
        "done": kinds["done"],
        "running": len(running),
        "failed": kinds["failed"],
        "to do": len(open_) - len(running),
        "stopped by halving": waiting,
        "not possible yet": len(plan.blocked),
    }
    always = ("done", "running", "failed", "to do")
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what in always)


def time_left(plan: Plan, states: dict[Task, State], number: int, goals: Goals, runs: Path) -> str:
    """By the seconds that each image took in the finished runs of a backbone, in all finished runs where there are none
    of it, or as planned where nothing is finished. Of successive halving: of the rung that is being climbed."""
    left = [(task, stop) for task, stop in goals if not states[task].settled(stop)]
    if not left:
        return ""
    seconds = _seconds_an_image(plan, states, runs)
    if seconds is None:
        return ""
    total = 0.0
    for task, stop in left:
        epochs = (stop or task.job.epochs) - states[task].epochs
        total += seconds(task) * task.images * epochs / task.job.epochs
    of_rung = f" of rung {number + 1} of {plan.rungs + 1}" if plan.rungs else ""
    workers = f"{plan.workers} worker" + ("s" if plan.workers > 1 else "")
    return f"about {clock(total / plan.workers)} left{of_rung} for {workers}"


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


def best_text(table: pd.DataFrame) -> str:
    """The best run of each data set and backbone, and how many it is the best of."""
    cells = table.groupby(["dataset", "backbone", "variant"], sort=False)
    best = cells.head(1).assign(of=cells["run"].transform("count"))
    shown = pd.DataFrame(
        {
            "data set": best["dataset"],
            "backbone": best["backbone"] + best["variant"].map(lambda variant: f" {variant}" if variant else ""),
            "score": best["score"].map("{:.4f}".format),
            "optimizer": best["optimizer"] + "+" + best["schedule"],
            "rate": best["learning_rate"].map("{:g}".format),
            "decay": best["weight_decay"].map("{:g}".format),
            "best of": best["of"],
            "run": best["run"],
        }
    )
    return shown.to_string(index=False)


def failures_text(failed: dict[Task, State]) -> str:
    lines = [
        f"failed: {task.job.competition} {task.job.recipe.backbone} {task.run}: {state.reason}"
        for task, state in failed.items()
    ]
    more = [f"… and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return "\n".join(lines[:SHOWN] + more)
