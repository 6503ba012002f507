"""Every benchmark that must hold, in one table: `make bench`, or with small numbers `make bench ARGS=--quick`.

Each runs in a process of its own, one after the other. The table is kept as CSV in `benchmarks/results/`, one file a
machine.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from benchmarks.table import Row, as_text, file_of_this_machine, machine, to_frame

BENCHMARKS = {
    "bench_feed": ["--images", "320", "--rounds", "1"],
    "bench_heavy": ["--images", "48", "--rounds", "1"],
    "bench_train": ["--images", "64", "--rounds", "1", "--input-size", "96"],
    "bench_device": ["--images", "640", "--rounds", "1"],
    "bench_memory": ["--images", "6000", "--few", "2000"],
    "bench_start": ["--rounds", "1"],
    "bench_together": ["--rounds", "1", "--cells", "4"],
}
"""What runs, and with which words a first look is quick."""


@dataclass(frozen=True)
class Arguments:
    quick: bool = False
    """Small numbers, a first look: not kept."""
    only: tuple[str, ...] = ()
    """Names of benchmarks; empty: all."""


def measured(name: str, words: list[str], folder: Path) -> pd.DataFrame:
    """The rows of one benchmark; one that says so where it came to no end."""
    file = folder / f"{name}.csv"
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *words, "--csv", str(file)], check=False)
    if file.is_file():
        return pd.read_csv(file)
    return to_frame([Row(name, None, "", note=f"ended with exit code {done.returncode}")])


def main(arguments: Arguments) -> None:
    print(f"on {machine()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tables = [
            measured(name, words if arguments.quick else [], Path(folder))
            for name, words in BENCHMARKS.items()
            if not arguments.only or name in arguments.only
        ]
    table = pd.concat([table for table in tables if len(table)], ignore_index=True)
    print(f"\n{as_text(table)}")
    if not (arguments.quick or arguments.only):
        file = file_of_this_machine()
        file.parent.mkdir(exist_ok=True)
        table.to_csv(file, index=False)
        print(f"written to {file}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
