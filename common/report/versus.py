"""Runs against each other: the paired bootstrap of the difference, for all that hold out the same rows."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from common.competition import Competition
from common.files import content_hash, write_json
from common.report.page import beside
from common.run import Run
from common.stored import read_table

MOST = 24
"""Runs of one set of held-out rows that are compared, the best first: 276 pairs."""


def pairs(competition: Competition, runs: Sequence[Run], file: Path) -> dict[str, tuple[float, float, float]]:
    """`<run> <other>` → how much higher the first one scores, and its 95% interval, see `common.paired`; once for each
    pair. Kept in `file`, and found there as long as the runs are the same.

    runs: finished ones with a score, the best first.
    """
    groups = [group[:MOST] for group in same_rows(runs) if len(group) > 1]
    key = content_hash([[(run.id, run.metrics) for run in group] for group in groups])
    if file.is_file() and (kept := beside(file))["of"] == key:
        return {pair: tuple(values) for pair, values in kept["pairs"].items()}
    found = {}
    for group in groups:
        from common.paired import compare

        compared = compare(competition, [[run] for run in group])
        for first, second in combinations(range(len(group)), 2):
            values = (round(value, 6) for value in compared.difference(first, second))
            found[f"{group[first].id} {group[second].id}"] = tuple(values)
    write_json(file, {"of": key, "pairs": found})
    return found


def same_rows(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs by the rows, and their labels, that they hold out, in their order."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        table = read_table(run.folder / "out_of_fold.parquet")[["id", "label"]].sort_values("id")
        rows = pd.util.hash_pandas_object(table.astype(str), index=False).sum()
        groups.setdefault(f"{len(table)} {rows}", []).append(run)
    return list(groups.values())
