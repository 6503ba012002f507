"""What a sweep costs beside its runs: its wall time over the sum of its runs' own times, for the workers it had.

    make bench-sweep [ARGS="--jobs 2 --runs 24"]

Small networks on EuroSAT's sample data, in processes that have imported torch already. The last worker is waited for,
which is part of it.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from common.options import Options
from common.recipe import Recipe
from common.sweep.drive import sweep
from common.sweep.grid import Job, optimizations
from common.sweep.local import InProcess, Processes
from common.sweep.plan import Plan, make_plan
from common.sweep.state import seconds_of, state_of
from competitions import load
from competitions.sources import in_folder
from competitions.studying import of_data, rows_of, train_task

WANTED = 1.05


@dataclass(frozen=True)
class Arguments:
    backbone: str = "resnet10t"
    """Trained from random weights."""
    input_size: int = 64
    """Pixels."""
    epochs: int = 2
    """Of each run."""
    jobs: int = 1
    """Workers, a core each."""
    runs: int = 24
    """Of the sweep, at most 60."""


def main(asked: Arguments) -> None:
    engine = InProcess(1) if asked.jobs == 1 else Processes(asked.jobs, 1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        load("eurosat").make_sample(root / "raw", 0)
        options = Options(runs=root / "runs", cache=root / "cache", device="cpu", workers=0)
        recipe = Recipe(
            backbone=asked.backbone,
            weights="none",
            input_size=asked.input_size,
            epochs=asked.epochs,
            batch_size=32,
            folds=2,
            only_folds=(0,),
        )
        plan = plan_of([Job("eurosat", cell) for cell in optimizations(recipe)][: asked.runs], root / "raw", options)
        warm = plan_of(
            [Job("eurosat", recipe.with_fields(seed=1 + i)) for i in range(asked.jobs)], root / "raw", options
        )
        sweep(replace(warm, name="warm"), engine, options, train_task)
        start = time.perf_counter()
        sweep(plan, engine, options, train_task)
        wall = time.perf_counter() - start
        engine.close()
        states = [state_of(task.folder(options.runs)).kind for task in plan.tasks]
        own = sum(seconds_of(task.folder(options.runs)) for task in plan.tasks)
    ratio = wall / (own / asked.jobs)
    print(f"{states.count('done')} of {len(states)} runs done by {asked.jobs} workers")
    print(f"  wall time                       {wall:8.1f} s")
    print(f"  the runs' own times / workers   {own / asked.jobs:8.1f} s")
    print(f"  ratio                           {ratio:8.3f}  wanted: at most {WANTED}")


def plan_of(jobs: list[Job], raw: Path, options: Options) -> Plan:
    source = in_folder(load("eurosat"), raw)
    return make_plan(
        "bench", jobs, lambda job: (raw, rows_of(source, of_data(job.recipe), options.runs, options.cache))
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
