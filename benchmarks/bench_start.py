"""Seconds from the start of the command to the end of its first step, on a CPU and with the images prepared.

    python -m benchmarks.bench_start [--backbone mobilenetv3_small_100]

The competitor's own command on sample data, in processes of its own. The first time prepares the images and the files
of the system, and does not count.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.table import Row, write

ROOT = Path(__file__).resolve().parents[1]
FIRST_STEP = """
import os, sys
from common.train.fold import Fold
step = Fold.train_step
def first_step(self, *batch):
    step(self, *batch)
    print("the first step is done", flush=True)
    os._exit(0)
Fold.train_step = first_step
from competitions.__main__ import run
sys.exit(run(sys.argv[1:]) or 1)
"""


@dataclass(frozen=True)
class Arguments:
    competition: str = "aptos"
    """Whose sample data."""
    backbone: str = "mobilenetv3_small_100"
    """A timm or torchvision name; its weights are random."""
    input_size: int = 224
    """Pixels."""
    rounds: int = 3
    """Starts that count."""
    csv: str = ""
    """File for the table."""


def seconds_to_first_step(arguments: Arguments, folder: str, seed: int) -> tuple[float, float]:
    """By the clock, and of a core, which says more on a machine that others use. The run is a new one each time: the
    seed is another."""
    words = [arguments.competition, "train", "--data", "sample", "--device", "cpu", "--weights", "none"]
    words += ["--backbone", arguments.backbone, "--input-size", str(arguments.input_size), "--seed", str(seed)]
    start, core = time.perf_counter(), core_seconds()
    with subprocess.Popen(
        [sys.executable, "-c", FIRST_STEP, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        done = any("the first step is done" in line for line in process.stdout)
        seconds = time.perf_counter() - start
    if not done:
        raise RuntimeError(f"no first step: exit code {process.returncode}")
    return seconds, core_seconds() - core


def core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Arguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [seconds_to_first_step(arguments, folder, seed) for seed in range(arguments.rounds + 1)]
    what = f"start to first step, cache warm, CPU, {arguments.backbone} at {arguments.input_size}"
    clock, core = zip(*others, strict=True)
    note = (
        f"{min(clock):.1f} to {max(clock):.1f} in {arguments.rounds} starts; {statistics.median(core):.1f} s of a core"
    )
    row = Row(what, statistics.median(clock), "s", at_most=10.0, note=note)
    write([row], arguments.csv)
    print(f"{what}: {row.ours:.1f} s ({note}); the first time, with images to draw and prepare: {first[0]:.1f} s")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
