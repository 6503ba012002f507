"""Folders in which commands are killed, and what they come to: every file of them but what tells the time."""

import io
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from common.train.checkpoint import load_state
from tests import forked
from tests.forked import Said, finish

forked.context.set_forkserver_preload([*forked.PRELOADED, "tests.torture.commands"])

TIMES = {"started", "finished", "at", "created", "updated", "ref", "rates", "seconds", "images_per_second", "checksum"}
"""What differs from one start to the next: moments, speeds, numbers that a leaderboard counts on from the time, and the
checksums over these."""
NOT_COMPARED = (".lock", ".log", ".journal", "-wal", "-shm", "environment.json", "rates.json", ".html")
"""Empty locks; what was said; journals, whose trials are compared; what a machine is and how fast; a page with random
names in it."""


OMITTED = re.compile(r"/tensorboard/|^home/|/sweep\.json$")
"""Sweep.json counts the seconds of attempts that were not killed, so that there may be none."""
STORAGE = re.compile(r"\.storage-[0-9a-f]{12}$")
"""A mark of the folder of runs, with a random name."""


@dataclass(frozen=True)
class Moment:
    """When a command is killed: so many seconds after its start, or before a step of its own; None: not at all."""

    seconds: float | None = None
    step: int | None = None

    def __str__(self) -> str:
        return f"step {self.step}" if self.step else f"{self.seconds:.3f} s"


UNDISTURBED = Moment()


def start(world: Path, words: tuple[str, ...], at: Moment = UNDISTURBED, name: str = "said", url: str = ""):
    from tests.torture.commands import command

    said = world.with_name(f"{world.name}.{name}")
    said.mkdir(exist_ok=True)
    (said / "stderr").unlink(missing_ok=True)
    environment = {"HOME": str(world / "home"), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    if url:
        environment["PRACTICE_URL"] = url
    return forked.start(command, world, words, at.step, folder=said, environment=environment), said


def run(world: Path, words: tuple[str, ...], at: Moment = UNDISTURBED, url: str = "") -> tuple[Said, int]:
    """The command in that world, to its end or to the moment when it is killed, and its session, for its children are
    left to themselves."""
    process, said = start(world, words, at, url=url)
    if at.seconds is not None:
        while not (said / "stderr").exists():  # it is there when the command begins
            time.sleep(0.001)
        process.join(at.seconds)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    return finish(process, said), process.pid


def outcome(world: Path) -> dict[str, object]:
    """Every file below `world` by its path, with what is in it as far as it is to be the same each time."""
    files = sorted(path for path in world.rglob("*") if path.is_file())
    names = [(path, path.relative_to(world).as_posix()) for path in files]
    return {STORAGE.sub(".storage", name): content(path) for path, name in names if not OMITTED.search(name)}


def content(path: Path) -> object:
    if path.suffix == ".json" and not path.name.endswith(NOT_COMPARED):
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".csv":
        return without_times(pd.read_csv(io.BytesIO(path.read_bytes()), dtype=str))
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as ledger:
            return without_times(pd.read_sql("SELECT * FROM submissions ORDER BY ref", ledger))
    if path.suffix == ".journal":
        return trials(path)
    if path.name == "last.state":
        return str(timeless(load_state(path, torch.device("cpu"))))
    return "" if path.name.endswith(NOT_COMPARED) else path.read_bytes()


def timeless(value: object) -> object:
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if name not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def without_times(table: pd.DataFrame) -> str:
    return table.drop(columns=[name for name in table if name in TIMES]).to_csv(index=False)


def trials(journal: Path) -> list[tuple]:
    """(parameters, state, score, scores of the epochs, runs) of every trial of the study in a journal."""
    from optuna import load_study

    from common.tuning.study import storage_at

    study = load_study(study_name=None, storage=storage_at(str(journal)))
    return [
        (trial.params, trial.state.name, trial.value, trial.intermediate_values, trial.user_attrs["runs"])
        for trial in study.get_trials()
    ]


def difference(one: dict[str, object], two: dict[str, object]) -> str:
    """The names of the files that differ, nothing where none do."""
    wrong = {f"-{name}" for name in one.keys() - two.keys()} | {f"+{name}" for name in two.keys() - one.keys()}
    wrong |= {f"~{name}" for name in one.keys() & two.keys() if one[name] != two[name]}
    return ", ".join(sorted(wrong))


def alive(session: int) -> list[str]:
    """The commands of the processes of a session that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().rpartition(")")
            fields = rest.split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(name)
    return found


def gone(session: int, patience: float = 10.0) -> bool:
    """Whether nothing of a session lives any more after so many seconds."""
    deadline = time.monotonic() + patience
    while alive(session):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def copy(base: Path, world: Path) -> Path:
    shutil.rmtree(world, ignore_errors=True)
    shutil.copytree(base, world)
    return world
