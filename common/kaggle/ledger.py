"""The ledger: one row a submission, a small state machine, its cross-validation beside its leaderboard score.

built → validated → uploaded → submitted → scored | failed; a command that is killed goes on from the state it left.
"""

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any, Literal

from common import terminal
from common.files import alone, content_hash, damaged
from common.kaggle.database import Database
from common.kaggle.standing import Standing

DEFAULT = Path("submissions/ledger.sqlite")

SCHEMA = """
CREATE TABLE IF NOT EXISTS submissions (
    id INTEGER PRIMARY KEY, competition TEXT NOT NULL, leaderboard TEXT NOT NULL, run_id TEXT NOT NULL,
    sha256 TEXT NOT NULL, description TEXT NOT NULL, file TEXT NOT NULL, cv_score REAL, state TEXT NOT NULL,
    ref INTEGER, public_score REAL, private_score REAL, error TEXT, created TEXT NOT NULL, updated TEXT NOT NULL,
    arena TEXT NOT NULL DEFAULT '', kernel TEXT, kernel_version INTEGER, rank INTEGER, teams INTEGER,
    checksum TEXT);
CREATE INDEX IF NOT EXISTS same_bytes ON submissions (competition, leaderboard, sha256)
"""
ADDED = (
    "arena TEXT NOT NULL DEFAULT ''",
    "kernel TEXT",
    "kernel_version INTEGER",
    "rank INTEGER",
    "teams INTEGER",
    "checksum TEXT",
)
"""Columns that ledgers of the first days lack."""


@dataclass(frozen=True)
class LedgerRow:
    """A submission; times are UTC, ISO.

    Up to `uploaded` it is not known to have been submitted; `submitted` waits for its score. `sha256` is of what
    answers: the CSV, or the packed run (its weights and rule) whose notebook writes one. `arena` is the slug on the
    leaderboard, empty where an old ledger did not keep it.
    """

    id: int
    competition: str
    leaderboard: Literal["kaggle", "practice"]
    run_id: str
    sha256: str
    description: str
    file: str
    cv_score: float | None
    state: Literal["built", "validated", "uploaded", "submitted", "scored", "failed"]
    ref: int | None
    public_score: float | None
    private_score: float | None
    error: str | None
    created: str
    updated: str
    arena: str = ""
    kernel: str | None = None
    kernel_version: int | None = None
    rank: int | None = None
    teams: int | None = None

    @property
    def finished(self) -> bool:
        return self.state in ("scored", "failed")

    def __str__(self) -> str:
        """One line that begins with the leaderboard's name, so that a practice score never passes for Kaggle's."""
        outcome = {
            "scored": f"public {_digits(self.public_score)}, private {_digits(self.private_score)}",
            "failed": f"refused: {self.error}",
        }.get(self.state, self.state)
        number = f"submission {self.ref}" if self.ref else "submission"
        what = f"{self.competition} {number} of run {self.run_id}"
        return f"{self.leaderboard}: {what}: cv {_digits(self.cv_score)}, {outcome}"


class Ledger:
    """The rows in `path`, safe for several processes. Each holds its own checksum.

    Every method raises UserError where the file cannot be used, or is not what was written.
    """

    def __init__(self, path: Path = DEFAULT) -> None:
        self.path = Path(path)
        self.database = Database(self.path, SCHEMA)
        if self.path.is_file():
            self._add_columns()

    def add(self, **fields: Any) -> LedgerRow:
        """A new row in state `built`. Fields: those of a row that are known by then."""
        fields |= {"state": "built", "created": _now(), "updated": _now()}
        marks = ", ".join("?" * len(fields))
        with self.database.transaction() as connection:
            insert = f"INSERT INTO submissions ({', '.join(fields)}) VALUES ({marks}) RETURNING *"
            return self._sealed(connection, connection.execute(insert, list(fields.values())).fetchone())

    def update(self, row: LedgerRow, **fields: Any) -> LedgerRow:
        fields |= {"updated": _now()}
        changes = ", ".join(f"{name} = ?" for name in fields)
        with self.database.transaction() as connection:
            self._whole(connection.execute("SELECT * FROM submissions WHERE id = ?", (row.id,)).fetchone())
            update = f"UPDATE submissions SET {changes} WHERE id = ? RETURNING *"
            return self._sealed(connection, connection.execute(update, [*fields.values(), row.id]).fetchone())

    def find(self, competition: str, leaderboard: str, arena: str, sha256: str) -> LedgerRow | None:
        """The latest submission of the same bytes to the same leaderboard."""
        same = "competition = ? AND leaderboard = ? AND arena IN (?, '') AND sha256 = ?"
        rows = self._select(same, competition, leaderboard, arena, sha256)
        return rows[-1] if rows else None

    def best(self, competition: str, leaderboard: str, arena: str) -> LedgerRow | None:
        """The row with the highest public score; those of other arenas, on other test images, do not compare."""
        scored = "competition = ? AND leaderboard = ? AND arena = ? AND public_score IS NOT NULL"
        rows = self._select(scored, competition, leaderboard, arena)
        return max(rows, key=lambda row: row.public_score, default=None)

    def rows(self, competition: str | None = None) -> list[LedgerRow]:
        """Oldest first; of all competitions where none is named."""
        return self._select("competition = ?", competition) if competition else self._select("TRUE")

    def _add_columns(self) -> None:
        with self.database.transaction() as connection:
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                raise damaged(self.path)
            there = {row["name"] for row in connection.execute("PRAGMA table_info(submissions)")}
            for column in ADDED:
                if column.split()[0] not in there:
                    connection.execute(f"ALTER TABLE submissions ADD COLUMN {column}")
            if "checksum" not in there:
                for record in connection.execute("SELECT * FROM submissions").fetchall():
                    self._sealed(connection, record)

    def _select(self, condition: str, *values: str | int) -> list[LedgerRow]:
        with self.database.transaction() as connection:
            rows = connection.execute(f"SELECT * FROM submissions WHERE {condition} ORDER BY id", values)
            return [self._whole(row) for row in rows]

    def _sealed(self, connection: Connection, record: Row) -> LedgerRow:
        """The row as it is read again: what was just written may still say 0 where the column holds 0.0."""
        row = _without_checksum(
            connection.execute("SELECT * FROM submissions WHERE id = ?", (record["id"],)).fetchone()
        )
        connection.execute("UPDATE submissions SET checksum = ? WHERE id = ?", (_checksum(row), row.id))
        return row

    def _whole(self, record: Row) -> LedgerRow:
        """The row of a record, which its checksum fits."""
        try:
            row, checksum = _without_checksum(record), record["checksum"]
        except (TypeError, IndexError) as error:
            raise damaged(self.path) from error
        if checksum != _checksum(row):
            raise damaged(self.path)
        return row

    def sending(self, what: str, leaderboard: str) -> AbstractContextManager[None]:
        """One process at a time sends `what`, a plain name: two that start together must not both find nothing sent."""
        path = self.path.parent / ".locks" / f"{what}-{leaderboard}"
        return alone(path, f"{leaderboard}: another process is at the same: waiting for it")


def table(rows: list[LedgerRow]) -> str:
    """The rows as aligned text for the terminal. Rank and medal are those that the score is worth."""
    names = ("leaderboard", "run", "cv", "public", "private", "rank", "medal", "state", "kernel", "when (UTC)", "error")
    lines = []
    for row in rows:
        scores = (_digits(row.cv_score), _digits(row.public_score), _digits(row.private_score))
        standing = Standing(row.rank, row.teams) if row.rank and row.teams else None
        place = (f"{standing.rank}/{standing.teams}", standing.medal or "-") if standing else ("-", "-")
        kernel = f"v{row.kernel_version}" if row.kernel_version else "-"
        when = row.created[:16].replace("T", " ")
        lines.append((row.leaderboard, row.run_id, *scores, *place, row.state, kernel, when, row.error or ""))
    return terminal.table(names, lines)


def _without_checksum(record: Row) -> LedgerRow:
    return LedgerRow(**{name: record[name] for name in record.keys() if name != "checksum"})  # noqa: SIM118


def _checksum(row: LedgerRow) -> str:
    return content_hash(asdict(row), length=16)


def _digits(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
