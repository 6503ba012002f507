"""The memory of notebooks: their versions and the sessions that run them, in SQLite."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from common.kaggle.practice.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS kernel_versions (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL, number INTEGER NOT NULL, request TEXT NOT NULL,
    datasets TEXT NOT NULL, created REAL NOT NULL, UNIQUE (slug, number));
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL, number INTEGER NOT NULL, ref INTEGER UNIQUE, status TEXT NOT NULL,
    failure TEXT, created REAL NOT NULL)
"""


@dataclass(frozen=True)
class KernelVersion:
    """`request` is the SaveKernel that made it; `datasets` gives the version of each dataset that it is to see."""

    id: int
    slug: str
    number: int
    request: dict
    datasets: dict[str, int]
    created: float

    @property
    def internet(self) -> bool:
        """As on Kaggle there is one where nothing is said."""
        return self.request.get("enableInternet") is not False


@dataclass(frozen=True)
class Session:
    """One run of a version: as it was pushed, or for the submission `ref`. `status` is QUEUED, RUNNING, COMPLETE or
    ERROR with its `failure`."""

    id: int
    slug: str
    number: int
    ref: int | None
    status: str
    failure: str | None
    created: float
    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f"{self.id}.lock")

    @property
    def working(self) -> Path:
        return self.folder / "kaggle" / "working"


class KernelStore:
    """Beside the uploads, in the same file and folder."""

    def __init__(self, store: Store) -> None:
        self.state = store.state
        self.database = store.tables(SCHEMA)

    def add_version(self, slug: str, request: dict, datasets: dict[str, int]) -> KernelVersion:
        with self.database.transaction() as connection:
            count = connection.execute("SELECT COUNT(*) FROM kernel_versions WHERE slug = ?", [slug]).fetchone()[0]
            row = connection.execute(
                "INSERT INTO kernel_versions (slug, number, request, datasets, created) "
                "VALUES (?, ?, ?, ?, ?) RETURNING *",
                [slug, count + 1, json.dumps(request), json.dumps(datasets), time.time()],
            )
            return _version(row.fetchone())

    def versions(self, slug: str) -> list[KernelVersion]:
        """Latest first."""
        query = "SELECT * FROM kernel_versions WHERE slug = ? ORDER BY number DESC"
        with self.database.transaction() as connection:
            return [_version(row) for row in connection.execute(query, [slug])]

    def add_session(self, version: KernelVersion, ref: int | None = None, failure: str | None = None) -> None:
        """QUEUED, or at once ERROR where there is a failure."""
        row = [version.slug, version.number, ref, "ERROR" if failure else "QUEUED", failure, time.time()]
        with self.database.transaction() as connection:
            insert = "INSERT INTO sessions (slug, number, ref, status, failure, created) VALUES (?, ?, ?, ?, ?, ?)"
            connection.execute(insert, row)

    def set_status(self, session: Session, status: str, failure: str | None = None) -> None:
        with self.database.transaction() as connection:
            change = "UPDATE sessions SET status = ?, failure = ? WHERE id = ?"
            connection.execute(change, [status, failure, session.id])

    def session(self, version: KernelVersion) -> Session:
        """The run of a version as it was pushed."""
        return self._select("slug = ? AND number = ? AND ref IS NULL", version.slug, version.number)[0]

    def unfinished(self) -> list[Session]:
        """In the order of the queue."""
        return self._select("status IN ('QUEUED', 'RUNNING')")

    def _select(self, condition: str, *values) -> list[Session]:
        with self.database.transaction() as connection:
            rows = connection.execute(f"SELECT * FROM sessions WHERE {condition} ORDER BY id", values)
            return [Session(**row, folder=self.state / "sessions" / str(row["id"])) for row in rows]


def _version(row) -> KernelVersion:
    return KernelVersion(**dict(row) | {"request": json.loads(row["request"]), "datasets": json.loads(row["datasets"])})
