"""One command in several processes, as torchrun starts them, forked so that they need not import everything."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch.distributed import TCPStore

from competitions.__main__ import run

context = multiprocessing.get_context("fork")


class Ended(NamedTuple):
    exit_code: int
    """Of the process that ended first in an error; 0 where none did."""
    out: str
    err: str
    """What all of them said."""


def together(
    words: list[str], folder: Path, first: Callable[[int], None] | None = None, kill: Callable[[], bool] | None = None
) -> Ended:
    """The command in two processes, which begin with `first(rank)`; where one fails, the other is ended. `kill`: the
    second one is killed when it says so."""
    folder.mkdir(exist_ok=True)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = [context.Process(target=_process, args=(rank, store.port, words, folder, first)) for rank in (0, 1)]
    for process in processes:
        process.start()
    until, code = time.monotonic() + 100, 0
    while any(process.is_alive() for process in processes) and time.monotonic() < until:
        if kill and kill():
            processes[1].kill()
        failed = [process.exitcode for process in processes if process.exitcode]
        if failed:
            code = code or failed[0]
            for process in processes:
                process.terminate()
        time.sleep(0.02)
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            raise TimeoutError((folder / "err").read_text())
        code = code or process.exitcode
    return Ended(code, (folder / "out").read_text(), (folder / "err").read_text())


def _process(rank: int, port: int, words: list[str], folder: Path, first: Callable[[int], None] | None) -> None:
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "test"}
    for stream, name in ((1, "out"), (2, "err")):
        with open(folder / name, "ab", buffering=0) as file:
            os.dup2(file.fileno(), stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)  # not those of pytest
    if first:
        first(rank)
    sys.exit(run(words))
