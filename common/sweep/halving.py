"""Successive halving (Jamieson and Talwalkar, 2016): all runs of a cell train a little, the best third of them three
times as long, and so on; the last ones to their end.

Everything follows from the tasks, the number of rungs and the curves in the run folders, so that a start after a kill
decides the same again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from pathlib import Path

from common.errors import UserError
from common.sweep.grid import Job
from common.sweep.state import Task, scores_of, state_of

ETA = 3
"""One in so many is promoted, to so many times the epochs."""

Cost = Callable[[Task], float]
"""What the whole training of a task costs, in images or in hours."""


def ladder(epochs: int, rungs: int) -> list[int]:
    """The epochs after which runs are compared, and the last: `ladder(30, 3)` → 1, 3, 10, 30."""
    return [max(1, round(epochs / ETA**rung)) for rung in range(rungs, -1, -1)]


def survivors(n: int, rungs: int) -> list[int]:
    """How many of `n` go as far as each rung of the ladder: `survivors(60, 3)` → 60, 20, 7, 3."""
    return [ceil(n / ETA**rung) for rung in range(rungs + 1)]


def cost_of(tasks: Iterable[Task], rungs: int, cost: Cost) -> float:
    """Of all cells, as if nothing were done yet; a cell's runs are taken to cost alike."""
    total = 0.0
    for cell in cells(tasks).values():
        mean = sum(map(cost, cell)) / len(cell)
        epochs = ladder(cell[0].job.epochs, rungs)
        steps = [after - before for before, after in zip([0, *epochs], epochs, strict=False)]
        shares = [n * step / epochs[-1] for n, step in zip(survivors(len(cell), rungs), steps, strict=True)]
        total += mean * sum(shares)
    return total


def rungs_for(tasks: Sequence[Task], budget: float, cost: Cost, unit: str) -> int:
    """The fewest rungs that the budget allows; 0 is the whole grid.

    Raises:
        UserError: it does not even allow the most.
    """
    most = 0
    while ladder(max((task.job.epochs for task in tasks), default=1), most)[0] > 1:
        most += 1
    for rungs in range(most + 1):
        least = cost_of(tasks, rungs, cost)
        if least <= budget:
            return rungs
    raise UserError(
        f"budget: successive halving of {len(tasks):,} runs wants {least:,.0f} {unit} at least, not {budget:,.0f}; "
        "narrow the grid with --only"
    )


def cells(tasks: Iterable[Task]) -> dict[tuple[str, str, str], list[Task]]:
    """The tasks that compete with each other."""
    found = defaultdict(list)
    for task in tasks:
        found[task.job.cell].append(task)
    return found


def rung(tasks: Sequence[Task], runs: Path, number: int, rungs: int) -> list[tuple[Task, int | None]]:
    """The tasks of a rung, each with the epoch to stop at; None: its end. Those that failed are not promoted."""
    chosen = []
    for cell in cells(tasks).values():
        left = cell
        for below, keep in enumerate(survivors(len(cell), rungs)[1 : number + 1]):
            left = best(left, runs, keep, below, rungs)
        chosen += [(task, _stop(task.job, number, rungs)) for task in left]
    return chosen


def best(cell: Sequence[Task], runs: Path, keep: int, below: int, rungs: int) -> list[Task]:
    """The `keep` tasks with the best score up to the epoch of the rung `below`, in their old order."""
    ranked = []
    for position, task in enumerate(cell):
        folder = task.folder(runs)
        scores = scores_of(folder)[: ladder(task.job.epochs, rungs)[below]]
        if scores and state_of(folder).kind != "failed":
            ranked.append((-max(scores), position))
    return [cell[position] for _, position in sorted(sorted(ranked)[:keep], key=lambda entry: entry[1])]


def _stop(job: Job, number: int, rungs: int) -> int | None:
    return None if number == rungs else ladder(job.epochs, rungs)[number]
