"""A small SQLite file that several processes may use at once: short transactions, write-ahead log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from common.errors import UserError

PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""


class Database:
    """Opens `path` for each transaction, so that no lock outlives a statement or crosses a fork.

    Raises:
        UserError: the file cannot be opened or written, or is no SQLite file.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path, self.schema = Path(path), schema

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; readers see the state before or after."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as connection, connection:
                connection.execute("BEGIN IMMEDIATE")
                for statement in self.schema.split(";"):
                    connection.execute(statement)
                yield connection
        except (OSError, sqlite3.DatabaseError) as error:
            raise UserError(f"cannot use {self.path}: {error}; mend its permissions or move it aside") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        return connection
