"""The memory of the practice leaderboard: SQLite and a folder of uploaded files. It survives restarts."""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.kaggle.database import KeptOpen

SCHEMA = """
CREATE TABLE IF NOT EXISTS secret (value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (
    token TEXT PRIMARY KEY, slug TEXT NOT NULL, file_name TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS submissions (
    ref INTEGER PRIMARY KEY, slug TEXT NOT NULL, token TEXT NOT NULL UNIQUE, file_name TEXT NOT NULL,
    size INTEGER NOT NULL, description TEXT NOT NULL, created TEXT NOT NULL, status TEXT NOT NULL,
    error TEXT, public_score REAL, private_score REAL);
CREATE INDEX IF NOT EXISTS submissions_of_a_day ON submissions (slug, created)
"""

NEXT_REF = "MAX(?, 1 + COALESCE((SELECT MAX(ref) FROM submissions), 0))"
"""Counted on from the time, so that a ledger that outlives this memory never meets its numbers again."""


@dataclass(frozen=True)
class Upload:
    """A file that is announced with `size` bytes, and of which `path` holds those that have come.

    It is for the competition `slug`, or for a dataset where that is "".
    """

    token: str
    slug: str
    file_name: str
    size: int
    path: Path

    @property
    def received(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


@dataclass(frozen=True)
class Submission:
    """`status` is PENDING, COMPLETE or ERROR; `created` is UTC; `size` is 0 where a notebook is to write the file."""

    ref: int
    slug: str
    token: str
    file_name: str
    size: int
    description: str
    created: str
    status: str
    error: str | None
    public_score: float | None
    private_score: float | None


class Store:
    """Everything under the folder `state`."""

    def __init__(self, state: Path) -> None:
        self.state = Path(state).resolve()
        self.database = self.tables(SCHEMA)

    def tables(self, schema: str) -> KeptOpen:
        """The one SQLite file, with these tables in it."""
        return KeptOpen(self.state / "practice.sqlite", schema)

    def secret(self) -> str:
        """The key that signs addresses, made once."""
        with self.database.transaction() as connection:
            found = connection.execute("SELECT value FROM secret").fetchone()
            if found:
                return found["value"]
            value = secrets.token_hex(32)
            connection.execute("INSERT INTO secret VALUES (?)", [value])
            return value

    def add_upload(self, slug: str, file_name: str, size: int) -> Upload:
        token = secrets.token_urlsafe(24)
        with self.database.transaction() as connection:
            connection.execute("INSERT INTO uploads VALUES (?, ?, ?, ?)", [token, slug, file_name, size])
        return Upload(token, slug, file_name, size, self._file(token, file_name))

    def upload(self, token: str) -> Upload | None:
        with self.database.transaction() as connection:
            row = connection.execute("SELECT * FROM uploads WHERE token = ?", [token]).fetchone()
        return Upload(**row, path=self._file(token, row["file_name"])) if row else None

    def add_submission(self, upload: Upload, description: str, day_limit: int) -> Submission | None:
        """A PENDING submission, or None where the day's are spent. Counted and added in one transaction."""
        with self.database.transaction() as connection:
            if _count_today(connection, upload.slug) >= day_limit:
                return None
            row = connection.execute(
                "INSERT INTO submissions (ref, slug, token, file_name, size, description, created, status) "
                f"VALUES ({NEXT_REF}, ?, ?, ?, ?, ?, ?, 'PENDING') RETURNING *",
                [int(time.time()), upload.slug, upload.token, upload.file_name, upload.size, description, _now()],
            )
            return Submission(**row.fetchone())

    def finish(self, ref: int, status: str, error: str | None = None, scores: tuple = (None, None)) -> None:
        with self.database.transaction() as connection:
            change = "UPDATE submissions SET status = ?, error = ?, public_score = ?, private_score = ? WHERE ref = ?"
            connection.execute(change, [status, error, *scores, ref])

    def submission(self, ref: int) -> Submission | None:
        return next(iter(self._select("ref = ?", ref)), None)

    def submission_of(self, token: str) -> Submission | None:
        return next(iter(self._select("token = ?", token)), None)

    def submissions(self, slug: str, start: int = 0, size: int = -1) -> list[Submission]:
        """Latest first: `size` of them from the one at `start` on, by default all."""
        return self._select("slug = ?", slug, start=start, size=size)

    def pending(self) -> list[Submission]:
        return self._select("status = 'PENDING'")

    def counts(self, slug: str) -> tuple[int, int]:
        """Submissions of today (UTC) and of all time; as on Kaggle, refused ones do not count."""
        with self.database.transaction() as connection:
            return _count_today(connection, slug), _count_since(connection, slug, "")

    def _select(self, condition: str, *values, start: int = 0, size: int = -1) -> list[Submission]:
        query = f"SELECT * FROM submissions WHERE {condition} ORDER BY ref DESC LIMIT ? OFFSET ?"
        with self.database.transaction() as connection:
            return [Submission(**row) for row in connection.execute(query, [*values, size, start])]

    def _file(self, token: str, file_name: str) -> Path:
        return self.state / "uploads" / f"{token}{Path(file_name).suffix}"


def _count_today(connection, slug: str) -> int:
    return _count_since(connection, slug, _now()[:10])


def _count_since(connection, slug: str, day: str) -> int:
    count = "SELECT COUNT(*) FROM submissions WHERE slug = ? AND created >= ? AND status != 'ERROR'"
    return connection.execute(count, [slug, day]).fetchone()[0]


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
