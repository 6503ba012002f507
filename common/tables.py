"""Strict reading of the tables that come with a competition: what is wrong is said before an hour is spent on it."""

import csv
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.files import regular


def names_a_file(name: str) -> bool:
    """Whether an id can be the name of a file in its folder: no path, nothing invisible, not too long."""
    return len(name.encode()) <= 200 and name.isprintable() and not set(name) & set("/\\") and name not in (".", "..")


def names_a_path(name: str) -> bool:
    """Whether an id can be the path of a file: nothing invisible, slashes and not backslashes."""
    return name.isprintable() and "\\" not in name


def read_csv(
    path: Path,
    required: Sequence[str],
    ids: str,
    layout: str,
    text: Sequence[str] = (),
    names: Callable[[str], bool] = names_a_file,
) -> pd.DataFrame:
    """A comma-separated table with a header; a byte order mark and Windows line ends do not matter.

    Args:
        required: columns that must be there; others are kept.
        ids: the column of ids, one of `required`; read as text, so that leading zeros stay.
        layout: how the folder should look, for the message when the file is missing.
        text: other columns of `required` that are read as text; what is blank is "" there.
        names: whether an id can name what it should.

    Raises:
        UserError: no such file, not a CSV table, missing or repeated columns, blank or repeated ids, no rows.
    """
    path = Path(path)
    columns = read_header(path, layout)
    if repeated := sorted({column for column in columns if columns.count(column) > 1}):
        raise UserError(f"{path}: column {listing(map(shown, repeated))} stands there more than once; keep one")
    if missing := [column for column in required if column not in columns]:
        raise UserError(
            f"{path}: column {listing(missing)} is missing; "
            f"{delimiter_of(columns) or f'it has {listing(map(shown, columns))}'}"
        )
    table = read_rows(path, columns, (ids, *text))
    if table.empty:
        raise UserError(f"{path} has a header and no rows; download it again")
    check_ids(table[ids], path, names)
    return table


def read_header(path: Path, layout: str) -> list[str]:
    """The column names of a CSV file. Raises UserError as `read_csv`, but for what concerns rows and columns."""
    try:
        with open(regular(path), encoding="utf-8-sig", newline="") as file:
            columns = next(filter(None, csv.reader(file)), [])  # pandas passes over blank lines as well
    except FileNotFoundError:
        raise UserError(f"there is no {path}; the folder should hold {layout}") from None
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except (OSError, csv.Error) as error:
        raise UserError(f"cannot read {path} as a CSV table: {error}; download it again") from error
    if not columns:
        raise UserError(f"{path} is empty; download it again")
    return columns


def check_ids(ids: pd.Series, path: Path, names: Callable[[str], bool] = names_a_file) -> None:
    """Raises UserError where ids are blank or stand there twice; names some of them."""
    blank = np.flatnonzero(ids.to_numpy() == "")
    if len(blank):
        raise UserError(f"{path}: '{ids.name}' is blank in line {listing(blank + 2)}; every row needs an id")
    check_names(ids, path, names)
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise UserError(f"{path}: '{ids.name}' {listing(repeated)} stands there more than once; keep one row an id")


def check_names(column: pd.Series, path: Path, names: Callable[[str], bool] = names_a_file) -> None:
    """Raises UserError where a cell cannot be the name of a file in its folder; names some of them."""
    unsafe = column[~column.astype(str).map(names)]
    if len(unsafe):
        raise UserError(f"{path}: '{column.name}' {listing(unsafe.map(ascii), 3)} cannot name a file; mend the table")


def labels(table: pd.DataFrame, column: str, classes: int, ids: str, path: Path) -> np.ndarray:
    """The labels of a table as int64 (n,) in 0..classes-1.

    Raises:
        UserError: a label is blank, not a whole number or out of range; names row and value.
    """
    numbers = pd.to_numeric(table[column].astype(str), errors="coerce")
    wrong = ~numbers.isin(range(classes)).to_numpy()
    if wrong.any():
        rows = zip(table.loc[wrong, ids], table.loc[wrong, column], strict=True)
        named = listing((f"{row} has {'none' if pd.isna(value) else repr(value)}" for row, value in rows), limit=5)
        raise UserError(f"{path}: '{column}' must be a whole number from 0 to {classes - 1}, but {named}")
    return numbers.to_numpy().astype(np.int64)


def class_labels(
    table: pd.DataFrame, column: str, classes: Sequence[str], several: bool, ids: str, path: Path
) -> pd.Series:
    """The labels of a table whose cells (text) name a class, or give its number from 0 where no class is called by a
    number: int64 (n,). With `several` a cell names one class or more, separated by blanks: str (n,), class numbers in
    ascending order.

    Raises:
        UserError: a cell is blank, or names what is no class, or one twice; names line, row and value.
    """
    known = {name: number for number, name in enumerate(classes)}
    if not any(name.isdigit() for name in classes):
        known |= {str(number): number for number in known.values()}

    def number_of(cell: str) -> int | str | None:
        words = cell.split() if several else [cell]
        numbers = sorted({known[word] for word in words if word in known})
        if not words or len(numbers) < len(words):
            return None
        return " ".join(map(str, numbers)) if several else numbers[0]

    found = {cell: number_of(cell) for cell in table[column].unique()}
    wrong = np.flatnonzero(table[column].map(lambda cell: found[cell] is None))
    if len(wrong):
        rows = (f"line {i + 2} ({table[ids][i]}) has {table[column][i]!r}" for i in wrong)
        needs = "one class or more, separated by blanks" if several else "a class"
        raise UserError(
            f"{path}: '{column}' must name {needs} ({listing(classes, 5)}) or its number from 0 to {len(classes) - 1}, "
            f"but {listing(rows, 5)}"
        )
    return table[column].map(found)


def image_paths(folder: Path, ids: Iterable[str], suffix: str, layout: str) -> list[str]:
    """`folder/<id><suffix>` as absolute paths. That each image is there and whole is checked when it is decoded.

    Raises:
        UserError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(f"there is no folder {folder}; the data folder should hold {layout}")
    prefix = str(Path(folder).absolute())
    return [f"{prefix}/{name}{suffix}" for name in ids]


def in_sample_order(table: pd.DataFrame, sample: Path, ids: str, layout: str) -> pd.DataFrame:
    """The rows of a test table (with the column `id`) in the order of `sample_submission.csv`.

    Raises:
        UserError: the two do not name the same images.
    """
    wanted = read_csv(sample, [ids], ids, layout)[ids]
    if differing := sorted(set(wanted) ^ set(table["id"])):
        raise UserError(f"{sample} and the test table name different images: {listing(differing)}; download both again")
    return table.set_index("id").loc[wanted].rename_axis("id").reset_index()


def shown(column: str) -> str:
    """A column's name; in quotes where blanks or what nobody sees would make it look like another."""
    return column if column.isprintable() and column == column.strip() != "" else ascii(column)


def delimiter_of(columns: list[str]) -> str:
    """What to say of a table whose columns were taken for one, since no comma separates them; else nothing."""
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(columns) == 1 and delimiter in columns[0]:
            return f"its columns seem to be separated by {name}: save it with commas"
    return ""


def not_utf8(path: Path) -> UserError:
    return UserError(f"cannot read {path}: its text is not in UTF-8; save it as a CSV table in UTF-8")


def read_rows(path: Path, columns: list[str], text: Sequence[str]) -> pd.DataFrame:
    """The rows below the header. Raises UserError where they are no CSV table.

    The columns of `text` are text, and "" where they are blank.
    """
    # An id may be called 'NA'; elsewhere that is a value nobody knows.
    unknown = {column: ["", "NA", "NaN", "nan"] for column in columns if column not in text}
    try:
        with warnings.catch_warnings():
            # pandas only warns when rows are longer than the header, and then drops their last cells.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                encoding="utf-8-sig",
                index_col=False,
                low_memory=False,
                dtype=dict.fromkeys(text, str),
                na_values=unknown,
                keep_default_na=False,
            )
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UserError(f"cannot read {path} as a CSV table: {error}; download it again") from error
    return table.assign(**{column: table[column].str.strip() for column in text})
