"""Downloads: the raw folder as one archive or file by file, a version of a dataset as one archive."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common.files import write_atomically
from common.kaggle.practice.competition import PracticeCompetition
from common.kaggle.practice.datasets import Datasets
from common.kaggle.practice.refused import Refused
from common.sample import MARK

packing = threading.Lock()


def files(practice: PracticeCompetition, folder: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Name and path of each file in the raw folder, or in the `folder` in its place, that may be seen, sorted by name:
    never the solution, nothing hidden but the mark of sample data, so that a copy is known for what it is."""
    folder, solution = folder or practice.raw, practice.solution.resolve()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts) and name.name != MARK
        if path.is_file() and path.resolve() != solution and not hidden:
            yield name.as_posix(), path


def file(practice: PracticeCompetition, name: str) -> Path:
    """The path of one file. A name that leads anywhere else is not there."""
    try:
        path = (practice.raw / name).resolve()
        hidden = path == practice.solution.resolve() or not path.is_relative_to(practice.raw.resolve())
        there = path.is_file() and not hidden
    except (OSError, ValueError):  # no name for a file: too long, or with a zero byte
        there = False
    if not there:
        raise Refused(404, f"no file '{name}' in '{practice.slug}'")
    return path


def archive(practice: PracticeCompetition, state: Path) -> Path:
    """All files as one zip, made anew where a name, a size or a time has changed."""
    with packing:
        everything = list(files(practice))
        stats = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in everything]
        fingerprint = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
        path = state / "archives" / f"{practice.slug}-{fingerprint}.zip"
        if not path.exists():
            for stale in path.parent.glob(f"{practice.slug}-*.zip"):
                stale.unlink()
            write_atomically(path, lambda temporary: _pack(temporary, everything))
        return path


def dataset_archive(datasets: Datasets, slug: str, number: int) -> Path:
    """All files of a version as one zip; a version never changes."""
    with packing:
        path = datasets.uploads.state / "archives" / "datasets" / f"{slug}-{number}.zip"
        if not path.exists():
            write_atomically(path, lambda temporary: _pack(temporary, list(datasets.files(slug, number))))
        return path


def _pack(target: Path, everything: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:  # images do not get smaller
        for name, path in everything:
            packed.write(path, name)
