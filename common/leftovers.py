"""Files and folders in the making, beside what they are to become, and those that a killed process left behind."""

import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

from common.processes import is_dead, own_name

IN_THE_MAKING = re.compile(r"\..+\.(\d+-[0-9a-f]{8})\.tmp")
OLD = 24 * 3600.0
"""Seconds after which one of another machine, or of this one before it started anew, counts as left behind."""


def in_the_making(path: Path) -> Path:
    """What this process fills before it renames it to `path`."""
    return path.with_name(f".{path.name}.{own_name()}.tmp")


def sweep_up(folder: Path) -> None:
    """Remove what killed processes left in a folder. What cannot be removed stays."""
    for path in folder.glob(".*.tmp"):
        if (made := IN_THE_MAKING.fullmatch(path.name)) and (is_dead(made[1]) or _is_old(path)):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD
    except OSError:
        return False
