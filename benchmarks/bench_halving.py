"""Successive halving beside the whole grid that it saves: what it finds, and for how many images.

    make bench-halving

RegNetX-200MF from ImageNet weights on camera-trap frames at 64 pixels, 36 ways to optimize, 12 epochs; sized for less
than 20 minutes on two cores. Both are trained, in folders of their own; whether the two winners differ is asked over
seeds, by a paired bootstrap on the held-out frames. Finished runs are reused, so that it may be stopped and started
again.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import tyro

from common.errors import UserError
from common.options import Options
from common.paired import compare
from common.recipe import Recipe
from common.run import Run
from common.sweep.drive import sweep
from common.sweep.engine import Engine
from common.sweep.grid import LEARNING_RATES, OPTIMIZATIONS, Job, optimizations
from common.sweep.halving import rungs_for
from common.sweep.local import local_engine
from common.sweep.plan import Plan, make_plan
from common.sweep.state import Task, scores_of, state_of
from competitions import load
from competitions.sources import in_folder
from competitions.studying import of_data, rows_of, train_task

CCT20 = load("cct20")
DECAYS = (1e-3, 1e-5, 0.0)
SHARE = 0.25
"""Of the grid's images, that successive halving may take."""


@dataclass(frozen=True)
class Arguments:
    data: Path = Path("../shared/data/cct20")
    """Frames in the CCT-20 layout."""
    weights: Path = Path("../shared/weights")
    """Folder with `<backbone>.safetensors`."""
    backbone: str = "regnetx_002"
    """A network whose weights are there."""
    input_size: int = 64
    """Pixels."""
    epochs: int = 12
    """Of each run that goes to its end."""
    seeds: int = 3
    """Of the two winners."""
    jobs: int = 2
    """Runs at once, a core each."""
    to: Path = Path("runs/bench-halving")
    """Folder of the runs."""


def main(asked: Arguments) -> None:
    engine = local_engine(Options(device="cpu"), asked.jobs, cpus=1)
    try:
        grid = plan_of(asked, grid_of(asked), "grid")
        budget = SHARE * sum(task.images for task in grid.tasks)
        rungs = rungs_for(grid.tasks, budget, lambda task: task.images, "images")
        halving = replace(plan_of(asked, grid_of(asked), "halving"), rungs=rungs)
        for plan in (grid, halving):
            sweep(replace(plan, workers=engine.workers), engine, options_of(asked, plan.name), train_task)
        report(asked, engine, grid, halving)
    finally:
        engine.close()


def grid_of(asked: Arguments) -> list[Job]:
    recipe = Recipe(
        backbone=asked.backbone,
        weights=str(asked.weights),
        input_size=asked.input_size,
        epochs=asked.epochs,
        batch_size=32,
        split="paper",
    )
    return [Job("cct20", cell) for cell in optimizations(recipe, OPTIMIZATIONS, LEARNING_RATES, DECAYS)]


def options_of(asked: Arguments, name: str) -> Options:
    return Options(runs=asked.to / name, cache=asked.to / "cache", device="cpu", workers=0)


def plan_of(asked: Arguments, jobs: list[Job], name: str) -> Plan:
    raw, options = in_folder(CCT20, asked.data), options_of(asked, name)
    plan = make_plan(
        name, jobs, lambda job: (asked.data, rows_of(raw, of_data(job.recipe), options.runs, options.cache))
    )
    if plan.blocked:
        raise UserError(plan.blocked[0].reason)
    return plan


def report(asked: Arguments, engine: Engine, grid: Plan, halving: Plan) -> None:
    winners = {plan.name: winner(plan, options_of(asked, plan.name).runs) for plan in (grid, halving)}
    runs = over_seeds(asked, engine, [task.job.recipe for task in winners.values()])
    compared = compare(CCT20, runs)
    whole = sum(trained(task, options_of(asked, "grid").runs) for task in grid.tasks)
    rows = []
    for number, plan in enumerate((grid, halving)):
        root, recipe = options_of(asked, plan.name).runs, winners[plan.name].job.recipe
        images = sum(trained(task, root) for task in plan.tasks)
        rows.append(
            {
                "": "whole grid" if plan is grid else "successive halving",
                "to the end": sum(state_of(task.folder(root)).kind == "done" for task in plan.tasks),
                "images": f"{images:,.0f}",
                "share": f"{images / whole:.1%}",
                "its best": f"{recipe.optimizer}+{recipe.schedule} {recipe.learning_rate:g} {recipe.weight_decay:g}",
                "score": f"{Run(winners[plan.name].folder(root)).metrics['score']:.4f}",
                f"mean of {asked.seeds} seeds": f"{compared.scores[number]:.4f}",
            }
        )
    print(f"{asked.backbone} at {asked.input_size}, {len(grid.tasks)} configurations, {asked.epochs} epochs, cis_val")
    print(pd.DataFrame(rows).to_string(index=False))
    difference, low, high = compared.difference(0, 1)
    if rows[0]["its best"] == rows[1]["its best"]:
        print("successive halving finds the whole grid's best")
    else:
        verdict = "beyond" if low > 0 or high < 0 else "within"
        print(
            f"the grid's best scores {difference:+.4f} more (95% interval {low:+.4f} to {high:+.4f}): {verdict} noise"
        )


def winner(plan: Plan, root: Path) -> Task:
    """The finished run with the best score, the first of equals."""
    done = [task for task in plan.tasks if state_of(task.folder(root)).kind == "done"]
    return max(done, key=lambda task: Run(task.folder(root)).metrics["score"])


def trained(task: Task, root: Path) -> float:
    """Images that a run looked at: to its end, until it was stopped, or to the end of the epoch in which it failed."""
    epochs = len(scores_of(task.folder(root))) + (state_of(task.folder(root)).kind == "failed")
    return task.images * epochs / task.job.epochs


def over_seeds(asked: Arguments, engine: Engine, recipes: list[Recipe]) -> list[list[Run]]:
    seeds = range(asked.seeds)
    jobs = [Job("cct20", recipe.with_fields(seed=seed)) for recipe in recipes for seed in seeds]
    plan, options = plan_of(asked, jobs, "grid"), options_of(asked, "grid")
    sweep(replace(plan, name="seeds"), engine, options, train_task)
    run_of = {(task.job.recipe): Run(task.folder(options.runs)) for task in plan.tasks}
    return [[run_of[recipe.with_fields(seed=seed)] for seed in seeds] for recipe in recipes]


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments))
    except UserError as error:
        sys.exit(f"error: {error}")
