"""Commands in real processes that cost a fraction of a second: forked from one that has imported everything."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess, _children
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

PRELOADED = ["pytest", "tests.commands", "common.kaggle.official", "common.kaggle.notebook_run", "tests.practice_world"]

starting = Lock()
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(PRELOADED)


class Said(NamedTuple):
    exit_code: int
    """Negative: the signal that ended it."""
    out: str
    err: str


def start(
    function: Callable[..., int | None], *arguments: Any, folder: Path, environment: dict[str, str]
) -> BaseProcess:
    """`function(*arguments)` in a process with this environment and no other, in the folder, where its output goes.

    From any thread. `Process.start` asks all processes it knows of for their exit codes, which a pipe tells only once:
    a thread that waits for one of its own would read the pipe's end and call that 255. So they are not known of.
    """
    process = context.Process(target=_command, args=(function, arguments, folder, environment))
    with starting:
        process.start()
        _children.discard(process)
    return process


def finish(process: BaseProcess, folder: Path, timeout: float = 60.0) -> Said:
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"no end after {timeout} s: {(folder / 'stderr').read_text()[-2000:]}")
    return Said(process.exitcode, (folder / "stdout").read_text(), (folder / "stderr").read_text())


def _command(function: Callable, arguments: tuple, folder: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        with open(name, "wb", buffering=0) as file:
            os.dup2(file.fileno(), stream)
    sys.exit(function(*arguments))
