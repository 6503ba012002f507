"""What a sweep is going to do, and what it costs: said before it starts, kept for whoever asks how far it is."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.data import Data
from common.errors import UserError
from common.files import read_json, write_json
from common.progress import clock
from common.recipe import Recipe, recipe_from_dict
from common.run import identity
from common.sweep.grid import Job
from common.sweep.halving import cost_of, ladder, survivors
from common.sweep.rates import Speed
from common.sweep.state import Task, state_of
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


def as_text(plan: Plan, runs: Path, expected: Mapping[str, int]) -> str:
    """The plan to print. `expected`: images that an epoch of a data set that is not there would have."""
    states = {task: state_of(task.folder(runs)) for task in plan.tasks}
    counts = Counter(state.kind for state in states.values())
    n, blocked = len(plan.tasks), len(plan.blocked)
    lines = [
        f"sweep {plan.name}: {n + blocked:,} runs: {counts['done']:,} done, {counts['failed']:,} failed, "
        f"{counts['new'] + counts['partly']:,} to do, {blocked:,} not possible yet",
        f"  {'data set':<12}{'runs':>7}{'done':>7}{'images to train':>18}{'hours':>11}",
    ]
    for name, tasks in _by_competition(plan.tasks).items():
        left = [task for task in tasks if not states[task].settled(None)]
        done = sum(states[task].kind == "done" for task in tasks)
        images = sum(_left(task, states[task].epochs, task.images) for task in left)
        hours = _hours(plan, [(task, states[task].epochs) for task in left])
        lines.append(f"  {name:<12}{len(tasks):>7,}{done:>7,}{images:>18,.0f}{hours:>11}")
    for name, entries in _by_competition(plan.blocked).items():
        images = sum(expected.get(name, 0) * entry.job.epochs for entry in entries)
        about = f"{images:>18,.0f}" if images else f"{'?':>18}"
        lines.append(f"  {name:<12}{len(entries):>7,}{'-':>7}{about}{'':>11}  not possible yet")
    lines += [f"  {count:,} runs: {reason}" for reason, count in _reasons(plan.blocked).items()]
    if plan.rungs and plan.tasks:
        lines.append(_halving_text(plan))
    return "\n".join(lines + _total(plan, states))


def _by_competition(entries: Iterable) -> dict[str, list]:
    found = defaultdict(list)
    for entry in entries:
        found[entry.job.competition].append(entry)
    return dict(sorted(found.items()))


def _reasons(blocked: Iterable[Blocked]) -> dict[str, int]:
    return dict(Counter(entry.reason for entry in blocked).most_common())


def _left(task: Task, epochs: int, whole: float) -> float:
    """The part of `whole` that is left after some epochs."""
    return whole * max(0.0, 1 - epochs / task.job.epochs)


def _hours(plan: Plan, left: Iterable[tuple[Task, int]]) -> str:
    try:
        return f"{sum(_left(task, epochs, plan.hours(task)) for task, epochs in left):,.1f}"
    except KeyError:
        return "?"


def _halving_text(plan: Plan) -> str:
    first = plan.tasks[0]
    cell = sum(task.job.cell == first.job.cell for task in plan.tasks)
    steps = zip(survivors(cell, plan.rungs), ladder(first.job.epochs, plan.rungs), strict=True)
    told = ", ".join(f"{n} to epoch {epochs}" for n, epochs in steps)
    images = cost_of(plan.tasks, plan.rungs, lambda task: task.images)
    share = images / sum(task.images for task in plan.tasks)
    how = f"  successive halving, of the {cell} runs of a cell {told}"
    return f"{how}: {images:,.0f} images, {share:.1%} of the whole grid"


def _total(plan: Plan, states: Mapping) -> list[str]:
    if not plan.tasks:
        return []
    left = [(task, state.epochs) for task, state in states.items() if not state.settled(None)]
    if plan.rungs:
        try:
            hours = cost_of(plan.tasks, plan.rungs, plan.hours)
        except KeyError:
            return []
        return [f"  in all {hours:,.1f} hours of one worker, {clock(3600 * hours / plan.workers)} for {plan.workers}"]
    try:
        hours = sum(_left(task, epochs, plan.hours(task)) for task, epochs in left)
    except KeyError:
        return ["  how long it takes is not known: the speed of some networks could not be measured"]
    return [f"  {hours:,.1f} hours of one worker to go, {clock(3600 * hours / plan.workers)} for {plan.workers}"]
