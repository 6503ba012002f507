"""One run, wherever it is done: the path that every engine shares."""

import io
import os
import platform
import shutil
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from common.errors import MachineError, UserError
from common.options import Options
from common.recipe import Recipe
from common.run import Busy, Run
from common.sweep.state import LOG, Task, forget_failure, note_failure, note_time

Watch = Callable[[int, int, float | None], bool]
Trainer = Callable[[Task, Options, Watch | None], Run]
"""How a competition trains a task: a function of a module, for it is sent to other processes by name."""

NOT_CARRIED = ("claim.", ".")


@dataclass(frozen=True)
class Order:
    """What a worker is to do: train a task to the end of epoch `stop`, or to its end.

    `mark` is a file in the driver's folder of runs. A worker that does not see it has no share in the driver's storage:
    it works in a folder of its own and sends the run back, and wants what there is of a `begun` run sent along.
    """

    task: Task
    options: Options
    train: Trainer
    mark: str
    stop: int | None = None
    threads: int = 0
    begun: bool = False
    carried: bytes | None = None

    @property
    def recipe(self) -> Recipe:
        return self.task.job.recipe


@dataclass(frozen=True)
class Outcome:
    """`kind`: 'ended' (finished, stopped at its rung, or failed: its folder says which), 'busy' (another process holds
    the run), or 'send' (the worker wants the folder)."""

    kind: Literal["ended", "busy", "send"]
    folder: bytes | None = None


def do(order: Order) -> Outcome:
    """Train, and leave result or reason in the run's folder; sends the folder back where storage is not shared."""
    runs, apart = order.options.runs, not (order.options.runs / order.mark).is_file()
    options = order.options
    if apart:
        home = Path(tempfile.gettempdir()) / f"sweep-{order.mark}"
        options = replace(options, runs=home / "runs", cache=home / "cache")
        runs = options.runs
    folder = order.task.folder(runs)
    if apart and order.begun and not (folder / "run.json").is_file():
        if order.carried is None:
            return Outcome("send")
        unpack(order.carried, folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        attempt(order, options, folder)
    except Busy:
        return Outcome("busy")
    if not apart:
        return Outcome("ended")
    packed = pack(folder)
    shutil.rmtree(folder)  # or a later rung, done elsewhere, would be forgotten when the run comes here again
    return Outcome("ended", packed)


def attempt(order: Order, options: Options, folder: Path) -> None:
    """Train with everything that is said going to the run's log. What a user can mend is a failure of the run; what
    the machine does, and any other exception, is a crash, which the next start tries again."""
    where = f"{platform.node()}, process {os.getpid()}"
    start = time.monotonic()
    forget_failure(folder, every=True)
    with open(folder / LOG, "a", buffering=1) as log, redirect_stderr(log), redirect_stdout(log):
        print(f"{time.strftime('%F %T')} begun on {where}")
        try:
            run = train(order, options)
            print(f"{time.strftime('%F %T')} {'finished' if run.finished else 'stopped at its rung'}")
        except Busy:
            raise
        except UserError as error:
            print(f"failed: {error}")
            note_failure(folder, str(error), crash=isinstance(error, MachineError))
        except Exception as error:
            traceback.print_exc()
            note_failure(folder, f"{type(error).__name__}: {error} (on {where}; see {folder / LOG})", crash=True)
    note_time(folder, time.monotonic() - start, platform.node())


def train(order: Order, options: Options) -> Run:
    if order.threads:
        import torch

        torch.set_num_threads(order.threads)
    run = order.train(order.task, options, order.stop and stopping_at(order.stop, order.task))
    if run.id != order.task.run:
        raise UserError(
            f"the data in {order.task.data} make run {run.id} here and {order.task.run} where the sweep was started: "
            "give every machine the same"
        )
    return run


def stopping_at(stop: int, task: Task) -> Watch | None:
    """Stops in the first fold: others are trained once it is decided that the run goes to its end."""
    first = min(task.job.recipe.only_folds, default=0)
    return None if stop >= task.job.epochs else lambda fold, epoch, score: fold == first and epoch >= stop


def pack(folder: Path) -> bytes:
    """A run's folder as a tar archive, without claims and locks."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in _carried(folder):
            tar.add(path, path.relative_to(folder))
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """`pack` undone; last come the curve and metrics.json, which say how far a run is. What is there and not in it is
    older, and goes: weights of epochs that were surpassed, the state of a run that is finished."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = sorted(tar.getmembers(), key=lambda member: member.name.endswith(("curve.csv", "metrics.json")))
        names = {member.name for member in members}
        for member in members:
            tar.extract(member, folder, filter="data")
    for path in _carried(folder):
        if path.relative_to(folder).as_posix() not in names:
            path.unlink()


def _carried(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(NOT_CARRIED))
