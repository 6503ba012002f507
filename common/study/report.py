"""What a verb answers: a table with a title and notes, as text for a terminal or as JSON."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from common import terminal

WIDTH = 100


@dataclass(frozen=True)
class Report:
    title: str
    rows: pd.DataFrame
    """Plain columns; the index is not shown."""
    notes: list[str] = field(default_factory=list)
    formats: Mapping[str, str] = field(default_factory=dict)
    """Column → format of its numbers, such as ".1f"; what is not named has three decimals."""

    def as_text(self) -> str:
        """The table, its title and notes in at most 100 columns; a value that repeats the one above in the first column
        is left out."""
        shown = pd.DataFrame({name: self._cells(name) for name in self.rows})
        first = shown.columns[0]
        shown[first] = shown[first].where(shown[first] != shown[first].shift(), "")
        width = min(WIDTH, terminal.columns() or WIDTH)
        notes = [textwrap.fill(note, width, subsequent_indent="  ") for note in self.notes]
        table = terminal.table(list(shown), shown.to_numpy())
        return "\n".join([textwrap.fill(self.title, width), "", table, *([""] if notes else []), *notes])

    def as_json(self) -> str:
        """The same, with every digit; what is not known is null."""
        return json.dumps(self.facts(), indent=2, ensure_ascii=False)

    def facts(self) -> dict[str, Any]:
        """The same as plain values."""
        return {"title": self.title, "rows": terminal.records(self.rows), "notes": self.notes}

    def _cells(self, name: str) -> list[str]:
        default = "d" if pd.api.types.is_integer_dtype(self.rows[name]) else ".3f"
        how = self.formats.get(name, default)
        return [
            "" if pd.isna(value) else value if isinstance(value, str) else format(value, how)
            for value in self.rows[name]
        ]
