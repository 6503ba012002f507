"""What is printed: tables as wide as the terminal, colour on a terminal alone, and the same facts as JSON.

Where output goes to a file or a pipe nothing is cut and nothing is coloured, so that nothing is lost to what reads it.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pandas as pd

CODES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}
GAP = "  "
NARROWEST = 5
"""Columns that are left of a text, however narrow the terminal is."""
NUMBER = re.compile(r"[-+]?[\d,.]+(e[-+]?\d+)?[%×]?|-|nan|")
WHOLE = re.compile(NUMBER.pattern + r"|[0-9a-f]{12}(-\d+)?|[-+\d.]+( to |–)[-+\d.]+")
"""What is of no use when it is cut: numbers, ids of runs, intervals."""
STATES = {
    "finished": "green",
    "scored": "green",
    "done": "green",
    "yes": "green",
    "unfinished": "yellow",
    "pruned": "yellow",
    "failed": "red",
    "fail": "red",
    "it harms": "red",
}
"""Cell → its colour in every table."""


def columns(stream: TextIO | None = None) -> int | None:
    """The width of the terminal that is printed to; None where it is none."""
    stream = stream or sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour of `CODES`; plain where the stream is no terminal, or NO_COLOR is set (no-color.org)."""
    stream = stream or sys.stdout
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else f"\x1b[{CODES[colour]}m{text}\x1b[0m"


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned text: columns of numbers to the right, others to the left. On a terminal that is too narrow the widest
    texts are cut."""
    lines = [tuple(names), *(tuple(row) for row in rows)]
    cells = list(zip(*lines, strict=True))
    to_right = [all(NUMBER.fullmatch(cell) for cell in column[1:]) for column in cells]
    wide = [max(map(len, column)) for column in cells]
    if (width := columns()) is not None:
        wide = fitted(wide, [all(WHOLE.fullmatch(cell) for cell in column[1:]) for column in cells], width)
    return "\n".join(_line(line, wide, to_right, head=not number) for number, line in enumerate(lines))


def fitted(wide: Sequence[int], fixed: Sequence[bool], width: int) -> list[int]:
    """The widths of columns so that all fit into `width`: one character after the other is taken from the widest that
    is not fixed, down to `NARROWEST`."""
    wide = list(wide)
    over = sum(wide) + len(GAP) * (len(wide) - 1) - width
    for _ in range(over):
        longest = max((i for i, kept in enumerate(fixed) if not kept), key=lambda i: wide[i], default=None)
        if longest is None or wide[longest] <= NARROWEST:
            break
        wide[longest] -= 1
    return wide


def _line(cells: Sequence[str], wide: Sequence[int], to_right: Sequence[bool], head: bool) -> str:
    shown = []
    for cell, width, right in zip(cells, wide, to_right, strict=True):
        cut = shortened(cell, width)
        placed = cut.rjust(width) if right else cut.ljust(width)
        colour = "bold" if head else STATES.get(cell)
        shown.append(placed.replace(cut, paint(cut, colour)) if cut and colour else placed)
    return GAP.join(shown).rstrip()


def shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def clipped(text: str) -> str:
    """Lines that were aligned elsewhere, cut at the terminal's edge rather than broken there."""
    width = columns()
    return text if width is None else "\n".join(shortened(line, width) for line in text.splitlines())


@contextmanager
def aside(json: bool) -> Iterator[None]:
    """With `--json`, what work prints meanwhile goes to standard error: standard output holds the answer alone."""
    if not json:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def print_json(facts: Mapping[str, Any]) -> None:
    """Every digit; what is not known is null."""
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=_plain))


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows of a table as plain values; NaN is None."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays, and paths."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
