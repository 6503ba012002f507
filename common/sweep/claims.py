"""Who works on a run: claim files that work on shared storage, and outlive neither their owner nor a takeover.

`claim.0` in a run's folder is created exclusively, which file systems grant to one of many, network ones too. Its owner
touches it every few seconds. Where the owner is dead, `claim.1` is created the same way, and so on: the highest number
owns the run. So a takeover needs no deletion, in which two could each delete the other's.
"""

import json
import os
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from common.processes import machine, started

BEAT, PATIENCE = 10.0, 120.0
"""Seconds between two signs of life, and without one until an owner on another machine counts as dead."""


class Claims:
    """The runs that this process has claimed. A context manager: they are kept alive inside, and given back at its
    end."""

    def __init__(self, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self.beat, self.patience = beat, patience
        self.held: dict[Path, Path] = {}
        self.stop = threading.Event()
        self.heart = threading.Thread(target=self._keep_alive, daemon=True)

    def __enter__(self) -> "Claims":
        self.heart.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop.set()
        self.heart.join()
        for folder in list(self.held):
            self.release(folder)

    def take(self, folder: Path) -> bool:
        """Claim a run for this process. False: somebody alive has it."""
        folder.mkdir(parents=True, exist_ok=True)
        latest = claims_in(folder)[-1:]
        if latest and is_alive(latest[0], self.patience):
            return False
        dead = _read(latest[0]) if latest else {}
        mine = folder / f"claim.{_number(latest[0]) + 1 if latest else 0}"
        try:
            file = os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with open(file, "w", encoding="utf-8") as stream:
            json.dump(this_process() | {"token": uuid4().hex}, stream)
        if latest and not (latest[0].is_file() and _read(latest[0]) == dead):  # taken over and given back meanwhile
            mine.unlink(missing_ok=True)
            return False
        self.held[folder] = mine
        return True

    def release(self, folder: Path) -> None:
        """Give a run back; the claims of its dead owners go first, so that the highest number stays the owner's."""
        self.held.pop(folder)
        for claim in claims_in(folder):
            claim.unlink(missing_ok=True)

    def _keep_alive(self) -> None:
        while not self.stop.wait(self.beat):
            for claim in list(self.held.values()):
                with suppress(OSError):
                    os.utime(claim)


def claims_in(folder: Path) -> list[Path]:
    """The claims on a run, the valid one last."""
    return sorted((path for path in folder.glob("claim.*") if path.suffix[1:].isdigit()), key=_number)


def is_claimed(folder: Path, patience: float = PATIENCE) -> bool:
    """Whether somebody alive works on a run."""
    latest = claims_in(folder)[-1:]
    return bool(latest) and is_alive(latest[0], patience)


def remove_dead(folder: Path, patience: float = PATIENCE) -> None:
    """Of a run that needs no owner any more: the claims whose owner was killed before it could give them back."""
    there = claims_in(folder)
    if there and not is_alive(there[-1], patience):
        for claim in there:
            claim.unlink(missing_ok=True)


def is_alive(claim: Path, patience: float) -> bool:
    """Whether a claim's owner lives: on this machine that is known, elsewhere it shows by a recent touch."""
    owner = _read(claim)
    if owner.get("machine") and owner["machine"] == this_process()["machine"]:
        return started(owner["pid"]) == owner["started"]
    try:
        return storage_time(claim.parent) - claim.stat().st_mtime < patience
    except FileNotFoundError:
        return False


def storage_time(folder: Path) -> float:
    """The time by the clock that stamps the files of a folder, which on network storage is not this machine's."""
    probe = folder / f".clock-{uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def this_process() -> dict:
    """What a claim says of its owner; where `machine` is empty, signs of life alone count."""
    return {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid(), "started": started(os.getpid())}


def _read(claim: Path) -> dict:
    """What a claim says; nothing where it is gone, or so new that nothing is written yet."""
    with suppress(OSError, ValueError):
        return json.loads(claim.read_text(encoding="utf-8"))
    return {}


def _number(claim: Path) -> int:
    return int(re.sub(r".*\.", "", claim.name))
