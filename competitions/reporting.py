"""The verb `report`: the page of a run, of its competition, and the index; and all of them for `make report`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.run import Run, all_runs, find_run
from competitions import load, names
from competitions.arguments import parse
from competitions.sources import DATA, Source, in_folder, sample_folder, source
from competitions.standing import UNKNOWN, for_scale, grouped, in_words, mark_of, relations, standing_on_kaggle

if TYPE_CHECKING:
    from common.kaggle.ledger import LedgerRow
    from common.report.competition_page import Known, Leaderboard


@dataclass(frozen=True)
class ReportArguments:
    run: str = ""
    """Id of the run; empty: the best one."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


def report(competition: Competition, words: list[str]) -> None:
    from common.report.competition_page import write_competition_page
    from common.report.index_page import write_index

    asked = parse(ReportArguments, words, f"python -m competitions {competition.name} report")
    options = asked.options
    if asked.run:
        run = find_run(options.runs, competition.name, asked.run)
    elif (best := best_run(competition, options)) is None:
        raise UserError(
            f"no finished run of {competition.name} in {options.runs}: `make {competition.name}-train` first"
        )
    else:
        run = best
    write_run(competition, run, options)
    tell(*write_competition_page(known(competition, options)))
    tell(*write_index(options.runs))


@dataclass(frozen=True)
class AllArguments:
    runs: Path = Path("runs")
    """Folder of the runs."""


def report_all(words: list[str]) -> None:
    """The best run, and the page, of every competition that has runs; the study; the index."""
    from common.report.competition_page import write_competition_page
    from common.report.index_page import write_index
    from common.report.study_page import write_study_page

    options = Options(runs=parse(AllArguments, words, "python -m competitions report").runs)
    for competition in map(load, names()):
        if not all_runs(options.runs, competition.name):
            continue
        if (run := best_run(competition, options)) is not None:
            write_run(competition, run, options)
        tell(*write_competition_page(known(competition, options)))
    tell(*write_study_page(options.runs))
    tell(*write_index(options.runs))


def tell(path: Path, made: bool) -> None:
    print(path if made else f"{path} (as it was)")


def write_run(competition: Competition, run: Run, options: Options) -> None:
    from common.report.run_page import write_run_page

    raw = source_of(competition, run, options)
    tell(*write_run_page(competition, run, raw.train if raw else None, run_mark(run, raw), options))


def run_mark(run: Run, raw: Source | None) -> str:
    """What the run wrote down of its data; runs of the first days did not."""
    return run.about.get("mark", raw.mark if raw else "")


def best_run(competition: Competition, options: Options) -> Run | None:
    """Of the finished runs (on the data that are named, if any are) those on real images come first, then those that
    hold out the most, then the best."""
    runs = [run for run in all_runs(options.runs, competition.name) if run.finished]
    if options.data:
        raw = source(competition, options)
        runs = [run for run in runs if is_of(run, raw)]
    marks = marks_of(competition, runs, options)

    def order(run: Run) -> tuple:
        metrics = run.metrics
        return not marks[run.id], metrics.get("n", 0), metrics["score"] or 0.0

    return max(runs, key=order, default=None)


def data_of(run: Run) -> str:
    return run.about.get("source", run.fingerprint)


def marks_of(competition: Competition, runs: Sequence[Run], options: Options) -> dict[str, str]:
    """Id of a run → the mark of its data, looked up once for each data set."""
    marks: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: "mark" not in run.about):
        if data_of(run) not in marks:
            marks[data_of(run)] = run_mark(run, None if "mark" in run.about else source_of(competition, run, options))
    return {run.id: marks[data_of(run)] for run in runs}


def source_of(competition: Competition, run: Run, options: Options) -> Source | None:
    """The data that the run was trained on: those that are named, else the download or the sample data where they lie
    in their usual place; None where they are not there.

    Raises:
        UserError: the data that are named are others.
    """
    if options.data:
        raw = source(competition, options)
        if not is_of(run, raw):
            raise UserError(f"run {run.id} was trained on other data than {raw.raw}; leave out --data, or name its own")
        return raw
    usual = (DATA / competition.name, sample_folder(competition))
    there = (in_folder(competition, folder) for folder in usual if folder.is_dir())
    return next((raw for raw in there if is_of(run, raw)), None)


def is_of(run: Run, raw: Source) -> bool:
    """Whether the run was trained on these data, or on what a practice test set left of them: then all its held-out
    rows are among them, with the same labels."""
    from common.stored import read_table

    try:
        if raw.fingerprint == data_of(run):
            return True
        held_out = read_table(run.folder / "out_of_fold.parquet")[["id", "label"]]
    except (UserError, OSError):
        return False
    both = held_out.astype(str).merge(raw.train[["id", "label"]].astype(str))
    return len(both) == len(held_out)


def known(competition: Competition, options: Options) -> "Known":
    """What the page of the competition is made of."""
    from common.kaggle.ledger import DEFAULT, Ledger
    from common.report.competition_page import Known

    runs = all_runs(options.runs, competition.name)
    rows = Ledger().rows(competition.name) if DEFAULT.is_file() else []
    boards = [leaderboard(competition, group) for group in grouped(rows)]
    return Known(competition, runs, marks_of(competition, runs, options), boards, options.runs)


def leaderboard(competition: Competition, rows: "Sequence[LedgerRow]") -> "Leaderboard":
    """The submissions to one leaderboard and arena; of a run's the last one counts."""
    from common.report.competition_page import Leaderboard

    where, mark = rows[0].leaderboard, mark_of(competition, rows[0].leaderboard, rows[0].arena)
    latest = {row.run_id: row for row in rows if row.state == "scored"}
    points = [
        {"run": row.run_id, "cv": row.cv_score, "public": row.public_score, "private": row.private_score}
        for row in latest.values()
    ]
    compared = [] if mark == UNKNOWN else [row for row in latest.values() if row.cv_score is not None]
    standing = (
        standing_on_kaggle(competition, rows, None, "") if where == "kaggle" else for_scale(competition, rows, mark)
    )
    said = in_words(
        {
            "leaderboard": where,
            "mark": mark,
            "standing": standing,
            "relations": relations(compared) if compared else {},
            "picture": None,
        }
    )
    return Leaderboard(": ".join(filter(None, (where, mark))), points, said)
