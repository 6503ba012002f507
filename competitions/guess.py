"""What a folder of data seems to hold, for the declaration of a new competition. A guess: the user reads it over."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from common.archive import folders_in
from common.errors import UserError, listing
from common.plain import ClassFolders, LabelTable
from common.tables import delimiter_of, read_header, read_rows

LABELS = ("label", "labels", "class", "target", "category", "species", "diagnosis", "grade", "y")
GROUPS = ("group", "patient", "patient_id", "subject", "subject_id", "location", "site", "sequence", "seq_id")
ROWS_LOOKED_AT = 20
MOST_CLASSES = 1000


def guess_layout(folder: Path) -> ClassFolders | LabelTable:
    """A table where a CSV file has a column of images that are there, else class folders.

    Raises:
        UserError: it is neither, or the labels cannot be told.
    """
    tables = sorted(folder.glob("*.csv"), key=lambda path: (path.name != "train.csv", path.name))
    for path in (path for path in tables if path.name != "test.csv"):
        columns = read_header(path, "")
        table = read_rows(path, columns, text=columns)
        if column := image_column(folder, table):
            return label_table(path, table, column)
    inner = folders_in(folder / "train" if (folder / "train").is_dir() else folder)
    if len(inner) < 2:
        for path in tables:
            if told := delimiter_of(read_header(path, "")):
                raise UserError(f"{path}: {told}")
        found = listing([path.name for path in (*tables, *inner)], 5) or "neither a folder nor a table"
        raise UserError(
            f"{folder} should hold two class folders or more, or a CSV with paths of images; it has {found}"
        )
    return ClassFolders(tuple(path.name for path in inner))


def image_column(folder: Path, table: pd.DataFrame) -> str | None:
    """The first column that names files of the folder, in one of its first rows at least."""
    for column in table:
        if any(cell and os.path.isfile(folder / cell) for cell in table[column].head(ROWS_LOOKED_AT)):  # noqa: PTH113
            return column
    return None


def label_table(file: Path, table: pd.DataFrame, path: str) -> LabelTable:
    others = [column for column in table if column != path]
    group = called(GROUPS, others)
    left = [column for column in others if column != group]
    label = called(LABELS, left) or (left[0] if len(left) == 1 else "")
    if not label:
        found = listing(others) if others else "no other"
        raise UserError(f"{file}: which column is the label? Beside '{path}' it has {found}; call it 'label'")
    classes, several = classes_of(set(table[label]) - {""})
    if not 2 <= len(classes) <= MOST_CLASSES:
        count = "one class" if len(classes) == 1 else f"{len(classes):,} classes"
        raise UserError(
            f"{file}: '{label}' has {count}, and a competition has 2 to {MOST_CLASSES:,}; if another column is the "
            "label, call it 'label'"
        )
    return LabelTable(classes, path, label, group, several, train=file.name)


def called(names: Sequence[str], columns: Sequence[str]) -> str:
    """The column with one of these names, the first name first; empty where there is none."""
    return next((column for name in names for column in columns if column.lower() == name), "")


def classes_of(cells: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Classes by the labels' cells, and whether a cell names several. Numbers are several where blanks stand between
    them ("0 16"), and fill up from 0 where they begin there; names may hold blanks."""
    words = {word for cell in cells for word in cell.split()}
    if not all(word.isdecimal() and str(int(word)) == word for word in words):
        return tuple(sorted(cells)), False
    numbers = sorted(map(int, words))
    if numbers and numbers[0] == 0 and numbers[-1] < MOST_CLASSES:
        numbers = range(numbers[-1] + 1)
    return tuple(map(str, numbers)), any(len(cell.split()) > 1 for cell in cells)
