"""The local engine: this process, or several of it, one a GPU."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from platform import node
from typing import Any

from common.errors import UserError
from common.options import MOST_PROCESSES, Options
from common.processes import die_with_the_parent
from common.sweep.engine import Crash

context = multiprocessing.get_context("spawn")


def local_engine(options: Options, jobs: int = 0, cpus: int = 0) -> "InProcess | Processes":
    """`jobs`: runs at once; 0: one a GPU, without one, one. `cpus`: threads of each; 0: the cores shared out. Raises
    UserError for more than a machine has."""
    if not 0 <= jobs <= MOST_PROCESSES:
        raise UserError(f"jobs: must be from 0 to {MOST_PROCESSES} (got {jobs})")
    gpus = gpus_here(options)
    jobs = jobs or max(1, gpus)
    cores = len(os.sched_getaffinity(0))
    if jobs == 1 and gpus <= 1:
        return InProcess(cpus)
    return Processes(jobs, cpus or max(1, cores // jobs), gpus)


def gpus_here(options: Options) -> int:
    if options.device == "cpu":
        return 0
    import torch

    return torch.cuda.device_count()


class InProcess:
    """One item after the other, here. `threads` 0 leaves torch's own number."""

    workers = 1

    def __init__(self, threads: int = 0) -> None:
        self.threads, self.name = threads, f"{node()}, {threads or 'all'} threads"

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, call(function, item)

    def close(self) -> None:
        pass


@dataclass
class Worker:
    process: BaseProcess
    pipe: Connection
    item: Any = None


class Processes:
    """`jobs` processes that stay, so that each imports torch once. One that dies is replaced."""

    def __init__(self, jobs: int, threads: int, gpus: int = 0) -> None:
        self.workers, self.threads, self.gpus = jobs, threads, gpus
        self.name = f"{node()}, {jobs} at once" + (f" on {gpus} GPUs" if gpus else f", {threads} threads")
        self.pool = [self._start(number) for number in range(jobs)]

    def _start(self, number: int) -> Worker:
        ours, theirs = context.Pipe()
        gpu = str(number % self.gpus) if self.gpus else None
        process = context.Process(target=serve, args=(theirs, gpu, self.threads))
        process.start()
        theirs.close()
        return Worker(process, ours)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        queue, idle, busy = iter(items), list(range(len(self.pool))), {}
        while True:
            while idle and (item := next(queue, self)) is not self:
                number = idle.pop(0)
                self._give(number, function, item)
                busy[self.pool[number].pipe] = number
            if not busy:
                return
            for pipe in wait(list(busy)):
                number = busy.pop(pipe)
                worker = self.pool[number]
                try:
                    result = pipe.recv()
                except (EOFError, ConnectionError):
                    result = self._replace(number)
                idle.append(number)
                yield worker.item, result

    def _give(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        try:
            self.pool[number].pipe.send((function, item))
        except ConnectionError:  # it died when it had nothing to do
            self._replace(number)
            self.pool[number].pipe.send((function, item))
        self.pool[number].item = item

    def _replace(self, number: int) -> Crash:
        process = self.pool[number].process
        process.join()
        self.pool[number].pipe.close()
        self.pool[number] = self._start(number)
        code = process.exitcode or 0
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
        return Crash(f"its process ended {how}; out of memory?")

    def close(self) -> None:
        for worker in self.pool:
            worker.process.terminate()
        for worker in self.pool:
            worker.process.join()
            worker.pipe.close()


def serve(pipe: Connection, gpu: str | None, threads: int) -> None:
    """A worker's life: call what comes, until there is nobody left to call for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver's business
    die_with_the_parent()  # a run without a driver would keep others from it
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(gpu)] if int(gpu) < len(visible) and visible[0] else gpu
    os.environ["OMP_NUM_THREADS"] = str(threads)
    while True:
        try:
            function, item = pipe.recv()
        except EOFError:
            return
        pipe.send(call(function, item))


def call(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except (UserError, OSError) as error:  # of a full disk, on which no failure can be noted either
        return Crash(str(error))
    except Exception as error:
        traceback.print_exc()
        return Crash(f"{type(error).__name__}: {error}")
