"""The memory of datasets: their versions in SQLite, their files in a folder a version."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from common.kaggle.practice.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS datasets (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, title TEXT NOT NULL, licence TEXT NOT NULL,
    private INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS dataset_versions (
    slug TEXT NOT NULL, number INTEGER NOT NULL, notes TEXT NOT NULL, tokens TEXT NOT NULL, created REAL NOT NULL,
    status TEXT NOT NULL, error TEXT, PRIMARY KEY (slug, number))
"""


@dataclass(frozen=True)
class Dataset:
    id: int
    slug: str
    title: str
    licence: str
    private: bool


@dataclass(frozen=True)
class Version:
    """`tokens` are those of its uploads; `status` is PENDING until they are unpacked to `folder`, then READY, or FAILED
    with `error`; `created` is in seconds since 1970."""

    slug: str
    number: int
    notes: str
    tokens: tuple[str, ...]
    created: float
    status: str
    error: str | None
    folder: Path


class DatasetStore:
    """Beside the uploads, in the same file and folder."""

    def __init__(self, store: Store) -> None:
        self.state = store.state
        self.database = store.tables(SCHEMA)

    def add(self, slug: str, title: str, licence: str, private: bool) -> bool:
        """False where the slug is taken."""
        with self.database.transaction() as connection:
            if connection.execute("SELECT 1 FROM datasets WHERE slug = ?", [slug]).fetchone():
                return False
            insert = "INSERT INTO datasets (slug, title, licence, private) VALUES (?, ?, ?, ?)"
            connection.execute(insert, [slug, title, licence, private])
            return True

    def dataset(self, slug: str) -> Dataset | None:
        with self.database.transaction() as connection:
            row = connection.execute("SELECT * FROM datasets WHERE slug = ?", [slug]).fetchone()
        return Dataset(**dict(row) | {"private": bool(row["private"])}) if row else None

    def add_version(self, slug: str, notes: str, tokens: list[str]) -> Version:
        with self.database.transaction() as connection:
            count = connection.execute("SELECT COUNT(*) FROM dataset_versions WHERE slug = ?", [slug]).fetchone()[0]
            row = connection.execute(
                "INSERT INTO dataset_versions VALUES (?, ?, ?, ?, ?, 'PENDING', NULL) RETURNING *",
                [slug, count + 1, notes, json.dumps(tokens), time.time()],
            )
            return self._version(row.fetchone())

    def finish(self, version: Version, status: str, error: str | None = None) -> None:
        with self.database.transaction() as connection:
            change = "UPDATE dataset_versions SET status = ?, error = ? WHERE slug = ? AND number = ?"
            connection.execute(change, [status, error, version.slug, version.number])

    def versions(self, slug: str) -> list[Version]:
        """Latest first."""
        return self._select("slug = ?", slug)

    def pending(self) -> list[Version]:
        return self._select("status = 'PENDING'")

    def _select(self, condition: str, *values) -> list[Version]:
        query = f"SELECT * FROM dataset_versions WHERE {condition} ORDER BY number DESC"
        with self.database.transaction() as connection:
            return [self._version(row) for row in connection.execute(query, values)]

    def _version(self, row) -> Version:
        fields = dict(row) | {"tokens": tuple(json.loads(row["tokens"]))}
        return Version(**fields, folder=self.state / "datasets" / row["slug"] / str(row["number"]))
