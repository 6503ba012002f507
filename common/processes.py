"""Which process of which machine something belongs to, whether it still lives, and who dies with whom."""

import multiprocessing
import os
import threading
import zlib
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """One boot of one machine, seen from one process namespace, within which a process's number says who it is."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""  # not Linux


def started(pid: int) -> str:
    """When a process of this machine started, in clock ticks; empty where there is none. Tells processes apart that
    had the same number one after the other."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def own_name() -> str:
    """A name for this process, as a file may bear it: unlike any other's on machines that share a disk."""
    return f"{os.getpid()}-{_short(machine())}"


def is_dead(name: str) -> bool:
    """Whether the process that had this `own_name` is known to live no more: one of another machine never is."""
    pid, _, where = name.partition("-")
    return bool(machine()) and where == _short(machine()) and not started(int(pid))


def die_with_the_parent() -> None:
    """End this process, which `multiprocessing` started, as soon as the one that started it has ended, however."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _short(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
