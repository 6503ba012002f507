"""The command line as processes that are killed, see `tests.forked`: their imports are made once."""
# ruff: noqa: F401

import itertools
import os
import signal
import sys
import time
from pathlib import Path

import albumentations
import anyio._backends._asyncio
import matplotlib.backends.backend_agg
import plotly.graph_objects
import plotly.io
import pyarrow.dataset
import pyarrow.parquet
import sklearn.ensemble
import torch.utils.tensorboard
import tyro._backends._tyro_backend
from optuna import importance, visualization

import common.train
from common.kaggle import csv_file, official, polling, reasons
from common.kaggle import submit as sending
from common.kaggle.practice import server
from common.sweep import drive
from common.sweep.grid import Job
from common.tuning import report, search
from competitions import grids, studying, submitting, tested, tuning, verbs
from competitions.__main__ import run
from tests.small_data import RECIPE

STEPS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "fcntl.flock", "sqlite3.connect")
STEPS += ("socket.connect", "http.client.send")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Steps:
    """Counts what the process does to files and connections, as an audit hook, and kills it before step number
    `last`."""

    def __init__(self, last: int | None) -> None:
        self.last, self.count, self.process = last, itertools.count(1), os.getpid()
        self.done = 0

    def __call__(self, event: str, arguments: tuple) -> None:
        if not (event in STEPS or (event == "open" and writes(*arguments))) or os.getpid() != self.process:
            return
        self.done = next(self.count)
        if self.done == self.last:
            os.kill(self.process, signal.SIGKILL)


def writes(path, _mode, flags: int) -> bool:
    return isinstance(path, str | os.PathLike) and bool(flags & WRITING) and not str(path).startswith("/dev/")


def command(world: Path, words: tuple[str, ...], last: int | None) -> int:
    """`python -m competitions` in the folder `world`, in a session of its own by which its children are known. The
    last line of standard error says how many steps it took, and seconds."""
    os.setsid()
    os.chdir(world)
    drive.AGAIN_AFTER = search.PATIENCE = 0.1
    sending.LOOK_EVERY = polling.FIRST_PAUSE = reasons.FIRST_PAUSE = 0.05
    grids.GRIDS["tiny"] = tiny_grid
    steps = Steps(last)
    sys.addaudithook(steps)
    begun = time.monotonic()
    code = run(list(words))
    print(f"{steps.done} steps in {time.monotonic() - begun:.3f} s", file=sys.stderr)
    return code


def tiny_grid() -> list[Job]:
    recipe = RECIPE.with_fields(only_folds=(0,), epochs=2)
    return [Job("aptos", recipe.with_fields(learning_rate=rate)) for rate in (1e-2, 3e-3, 1e-3)]
