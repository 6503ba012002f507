"""The verb `study`: a grid over the competitions, done by an engine; and how one run of it is trained."""

import sys
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from common import terminal
from common.command import parse
from common.data import Data
from common.errors import UserError, closest
from common.files import content_hash
from common.options import Options
from common.recipe import Recipe
from common.run import Run
from common.study.tables import read as read_table
from common.sweep.drive import sweep
from common.sweep.grid import Job, only, with_weights
from common.sweep.halving import rungs_for
from common.sweep.local import local_engine
from common.sweep.plan import Plan, as_text, earlier_rungs, make_plan, plan_facts
from common.sweep.rates import rates
from common.sweep.state import Task
from common.sweep.status import status_facts, status_text
from common.sweep.work import Watch
from competitions import load, names
from competitions.grids import GRIDS
from competitions.sources import Source, in_folder, source

OF_DATA = ("split", "folds", "only_folds", "external", "pseudo", "clean", "suspects", "suspect_share", "seed")
"""Fields of a recipe that say which rows are trained on."""

IMAGES_OF_CIFAR = 50_000


@dataclass(frozen=True)
class StudyArguments:
    grid: str = "paper"
    """paper, augmentation, clip, cifar10, small or small-study."""
    only: tuple[str, ...] = ()
    """Parts of the grid: competition=cct20 backbone=resnet50 optimizer=sgd …, several values of a field by repeating
    it."""
    plan: bool = False
    """Show what there is to do and what it costs, and stop."""
    json: bool = False
    """Print the same as JSON: with --plan the plan, else where the sweep stands at its end."""
    budget: str = ""
    """Images (2e6) or hours of one worker (40h) for the whole sweep: successive halving where the grid costs more."""
    retry: bool = False
    """Try again what failed by its own fault."""
    weights: str = "imagenet"
    """For all networks: 'imagenet', 'none', or a folder that `python -m common.models fetch` filled."""
    engine: Literal["local", "ray"] = "local"
    """Here, or on a Ray cluster."""
    address: str = ""
    """Of a Ray cluster that runs already (host:6379); empty: RAY_ADDRESS, or one on this machine alone."""
    jobs: int = 0
    """Local runs at once; 0: one a GPU, and one where there is none."""
    cpus: int = 0
    """CPU cores of a run; 0: the cores shared out (local), or one (Ray), or a GPU's part of them."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)
    """Here --data is 'sample', a folder with a folder or .zip for each data set by its name, or 'name=folder …'."""


def study(words: list[str]) -> None:
    asked = parse(StudyArguments, words, "python -m competitions study")
    if asked.grid not in GRIDS:
        raise UserError(f"grid: there is no '{asked.grid}'{closest(asked.grid, GRIDS)}; there are {', '.join(GRIDS)}")
    if asked.options.again:
        raise UserError("again: a sweep does each run once; train a single one again with `train --again`")
    check_data(asked.options.data)
    with terminal.aside(asked.json):
        answer = plan_and_start(asked)
    if asked.json:
        terminal.print_json(answer)


def plan_and_start(asked: StudyArguments) -> dict[str, Any]:
    """What is printed as JSON."""
    jobs = with_weights(only(GRIDS[asked.grid](), asked.only), asked.weights)
    say("looking for data and weights")
    plan = make_plan(name_of(asked), jobs, lambda job: found(job, asked.options))
    engine = engine_of(asked)
    try:
        measured = rates(plan.tasks, engine, asked.options.runs, asked.options.cache, asked.options.device)
        plan = replace(plan, rates=measured, workers=engine.workers, budget=asked.budget)
        rungs = earlier_rungs(plan, asked.options.runs)
        plan = replace(plan, rungs=rungs_of(plan, asked.budget) if rungs is None else rungs)
        print(as_text(plan, asked.options.runs, expected_images()), flush=True)
        if asked.plan:
            return plan_facts(plan, asked.options.runs, expected_images())
        return start(plan, engine, asked)
    finally:
        engine.close()


def name_of(asked: StudyArguments) -> str:
    """The grid's; a part of it, or the same on other data or from other weights, has a name of its own."""
    differing = [*sorted(asked.only), asked.weights.removeprefix("imagenet"), asked.options.data]
    return f"{asked.grid}-{content_hash(differing, 6)}" if any(differing) else asked.grid


def start(plan: Plan, engine, asked: StudyArguments) -> dict[str, Any]:
    """Does what is planned; where the sweep stands then."""
    if not plan.tasks:
        raise UserError("there is nothing that can be done: see above what data and weights are missing")
    from competitions.tested import score_tests

    sweep(plan, engine, asked.options, train_task, asked.retry)
    score_tests(plan.tasks, asked.options)
    results = asked.options.runs / "sweeps" / plan.name / "results.csv"
    print(f"{status_text(plan, asked.options.runs)}\none row a run: {results}")
    return status_facts(plan, asked.options.runs) | {"results": results}


def engine_of(asked: StudyArguments):
    if asked.engine == "local":
        return local_engine(asked.options, asked.jobs, asked.cpus)
    from common.sweep.ray_engine import RayEngine

    return RayEngine(asked.address, asked.options, asked.cpus)


def rungs_of(plan: Plan, budget: str) -> int:
    """Of successive halving, for a budget like '2e6' (images) or '40h' (hours of one worker)."""
    if not budget or not plan.tasks:
        return 0
    hours = budget.endswith("h")
    try:
        amount = float(budget.removesuffix("h").replace(",", "").replace("_", ""))
    except ValueError:
        amount = 0.0
    if not amount > 0:
        raise UserError(f"budget: '{budget}' is neither images (2e6) nor hours (40h)")
    if not hours:
        return rungs_for(plan.tasks, amount, lambda task: task.images, "images")
    if unknown := {task.job.recipe.backbone for task in plan.tasks} - set(timed(plan)):
        raise UserError(f"budget: the speed of {', '.join(sorted(unknown))} could not be measured; give it in images")
    return rungs_for(plan.tasks, amount, plan.hours, "hours")


def timed(plan: Plan) -> list[str]:
    """The backbones whose speed is known."""
    return [key.split()[0] for key in plan.rates or {}]


def expected_images() -> dict[str, int]:
    """Training images of each data set of the paper."""
    return read_table("datasets")["train_size"].to_dict() | {"cifar10": IMAGES_OF_CIFAR}


def check_data(data: str) -> None:
    """Raises UserError where `data`, as `found_source` has it, names no folder or no data set."""
    if "=" in data:
        if unknown := sorted(set(named_folders(data)) - set(names())):
            raise UserError(f"data: there is no data set '{unknown[0]}'; there are {', '.join(names())}")
    elif data not in ("", "sample") and not Path(data).is_dir():
        raise UserError(
            f"data: there is no folder {data}; give 'sample', or a folder with one for each data set by name"
        )


def named_folders(data: str) -> dict[str, str]:
    """`cct20=folder eurosat=archive.zip` → name → path."""
    return dict(word.partition("=")[::2] for word in data.split())


def found(job: Job, options: Options) -> tuple[Path, Data]:
    """See `common.sweep.plan.Find`."""
    raw = found_source(job.competition, options.data)
    return raw.raw, rows_of(raw, of_data(job.recipe), options.runs, options.cache)


@cache
def found_source(name: str, data: str) -> Source:
    """`data` as `StudyArguments` has it: 'sample', empty, a folder of folders, or 'name=folder name=folder'."""
    if data in ("", "sample"):
        return source(load(name), Options(data=data))
    if "=" in data:
        return source(load(name), Options(data=named_folders(data).get(name, "")))
    folder, archive = Path(data) / name, Path(data) / f"{name}.zip"
    folder = archive if archive.is_file() and not folder.is_dir() else folder
    return source(load(name), Options(data=str(folder)))


def train_task(task: Task, options: Options, watch: Watch | None) -> Run:
    """See `common.sweep.work.Trainer`. The rows of a data set are read once a process."""
    from common.train import train

    raw = folder_source(task.job.competition, task.data)
    data = rows_of(raw, of_data(task.job.recipe), options.runs, options.cache)
    return train(raw.competition, task.job.recipe, data, options, watch)


@cache
def folder_source(name: str, folder: Path) -> Source:
    return in_folder(load(name), folder)


def of_data(recipe: Recipe) -> Recipe:
    """The default recipe but for what says which rows are trained on."""
    return Recipe(**{name: getattr(recipe, name) for name in OF_DATA})


_ROWS: dict[tuple, Data] = {}


def rows_of(raw: Source, recipe: Recipe, runs: Path, cache: Path) -> Data:
    key = (raw.competition.name, raw.raw, recipe)
    if key not in _ROWS:
        _ROWS[key] = raw.data(recipe, Options(runs=runs, cache=cache))
    return _ROWS[key]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
