"""What the benchmarks measured, as one table: ratios beside the figures they are made of, and whether they hold."""

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One thing measured.

    - `what`: in which setting.
    - `ours`: the figure, in `unit`; None: not measured here, and `note` says why.
    - `theirs`: of what it is compared with (`against`), measured in the same run; None: nothing.
    - `at_least`, `at_most`: what `value` must hold.
    """

    what: str
    ours: float | None
    unit: str
    against: str = ""
    theirs: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def value(self) -> float | None:
        """What the row is held to: the ratio to what it is compared with, or else the figure."""
        if self.ours is None:
            return None
        return self.ours if self.theirs is None else self.ours / self.theirs

    @property
    def wanted(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}" if self.at_most else ""

    @property
    def holds(self) -> str:
        if self.value is None:
            return "not measured"
        below = self.at_least is not None and self.value < self.at_least
        above = self.at_most is not None and self.value > self.at_most
        return "no" if below or above else "yes"


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """A line a row: what, ours, unit, against, theirs, ratio, wanted, holds, note, machine."""
    lines = [
        {
            "what": row.what,
            "ours": row.ours,
            "unit": row.unit,
            "against": row.against,
            "theirs": row.theirs,
            "ratio": None if row.theirs is None else row.value,
            "wanted": row.wanted,
            "holds": row.holds,
            "note": row.note,
            "machine": machine(),
        }
        for row in rows
    ]
    return pd.DataFrame(lines)


def write(rows: Sequence[Row], file: str | Path) -> None:
    """Keep them as CSV, where a file is named."""
    if file:
        to_frame(rows).to_csv(file, index=False, float_format="%.4g")


def as_text(table: pd.DataFrame) -> str:
    shown = table.drop(columns="machine").astype(object).where(table.drop(columns="machine").notna(), "")
    return shown.to_string(index=False, float_format="{:,.4g}".format)


def machine() -> str:
    """`Intel Xeon Processor, 2 cores`, and the GPU where there is one."""
    try:
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    parts = [names[0] if names else platform.processor() or platform.machine(), f"{os.cpu_count()} cores"]
    import torch

    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def file_of_this_machine() -> Path:
    """Where the whole table of this machine is kept."""
    return FOLDER / (re.sub(r"[^a-z0-9]+", "-", machine().lower()).strip("-") + ".csv")
