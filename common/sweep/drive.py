"""The driver: claims what is not there yet, hands it to an engine, and goes on until every run is settled."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from common.files import write_text
from common.options import Options
from common.progress import Progress
from common.sweep.claims import Claims, remove_dead
from common.sweep.engine import Crash, Engine
from common.sweep.halving import rung
from common.sweep.plan import FOLDER, Plan, write_plan
from common.sweep.results import write_results
from common.sweep.state import Task, forget_failure, note_failure, state_of
from common.sweep.work import Order, Outcome, Trainer, do, pack, unpack

AGAIN_AFTER = 5.0
"""Seconds until runs that others work on are looked at again."""


def sweep(plan: Plan, engine: Engine, options: Options, train: Trainer, retry: bool = False) -> None:
    """Every task of a plan, to its end or as far as successive halving lets it.

    Any number of drivers may work on one plan, on one machine or on many that share storage, and any of them may be
    killed: each run is claimed by one of them at a time, and what is settled stays so.

    Args:
        retry: try again what failed by its own fault, too.
    """
    options = replace(options, runs=options.runs.resolve(), cache=options.cache.resolve())
    write_plan(plan, options.runs)
    for task in plan.tasks:
        forget_failure(task.folder(options.runs), every=retry)
    with Claims() as claims:
        driver = Driver(engine, options, train, claims)
        for number in range(plan.rungs + 1):
            driver.settle(rung(plan.tasks, options.runs, number, plan.rungs), f"rung {number + 1} of {plan.rungs + 1}")
    for task in plan.tasks:
        remove_dead(task.folder(options.runs))
    write_results(plan, options.runs, options.runs / FOLDER / plan.name / "results.csv")


class Driver:
    def __init__(self, engine: Engine, options: Options, train: Trainer, claims: Claims) -> None:
        self.engine, self.options, self.train, self.claims = engine, options, train, claims
        self.mark = storage_mark(options.runs)
        self.to_send: set[Task] = set()

    def settle(self, tasks: Sequence[tuple[Task, int | None]], what: str) -> None:
        """Have every task trained to its stop, whoever does it."""
        left = [entry for entry in tasks if not self.is_settled(*entry)]
        with Progress(len(tasks), what, "runs", done=len(tasks) - len(left)) as progress:
            while left:
                for order, outcome in self.engine.map(do, self.orders(left)):
                    self.take_in(order, outcome)
                    progress.update(int(isinstance(outcome, Crash) or outcome.kind == "ended"))
                left = [entry for entry in left if not self.is_settled(*entry)]
                progress.update(len(tasks) - len(left) - progress.count)  # what other drivers did
                if left and not self.to_send:
                    time.sleep(AGAIN_AFTER)

    def is_settled(self, task: Task, stop: int | None) -> bool:
        return state_of(task.folder(self.options.runs)).settled(stop)

    def orders(self, left: Sequence[tuple[Task, int | None]]) -> Iterator[Order]:
        """What is neither settled nor somebody else's, claimed when the engine has room for it."""
        for task, stop in left:
            folder = task.folder(self.options.runs)
            if self.is_settled(task, stop) or not self.claims.take(folder):
                continue
            if self.is_settled(task, stop):  # by another driver, between the two looks
                self.claims.release(folder)
                continue
            carried = pack(folder) if task in self.to_send else None
            self.to_send.discard(task)
            begun = state_of(folder).epochs > 0
            yield Order(task, self.options, self.train, self.mark, stop, self.engine.threads, begun, carried)

    def take_in(self, order: Order, outcome: Outcome | Crash) -> None:
        """What came of an order, into the run's folder; its claim is given back."""
        folder = order.task.folder(self.options.runs)
        if isinstance(outcome, Crash):
            note_failure(folder, outcome.reason, crash=True)
        elif outcome.kind == "send":
            self.to_send.add(order.task)
        elif outcome.folder is not None:
            unpack(outcome.folder, folder)
        state = state_of(folder)
        if state.kind == "failed":
            job = order.task.job
            print(f"failed: {job.competition} {job.recipe.backbone} {order.task.run}: {state.reason}", file=sys.stderr)
        self.claims.release(folder)


def storage_mark(runs: Path) -> str:
    """The name of a file in the folder of runs by which a worker knows that it sees the same storage."""
    runs.mkdir(parents=True, exist_ok=True)
    there = sorted(runs.glob(".storage-*"))
    if there:
        return there[0].name
    mark = f".storage-{uuid4().hex[:12]}"
    write_text(runs / mark, "workers of a sweep that see this file share the storage of its driver\n")
    return mark
