"""submission.csv: written in the order of the sample submission, and checked for every way in which it can be wrong."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.competition import Competition
from common.errors import UserError, listing
from common.files import sha256_of_file, write_atomically, write_json
from common.labels import as_text, class_numbers, wanted

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def write(path: Path, ids: Sequence[str], values: np.ndarray, competition: Competition, raw: Path) -> None:
    """Write `submission.csv` with the columns and in the order of the sample submission in `raw`, whatever the order
    of `ids`.

    Args:
        ids: n ids, those of the sample submission.
        values: (n,) class numbers, or probabilities in [0, 1] written with every digit they have; for "labels" 0/1 rows
            (n, classes).

    Raises:
        UserError: as `validate`; what was at `path` before is untouched.
    """
    sample = raw / competition.sample_submission
    expected = _ids(sample, competition)
    text = {"class": _whole_numbers, "probability": _exact_numbers, "labels": as_text}[competition.submission.kind]
    rows = [[str(id), value] for id, value in zip(ids, text(np.asarray(values)), strict=True)]
    if len(rows) == len(expected) == len({id for id, _ in rows} & set(expected)):
        place = {id: position for position, id in enumerate(expected)}
        rows.sort(key=lambda row: place[row[0]])
    _check(rows, competition, expected, path.name)

    def save(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([competition.submission.id_column, competition.submission.target_column])
            writer.writerows(rows)

    write_atomically(path, save)


def validate(path: Path, competition: Competition, sample: Path) -> pd.DataFrame:
    """Read a submission and check it against the sample submission.

    Returns:
        The id column (str, leading zeros kept) and the target column (int64 classes, float64 probabilities, or class
        numbers as text), under the competition's names. A byte-order mark and Windows line ends are read as if they
        were not there.

    Raises:
        UserError: the file is missing, empty or no CSV; columns are wrong, extra or reordered; ids are missing, extra,
            duplicate or reordered; a cell is blank, no number, or out of range.
    """
    return _check(_read(path, competition), competition, _ids(sample, competition), path.name)


def write_manifest(path: Path, **fields: Any) -> Path:
    """Write what a submission is made of beside it, as `<stem>.json`: its SHA-256 and whatever the caller knows."""
    manifest = path.with_suffix(".json")
    write_json(manifest, {**fields, "file": path.name, "sha256": sha256_of_file(path)})
    return manifest


def _whole_numbers(values: np.ndarray) -> list[str]:
    return [str(int(value)) if float(value).is_integer() else repr(value) for value in values.tolist()]


def _exact_numbers(values: np.ndarray) -> list[str]:
    return [repr(float(value)) for value in values.tolist()]


def check_sample(sample: Path, competition: Competition) -> None:
    """Raises UserError where a sample submission has not exactly the competition's columns, or an id twice."""
    _ids(sample, competition)


def _ids(sample: Path, competition: Competition) -> list[str]:
    ids = [row[0] for row in _read(sample, competition)]
    if len(set(ids)) < len(ids):
        raise UserError(f"{sample} has duplicate ids: {listing(sorted({id for id in ids if ids.count(id) > 1}))}")
    return ids


def _read(path: Path, competition: Competition) -> list[list[str]]:
    """The rows below a header that is exactly the competition's two columns."""
    columns = [competition.submission.id_column, competition.submission.target_column]
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file, strict=True), 1) if row]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path.name} is not a readable CSV file: {error}") from None
    if not lines:
        raise UserError(f"{path.name} is empty; it needs the columns {', '.join(columns)}")
    (_, header), *body = lines
    if header != columns:
        raise UserError(f"{path.name} has the columns {listing(header)}; it needs exactly {', '.join(columns)}")
    for number, row in body:
        if len(row) != len(columns):
            raise UserError(f"{path.name} line {number} has {len(row)} cells in place of {len(columns)}")
    return [row for _, row in body]


def _check(rows: list[list[str]], competition: Competition, expected: list[str], name: str) -> pd.DataFrame:
    form = competition.submission
    table = pd.DataFrame(rows, columns=[form.id_column, form.target_column], dtype=object)
    _check_ids(table[form.id_column], expected, name)
    blank = table[table[form.target_column].str.strip() == ""]
    if len(blank):
        raise UserError(f"{name} has blank cells in '{form.target_column}' at {listing(blank[form.id_column])}")
    parse, kind, wants = CELLS[form.kind]
    parsed = [parse(text, len(competition.classes)) for text in table[form.target_column]]
    wrong = [(id, text) for (id, text), value in zip(rows, parsed, strict=True) if value is None]
    if wrong:
        found = listing([f"{id}: {text}" for id, text in wrong], limit=5)
        raise UserError(f"{name} needs {wants(len(competition.classes))} in '{form.target_column}', not {found}")
    table[form.target_column] = np.array(parsed, dtype=kind)
    return table


def _check_ids(ids: pd.Series, expected: list[str], name: str) -> None:
    problems = {
        "has no rows": [] if len(ids) else ["0 rows"],
        "has blank ids in rows": ids.index[ids.str.strip() == ""] + 1,
        "has duplicate ids": ids[ids.duplicated()].unique(),
        "misses ids of the sample submission": sorted(set(expected) - set(ids)),
        "has ids that are not in the sample submission": sorted(set(ids) - set(expected)),
    }
    for problem, culprits in problems.items():
        if len(culprits):
            raise UserError(f"{name} {problem}: {listing(culprits)}")
    moved = [id for id, wanted in zip(ids, expected, strict=True) if id != wanted]
    if moved:
        raise UserError(f"{name} has its ids in another order than the sample submission: {listing(moved, limit=3)}")


def _class_number(text: str, classes: int) -> int | None:
    number = int(text) if WHOLE_NUMBER.fullmatch(text.strip()) else None
    return number if number is not None and 0 <= number < classes else None


def _probability(text: str, _classes: int) -> float | None:
    try:
        number = float(text.replace("_", "no digit"))
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None  # False for NaN


def _labels(text: str, classes: int) -> str | None:
    numbers = class_numbers(text, classes)
    return None if numbers is None else " ".join(map(str, numbers))


CELLS = {
    "class": (_class_number, np.int64, lambda classes: f"a whole number in 0..{classes - 1}"),
    "probability": (_probability, np.float64, lambda _: "a number in [0, 1]"),
    "labels": (_labels, object, wanted),
}
"""For each kind of submission: how a cell is read (None where it is wrong), the column's dtype, what a cell must be."""
