"""Disks that run full or cannot be written, and bits that flip on them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from common import prepare
from tests import forked
from tests.forked import Said
from tests.torture.commands import Steps, command

SIZE = 64 << 20
"""Bytes of a small disk."""
FILLER = ".filler"


@contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[Path]:
    """Skips the test where this machine does not let us mount."""
    at.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["mount", *arguments, str(at)], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def small_disk(at: Path):
    return mounted("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", at=at)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Not to be written, not by root either."""
    with mounted("--bind", str(folder), at=folder):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield


def used(disk: Path) -> int:
    about = os.statvfs(disk)
    return (about.f_blocks - about.f_bfree) * about.f_frsize


def fill(disk: Path, free: int = 0) -> None:
    """Leave so many bytes."""
    about = os.statvfs(disk)
    take = about.f_bavail * about.f_frsize - free
    if take <= 0:
        return
    file = os.open(disk / FILLER, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, os.fstat(file).st_size, take)
    os.close(file)


def make_space(disk: Path) -> None:
    (disk / FILLER).unlink(missing_ok=True)


class FullAt(Steps):
    """The disk is full from the moment before step number `last`."""

    def __init__(self, last: int, disk: Path) -> None:
        super().__init__(None)
        self.full_at, self.disk = last, disk

    def __call__(self, event: str, arguments: tuple) -> None:
        super().__call__(event, arguments)
        if self.done == self.full_at:
            self.full_at = 0
            fill(self.disk)


def command_on_disk(world: Path, words: tuple[str, ...], full_at: int | None) -> int:
    """The command in a world that is a small disk of its own."""
    prepare.DISK_MARGIN = 0
    if full_at:
        sys.addaudithook(FullAt(full_at, world))
    return command(world, words, None)


def run_on_disk(world: Path, words: tuple[str, ...], full_at: int | None = None, url: str = "") -> Said:
    said = world.with_name(f"{world.name}.said")
    said.mkdir(exist_ok=True)
    environment = {"HOME": str(world / "home"), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    environment |= {"PRACTICE_URL": url} if url else {}
    process = forked.start(command_on_disk, world, words, full_at, folder=said, environment=environment)
    return forked.finish(process, said, timeout=90)


def errors(said: Said) -> list[str]:
    """The lines that say what is wrong; none of them all is as it should be but one that begins with `error:`."""
    return [line for line in said.err.splitlines() if line.startswith(("error:", "Traceback", "Exception", "  File"))]


def flip(path: Path, random: Random, bits: int = 1) -> str:
    """Flip bits of a file in its place; says which."""
    content = bytearray(path.read_bytes())
    places = sorted(random.randrange(8 * len(content)) for _ in range(bits))
    for place in places:
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)
    return f"{path.name}, bits {places}"
