"""What a sweep is going to do, and what it costs: said before it starts, kept for whoever asks how far it is."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.data import Data
from common.errors import UserError
from common.files import read_json, write_json
from common.progress import clock
from common.recipe import Recipe, recipe_from_dict
from common.run import identity
from common.sweep.grid import Job
from common.sweep.halving import cost_of, ladder, survivors
from common.sweep.rates import Speed
from common.sweep.state import State, Task, state_of
from common.sweep.weights import obstacle

FOLDER = "sweeps"
ABOUT = ("name", "budget", "rungs", "workers", "rates")
Find = Callable[[Job], tuple[Path, Data]]
"""A job → the folder of its data, and the rows it trains on. Raises UserError where they are not there."""


@dataclass(frozen=True)
class Blocked:
    """A job that cannot be done here, and the way out."""

    job: Job
    reason: str


@dataclass(frozen=True)
class Plan:
    name: str
    tasks: tuple[Task, ...]
    blocked: tuple[Blocked, ...] = ()
    budget: str = ""
    """As it was asked for."""
    rungs: int = 0
    """Of successive halving; 0: every run goes to its end."""
    workers: int = 1
    rates: Mapping[str, float] | None = None
    """`Speed.key` → images/s of one worker."""

    def hours(self, task: Task) -> float:
        """Of one worker. Raises KeyError where the speed could not be measured."""
        return task.images / (self.rates or {})[Speed(task.job.recipe).key] / 3600


def make_plan(name: str, jobs: Sequence[Job], find: Find) -> Plan:
    """The jobs as tasks, each run once, and those that data or weights are missing for."""
    tasks, blocked = {}, []
    for job in jobs:
        try:
            folder, data = find(job)
            if reason := obstacle(job.recipe):
                raise UserError(reason)
            run = identity(job.competition, job.recipe, data.fingerprint)
        except UserError as error:
            blocked.append(Blocked(job, str(error)))
        else:
            tasks[job.competition, run] = Task(job, run, folder.resolve(), images_of(job.recipe, data))
    return Plan(name, tuple(tasks.values()), tuple(blocked))


def images_of(recipe: Recipe, data: Data) -> int:
    """How many images the whole training of a recipe looks at."""
    rows = [len(data.train_rows(fold)) for fold in data.folds]
    return sum(n - n % recipe.batch_size if n >= recipe.batch_size else n for n in rows) * recipe.end_to_end().epochs


def plan_file(runs: Path, name: str) -> Path:
    return runs / FOLDER / name / "plan.json"


def write_plan(plan: Plan, runs: Path) -> None:
    """Recipes by the fields that are not the defaults."""
    tasks = [_as_dict(task.job) | {"run": task.run, "data": task.data, "images": task.images} for task in plan.tasks]
    blocked = [_as_dict(entry.job) | {"reason": entry.reason} for entry in plan.blocked]
    about = {name: getattr(plan, name) for name in ABOUT}
    write_json(plan_file(runs, plan.name), about | {"tasks": tasks, "blocked": blocked})


def read_plan(runs: Path, name: str = "") -> Plan:
    """The plan of this name, or of the sweep that was started last. Raises UserError where there is none."""
    files = sorted((runs / FOLDER).glob("*/plan.json"), key=lambda file: file.stat().st_mtime)
    chosen = [file for file in files if not name or file.parent.name == name]
    if not chosen:
        there = ", ".join(file.parent.name for file in files)
        hint = f"there are {there}" if there else "`make study` starts one"
        raise UserError(f"there is no sweep {name or 'at all'} in {runs / FOLDER}; {hint}")
    about = read_json(chosen[-1])
    tasks = [Task(_job(entry), entry["run"], Path(entry["data"]), entry["images"]) for entry in about["tasks"]]
    blocked = [Blocked(_job(entry), entry["reason"]) for entry in about["blocked"]]
    return Plan(tasks=tuple(tasks), blocked=tuple(blocked), **{name: about[name] for name in ABOUT})


def earlier_rungs(plan: Plan, runs: Path) -> int | None:
    """Of an earlier start of the same plan with the same budget: speeds change, and with them what hours allow, but a
    sweep that goes on stays on its ladder. None: there is none."""
    if not plan_file(runs, plan.name).is_file():
        return None
    before = read_plan(runs, plan.name)
    same = before.budget == plan.budget and {task.run for task in before.tasks} == {task.run for task in plan.tasks}
    return before.rungs if same else None


def _as_dict(job: Job) -> dict:
    default = Recipe()
    recipe = {name: value for name, value in job.recipe.to_dict().items() if value != getattr(default, name)}
    return {"competition": job.competition, "variant": job.variant, "recipe": recipe}


def _job(entry: Mapping) -> Job:
    return Job(entry["competition"], recipe_from_dict(entry["recipe"]), entry["variant"])


def plan_facts(plan: Plan, runs: Path, expected: Mapping[str, int]) -> dict[str, Any]:
    """What there is to do and what it costs.

    `sweep`, `counts`, `data_sets` (what can be done) and `not_possible`, both with `runs` and `images` to train,
    `reasons` (what is missing → runs), `halving` (None: every run goes to its end), `hours` of one worker, `workers`
    and their `seconds`. What is not known is None. `expected`: images that an epoch of a data set that is not there
    would have.
    """
    states = {task: state_of(task.folder(runs)) for task in plan.tasks}
    counts = Counter(state.kind for state in states.values())
    hours = _hours(plan, [(task, state.epochs) for task, state in states.items() if not state.settled(None)])
    if plan.rungs and plan.tasks:
        hours = _known(lambda: cost_of(plan.tasks, plan.rungs, plan.hours))
    return {
        "sweep": plan.name,
        "counts": {
            "done": counts["done"],
            "failed": counts["failed"],
            "to do": counts["new"] + counts["partly"],
            "not possible yet": len(plan.blocked),
        },
        "data_sets": [_of_data_set(plan, name, tasks, states) for name, tasks in _by_competition(plan.tasks).items()],
        "not_possible": [
            {"dataset": name, "runs": len(entries), "images": _images_of(entries, expected.get(name, 0)) or None}
            for name, entries in _by_competition(plan.blocked).items()
        ],
        "reasons": dict(Counter(entry.reason for entry in plan.blocked).most_common()),
        "halving": _halving(plan) if plan.rungs and plan.tasks else None,
        "hours": hours,
        "workers": plan.workers,
        "seconds": None if hours is None else 3600 * hours / plan.workers,
    }


def as_text(plan: Plan, runs: Path, expected: Mapping[str, int]) -> str:
    """The plan to print, as `plan_facts` has it."""
    about = plan_facts(plan, runs, expected)
    told = ", ".join(f"{count:,} {what}" for what, count in about["counts"].items())
    lines = [
        f"sweep {plan.name}: {sum(about['counts'].values()):,} runs: {told}",
        f"  {'data set':<12}{'runs':>7}{'done':>7}{'images to train':>18}{'hours':>11}",
    ]
    for row in about["data_sets"]:
        hours = "?" if row["hours"] is None else f"{row['hours']:,.1f}"
        lines.append(f"  {row['dataset']:<12}{row['runs']:>7,}{row['done']:>7,}{row['images']:>18,.0f}{hours:>11}")
    for row in about["not_possible"]:
        images = f"{row['images']:,.0f}" if row["images"] else "?"
        lines.append(f"  {row['dataset']:<12}{row['runs']:>7,}{'-':>7}{images:>18}{'':>11}  not possible yet")
    lines += [f"  {count:,} runs: {reason}" for reason, count in about["reasons"].items()]
    if about["halving"]:
        lines.append(_halving_text(about["halving"]))
    return "\n".join(lines + _total(about, len(plan.tasks)))


def _by_competition(entries: Iterable) -> dict[str, list]:
    found = defaultdict(list)
    for entry in entries:
        found[entry.job.competition].append(entry)
    return dict(sorted(found.items()))


def _of_data_set(plan: Plan, name: str, tasks: Sequence[Task], states: Mapping[Task, State]) -> dict[str, Any]:
    left = [(task, states[task].epochs) for task in tasks if not states[task].settled(None)]
    return {
        "dataset": name,
        "runs": len(tasks),
        "done": sum(states[task].kind == "done" for task in tasks),
        "images": sum(_left(task, epochs, task.images) for task, epochs in left),
        "hours": _hours(plan, left),
    }


def _images_of(entries: Iterable[Blocked], of_epoch: int) -> int:
    return sum(of_epoch * entry.job.epochs for entry in entries)


def _left(task: Task, epochs: int, whole: float) -> float:
    """The part of `whole` that is left after some epochs."""
    return whole * max(0.0, 1 - epochs / task.job.epochs)


def _hours(plan: Plan, left: Iterable[tuple[Task, int]]) -> float | None:
    return _known(lambda: sum(_left(task, epochs, plan.hours(task)) for task, epochs in left))


def _known(hours: Callable[[], float]) -> float | None:
    """None where the speed of a network could not be measured."""
    try:
        return hours()
    except KeyError:
        return None


def _halving(plan: Plan) -> dict[str, Any]:
    first = plan.tasks[0]
    cell = sum(task.job.cell == first.job.cell for task in plan.tasks)
    steps = zip(survivors(cell, plan.rungs), ladder(first.job.epochs, plan.rungs), strict=True)
    images = cost_of(plan.tasks, plan.rungs, lambda task: task.images)
    return {
        "runs_of_a_cell": cell,
        "rungs": [{"runs": n, "epochs": epochs} for n, epochs in steps],
        "images": images,
        "share": images / sum(task.images for task in plan.tasks),
    }


def _halving_text(about: Mapping[str, Any]) -> str:
    told = ", ".join(f"{rung['runs']} to epoch {rung['epochs']}" for rung in about["rungs"])
    how = f"  successive halving, of the {about['runs_of_a_cell']} runs of a cell {told}"
    return f"{how}: {about['images']:,.0f} images, {about['share']:.1%} of the whole grid"


def _total(about: Mapping[str, Any], tasks: int) -> list[str]:
    if not tasks or (about["hours"] is None and about["halving"]):
        return []
    if about["hours"] is None:
        return ["  how long it takes is not known: the speed of some networks could not be measured"]
    hours, wall = f"{about['hours']:,.1f} hours of one worker", f"{clock(about['seconds'])} for {about['workers']}"
    return [f"  in all {hours}, {wall}" if about["halving"] else f"  {hours} to go, {wall}"]
