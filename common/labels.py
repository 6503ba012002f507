"""Labels of a multi-label task: as text, the way tables and submissions hold them, and as indicator rows."""

from collections.abc import Iterable

import numpy as np

from common.competition import Task
from common.errors import UserError


def indicator(labels: Iterable[str], classes: int) -> np.ndarray:
    """Class numbers separated by blanks ("0 16") → int8 (n, classes), 1 where the row has the class.

    Raises:
        UserError: a row has no class, names one twice, or one that is not in 0..classes-1.
    """
    labels = list(labels)
    rows = np.zeros((len(labels), classes), dtype=np.int8)
    for row, text in enumerate(labels):
        numbers = class_numbers(str(text), classes)
        if numbers is None:
            raise UserError(f"row {row} has the label '{text}'; it needs {wanted(classes)}")
        rows[row, numbers] = 1
    return rows


def label_array(labels: Iterable, task: Task, classes: int) -> np.ndarray:
    """The `label` column of a table: int64 (n,), or for a multi-label task indicator rows int8 (n, classes)."""
    return indicator(labels, classes) if task == "multilabel" else np.asarray(labels, dtype=np.int64)


def rarest_class(rows: np.ndarray) -> np.ndarray:
    """Indicator rows (n, classes) → int64 (n,): of each row's classes the one that the fewest rows have. Folds that
    spread these evenly spread the rare classes, which macro F1 hangs on."""
    count = rows.sum(axis=0, dtype=np.int64)
    return np.where(rows > 0, count, len(rows) + 1).argmin(axis=1)


def as_text(rows: np.ndarray) -> list[str]:
    """Indicator rows (n, classes) → class numbers in ascending order, separated by blanks; '' for an empty row."""
    return [" ".join(map(str, np.flatnonzero(row))) for row in rows]


def class_numbers(text: str, classes: int) -> list[int] | None:
    """The class numbers in `text`; None where there is none, one is repeated, or one is not in 0..classes-1."""
    words = text.split()
    if not all(word.isascii() and word.isdigit() and len(word) <= 18 for word in words):
        return None
    numbers = [int(word) for word in words]
    whole = numbers and len(set(numbers)) == len(numbers) and max(numbers) < classes
    return numbers if whole else None


def wanted(classes: int) -> str:
    """What a label should be, for an error line."""
    return f"one class number in 0..{classes - 1} or several separated by blanks, none of them twice"
