"""A PostgreSQL server of a test's own: Debian's package, installed where the machine allows it, on a free port."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def programs() -> Path:
    """The folder of `initdb` and `postgres`. Skips the test, with a reason, where there is none and none can be had."""
    if not (found := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            pytest.skip("no PostgreSQL here, and it can be installed by root with apt-get alone")
        for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "postgresql"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(["apt-get", *words], env=environment, capture_output=True, timeout=600, check=False)
            if done.returncode:
                pytest.skip(f"PostgreSQL could not be installed: {done.stderr.decode().strip()[-200:]}")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of an empty database, whose server stops at the end. It refuses to run as root: there it is the user
    postgres of the package."""
    where, data = programs(), folder / "postgres"
    data.mkdir(mode=0o700)
    user = []
    if os.geteuid() == 0:
        user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(data, "postgres", "postgres")
        for parent in data.parents:
            if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)  # so that this user may pass
    made = [*user, where / "initdb", "-D", data, "-U", "tuner", "-A", "trust", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd="/")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [*user, where / "postgres", "-D", data, "-k", data, "-h", "127.0.0.1", "-p", str(port), "-F"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    try:
        until(lambda: answers(where, port), "the server answers")
        yield f"postgresql://tuner@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [*user, where / "pg_ctl", "-D", data, "stop", "-m", "immediate"], capture_output=True, check=False
        )
        process.wait(30)


def answers(where: Path, port: int) -> bool:
    asked = [where / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asked, check=False).returncode == 0


def until(happened, what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)
