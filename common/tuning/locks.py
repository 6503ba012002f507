"""Which workers of a study live, and that one at a time chooses: locks that the system frees when a process dies.

Optuna's heartbeat knows databases alone; a lock needs no clock, and a worker that is stopped for an hour is not dead.
"""

import fcntl
import hashlib
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from common.locks import held


class Locks(Protocol):
    """What a worker holds while it works on a study. `worker` is its name, unlike any other's."""

    worker: str

    def choosing(self) -> "contextmanager[None]":
        """Held by one worker of the study at a time; the others wait."""

    def alive(self, worker: str) -> bool:
        """Whether the process of that name still works on the study, on whatever machine."""

    def close(self) -> None: ...


def new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class FileLocks:
    """In a folder on a disk that all workers share; over NFS where it has locks (version 4, or 3 with lockd)."""

    def __init__(self, folder: Path) -> None:
        self.worker, self.folder = new_name(), folder
        folder.mkdir(parents=True, exist_ok=True)
        self.own = ExitStack()
        with self.choosing():  # so that no one sees the file before it is locked
            for other in folder.glob("*-*"):
                self.alive(other.name)  # or it goes
            self.own.enter_context(held(folder / self.worker))

    @contextmanager
    def choosing(self) -> Iterator[None]:
        with held(self.folder / "choosing"):
            yield

    def alive(self, worker: str) -> bool:
        try:
            with open(self.folder / (worker or "nobody"), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        (self.folder / worker).unlink(missing_ok=True)
        return False

    def close(self) -> None:
        self.own.close()
        (self.folder / self.worker).unlink(missing_ok=True)


class DatabaseLocks:
    """Advisory locks of one PostgreSQL session; the server frees them when the connection breaks, and looks after a
    minute of silence whether the other side still answers."""

    def __init__(self, url: str, study: str) -> None:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self.worker, self.study = new_name(), study
        looks = "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
        engine = create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"keepalives_idle": 60, "options": looks},
        )
        self.session = engine.connect()
        self.ask("pg_advisory_lock", self.worker)

    def ask(self, function: str, name: str):
        """What the server's `function` says of the lock of this name: a whole number of 64 bits."""
        from sqlalchemy import text

        number = int.from_bytes(hashlib.blake2b(f"{self.study}/{name}".encode(), digest_size=8).digest(), signed=True)
        return self.session.execute(text(f"select {function}(:number)"), {"number": number}).scalar()

    @contextmanager
    def choosing(self) -> Iterator[None]:
        self.ask("pg_advisory_lock", "")
        try:
            yield
        finally:
            self.ask("pg_advisory_unlock", "")

    def alive(self, worker: str) -> bool:
        if worker == self.worker:
            return True  # a session is given its own lock again
        free = self.ask("pg_try_advisory_lock", worker)
        if free:
            self.ask("pg_advisory_unlock", worker)
        return not free

    def close(self) -> None:
        self.session.close()
