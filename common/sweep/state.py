"""What has become of a run, read from its folder alone, so that every driver and every look at it agrees.

Beside what `common.run` writes, a run of a sweep leaves `sweep.log` (what it said), `sweep.json` (the seconds it took)
and, where it failed, `failed.json`.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.files import read_json, write_json
from common.run import now
from common.sweep.grid import Job

FAILED, TIMES, LOG = "failed.json", "sweep.json", "sweep.log"


@dataclass(frozen=True)
class Task:
    """A job whose data are there: its run's id, the folder of the data, and the images that its training looks at."""

    job: Job
    run: str
    data: Path
    images: int

    def folder(self, runs: Path) -> Path:
        return runs / self.job.competition / self.run


@dataclass(frozen=True)
class State:
    """`epochs`: how many of the first fold are trained, where the run is not done."""

    kind: Literal["done", "failed", "partly", "new"]
    epochs: int = 0
    reason: str = ""

    def settled(self, stop: int | None) -> bool:
        """Whether there is nothing to do for a run that goes to epoch `stop`, or to its end."""
        return self.kind in ("done", "failed") or (stop is not None and self.epochs >= stop)


def state_of(folder: Path) -> State:
    if (folder / "metrics.json").is_file():
        return State("done")
    epochs = len(scores_of(folder))
    if (folder / FAILED).is_file():
        return State("failed", epochs, read_json(folder / FAILED)["reason"])
    return State("partly" if epochs else "new", epochs)


def scores_of(folder: Path) -> list[float]:
    """The held-out score after each epoch of the first fold, by which unfinished runs are compared."""
    curves = sorted(folder.glob("fold-*/curve.csv"), key=lambda curve: int(curve.parent.name.removeprefix("fold-")))
    if not curves:
        return []
    with open(curves[0], encoding="utf-8", newline="") as file:  # pandas would take seconds for a grid of thousands
        return [float(row["score"] or "nan") for row in csv.DictReader(file)]


def note_failure(folder: Path, reason: str, crash: bool) -> None:
    """`crash`: not the recipe's fault, so that the next start tries again."""
    write_json(folder / FAILED, {"reason": reason, "crash": crash, "when": now()})


def forget_failure(folder: Path, every: bool) -> None:
    """Let a run be tried again: where it crashed, or whatever the reason was."""
    file = folder / FAILED
    if file.is_file() and (every or read_json(file)["crash"]):
        file.unlink(missing_ok=True)


def note_time(folder: Path, seconds: float, machine: str) -> None:
    """Add what an attempt took to what earlier ones did."""
    write_json(folder / TIMES, {"seconds": seconds + seconds_of(folder), "machine": machine})


def seconds_of(folder: Path) -> float:
    """What a run took in all, 0 where nobody noted it."""
    file = folder / TIMES
    return float(read_json(file)["seconds"]) if file.is_file() else 0.0
