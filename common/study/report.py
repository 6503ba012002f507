"""What a verb answers: a table with a title and notes, as text for a terminal or as JSON."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

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
        """The table in at most 100 columns; a value that repeats the one above in the first column is left out."""
        shown = pd.DataFrame({name: self._cells(name) for name in self.rows})
        first = shown.columns[0]
        shown[first] = shown[first].where(shown[first] != shown[first].shift(), "")
        texts = [name for name in self.rows if not pd.api.types.is_numeric_dtype(self.rows[name])]
        wide = {name: max(len(name), *shown[name].map(len)) for name in shown}
        head = [name.ljust(wide[name]) if name in texts else name.rjust(wide[name]) for name in shown]
        lines = [
            [row[name].ljust(wide[name]) if name in texts else row[name].rjust(wide[name]) for name in shown]
            for _, row in shown.iterrows()
        ]
        table = "\n".join("  ".join(line).rstrip() for line in [head, *lines])
        notes = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self.notes]
        return "\n".join([textwrap.fill(self.title, WIDTH), "", table, *([""] if notes else []), *notes])

    def as_json(self) -> str:
        """The same, with every digit; what is not known is null."""
        rows = json.loads(self.rows.to_json(orient="records", double_precision=15))
        return json.dumps({"title": self.title, "rows": rows, "notes": self.notes}, indent=2, ensure_ascii=False)

    def _cells(self, name: str) -> list[str]:
        default = "d" if pd.api.types.is_integer_dtype(self.rows[name]) else ".3f"
        how = self.formats.get(name, default)
        return [
            "" if pd.isna(value) else value if isinstance(value, str) else format(value, how)
            for value in self.rows[name]
        ]
