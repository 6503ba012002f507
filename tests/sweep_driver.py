"""A grid over sample data, and a driver of it that tests start as a process and kill.

`python -m tests.sweep_driver ROOT [local JOBS | ray ADDRESS]`
"""

import sys
from dataclasses import replace
from pathlib import Path

from common.options import Options
from common.recipe import Recipe
from common.sweep.drive import sweep
from common.sweep.engine import Engine
from common.sweep.grid import Job, optimizations
from common.sweep.local import InProcess, Processes
from common.sweep.plan import Plan, make_plan
from competitions import load
from competitions.sources import in_folder
from competitions.studying import of_data, rows_of, train_task

TINY = Recipe(
    backbone="test_resnet",
    weights="none",
    input_size=32,
    epochs=1,
    batch_size=32,
    split="folds",
    folds=2,
    only_folds=(0,),
)


def tiny_grid() -> list[Job]:
    """The paper's 60 ways to optimize, for a very small network."""
    return [Job("eurosat", recipe) for recipe in optimizations(TINY)]


def options_in(root: Path) -> Options:
    return Options(runs=root / "runs", cache=root / "cache", device="cpu", workers=0)


def plan_of(jobs: list[Job], raw: Path, options: Options) -> Plan:
    source = in_folder(load(jobs[0].competition), raw)
    find = lambda job: (raw, rows_of(source, of_data(job.recipe), options.runs, options.cache))  # noqa: E731
    return make_plan("tiny", jobs, find)


def engine_of(kind: str, value: str, options: Options) -> Engine:
    if kind == "ray":
        from common.sweep.ray_engine import RayEngine

        return RayEngine(value, options)
    return InProcess(1) if int(value) == 1 else Processes(int(value), 1)


def main(root: Path, kind: str, value: str) -> None:
    options = options_in(root)
    plan = plan_of(tiny_grid(), root.parent / "raw", options)
    engine = engine_of(kind, value, options)
    try:
        sweep(replace(plan, workers=engine.workers), engine, options, train_task)
    finally:
        engine.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
