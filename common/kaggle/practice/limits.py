"""What a session may take of this machine, watched from outside: memory, processes, disk."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

import psutil

GIGABYTE = 1024**3


@dataclass(frozen=True)
class Limits:
    """`memory`: bytes of all processes of a session, Kaggle's 30 GB, but not all that this machine has; `processes`:
    their number; `disk`: bytes that they write, Kaggle's 19.5 GB, but at most half of what is free."""

    memory: int = min(30 * GIGABYTE, psutil.virtual_memory().total * 3 // 4)
    processes: int = 1000
    disk: int = int(19.5 * GIGABYTE)


class Watch:
    """Over the descendants of the process `pid`, and what they write into `folders`."""

    def __init__(self, pid: int, folders: Sequence[Path], limits: Limits) -> None:
        self.process, self.folders, self.limits = psutil.Process(pid), folders, limits
        self.free = disk_usage(folders[0]).free
        self.room = min(limits.disk, self.free // 2)

    def taken_too_much(self) -> str:
        """What the session has taken more of than it may, or ""."""
        family = self._family()
        if len(family) > self.limits.processes:
            return f"it started more than {self.limits.processes:,} processes"
        # Memory that processes share counts for each; only where that is too much, the slower exact sum is taken.
        if _resident(family) > self.limits.memory and _proportional(family) > self.limits.memory:
            return f"it took more than {self.limits.memory / GIGABYTE:,.3g} GB of memory"
        if sum(map(written, self.folders)) > self.room or disk_usage(self.folders[0]).free < self.free // 10:
            return f"it wrote more than {self.room / GIGABYTE:,.3g} GB"
        return ""

    def _family(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return self.process.children(recursive=True)
        return []


def written(folder: Path) -> int:
    """Bytes on the disk of a file, or of what lies in a folder; links are not followed."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):  # it is gone
            yield path.lstat().st_blocks * 512


def _resident(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _proportional(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total
