"""The verb `ledger`: every submission with its standing, and whether local validation can be trusted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from common.competition import Competition
from common.errors import UserError
from common.files import read_json
from common.options import Options
from competitions.arguments import parse
from competitions.sources import ABOUT, HELD_OUT_MARK, PRACTICE

if TYPE_CHECKING:
    import pandas as pd

    from common.kaggle.ledger import Ledger, LedgerRow

PARTS = ("public", "private")
SAMPLE, UNKNOWN = "sample data", "data that an old ledger did not name"


@dataclass(frozen=True)
class LedgerArguments:
    json: bool = False
    """Print the same as JSON."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


def ledger(competition: Competition, words: list[str]) -> None:
    from common.kaggle.ledger import Ledger, table

    asked = parse(LedgerArguments, words, f"python -m competitions {competition.name} ledger")
    book = Ledger()
    folder = book.path.parent / competition.name
    rows = book.rows(competition.name)
    teams, reason = leaderboard_of(competition, rows, folder)
    rows = [with_rank(book, row, teams) for row in rows]
    reports = [report(competition, group, teams, reason, folder) for group in grouped(rows)]
    if asked.json:
        print(json.dumps({"competition": competition.name, "leaderboards": reports}, indent=2))
    elif not rows:
        print(f"nothing of {competition.name} was submitted yet")
    else:
        print("\n".join([table(rows), *(line for about in reports for line in ("", *in_words(about)))]))


def leaderboard_of(
    competition: Competition, rows: "Sequence[LedgerRow]", folder: Path
) -> "tuple[pd.DataFrame | None, str]":
    """Kaggle's leaderboard, where a score of ours belongs on it: today's, or the last that was kept; and in words why
    there is none of today."""
    from common.kaggle.client import kaggle_client
    from common.kaggle.credentials import has_credentials
    from common.kaggle.leaderboard import fetched, read

    if not any(row.leaderboard == "kaggle" and row.state == "scored" for row in rows):
        return None, ""
    file = folder / "leaderboard-kaggle.csv"
    try:
        if not has_credentials():
            raise UserError("without Kaggle credentials the leaderboard is not downloaded")
        return fetched(kaggle_client(), competition.slug, file), ""
    except UserError as error:
        return (read(file) if file.is_file() else None), str(error)


def with_rank(book: "Ledger", row: "LedgerRow", teams: "pd.DataFrame | None") -> "LedgerRow":
    """The row, its rank and the number of teams written down where Kaggle's leaderboard is at hand."""
    from common.kaggle.leaderboard import placing
    from common.kaggle.standing import place

    if teams is None or row.leaderboard != "kaggle" or (score := getattr(row, placing(teams))) is None:
        return row
    standing = place(score, teams[placing(teams)])
    if (row.rank, row.teams) == (standing.rank, standing.teams):
        return row
    return book.update(row, rank=standing.rank, teams=standing.teams)


def grouped(rows: "Sequence[LedgerRow]") -> "list[list[LedgerRow]]":
    """The rows of each leaderboard and arena by themselves: other test images, other scores. Kaggle has one arena."""
    groups: dict[tuple[str, str], list[LedgerRow]] = {}
    for row in rows:
        arena = "" if row.leaderboard == "kaggle" else row.arena
        groups.setdefault((row.leaderboard, arena), []).append(row)
    return list(groups.values())


def report(
    competition: Competition,
    rows: "Sequence[LedgerRow]",
    teams: "pd.DataFrame | None",
    reason: str,
    folder: Path,
) -> dict:
    """What there is to say of the submissions to one leaderboard and arena, as plain values. Of a run's submissions the
    last one counts."""
    leaderboard, arena = rows[0].leaderboard, rows[0].arena
    mark = mark_of(competition, leaderboard, arena)
    scored = {row.run_id: row for row in rows if row.state == "scored" and row.cv_score is not None}
    latest = [] if mark == UNKNOWN else list(scored.values())
    if leaderboard == "kaggle":
        standing = standing_on_kaggle(competition, rows, teams, reason)
    else:
        standing = for_scale(competition, rows, mark)
    return {
        "leaderboard": leaderboard,
        "arena": arena,
        "mark": mark,
        "submissions": [asdict(row) for row in rows],
        "standing": standing,
        "relations": relations(latest) if mark != UNKNOWN else {},
        "picture": picture(competition, latest, mark, folder),
    }


def mark_of(competition: Competition, leaderboard: str, arena: str) -> str:
    """What the scores of an arena come from, where that is not Kaggle's test set or the data set's own."""
    if leaderboard == "kaggle":
        return ""
    if not arena:
        return UNKNOWN
    made = [read_json(file) for file in sorted(PRACTICE.glob(f"*/{ABOUT}"))]
    marks = {facts["slug"]: facts.get("mark", HELD_OUT_MARK) for facts in made}
    return marks.get(arena, SAMPLE if arena == competition.slug else "")  # sample data goes by the competition's name


def best_of(rows: "Sequence[LedgerRow]") -> "LedgerRow | None":
    """The row with the highest private score, or public where no private one is known."""
    for part in ("private_score", "public_score"):
        if scored := [row for row in rows if getattr(row, part) is not None]:
            return max(scored, key=lambda row: getattr(row, part))
    return None


def standing_on_kaggle(
    competition: Competition, rows: "Sequence[LedgerRow]", teams: "pd.DataFrame | None", reason: str
) -> list[str]:
    """In words where the best submission stands: its rank and medal, or between which of the declared lines."""
    from common.kaggle.leaderboard import placing
    from common.kaggle.standing import Standing, between_lines

    told, best = [reason] if reason else [], best_of(rows)
    if best is None:
        return told
    if best.rank and best.teams:
        running = teams is not None and placing(teams) == "public_score"
        when = "on the public leaderboard, for now" if running else "as it would have been: a late submission gets none"
        return [*told, f"run {best.run_id}: {Standing(best.rank, best.teams)}, {when}"]
    if competition.leaderboard_lines and best.private_score is not None:
        where = between_lines(best.private_score, competition.leaderboard_lines)
        return [*told, f"run {best.run_id}: {best.private_score:.4f} lies {where} of the private leaderboard"]
    return told


def for_scale(competition: Competition, rows: "Sequence[LedgerRow]", mark: str) -> list[str]:
    """In words where a practice score on real images would lie on Kaggle, and that it is none of Kaggle's."""
    from common.kaggle.standing import between_lines

    if mark == UNKNOWN:
        return ["different test sets may be among these, so they are not compared"]
    best = best_of(rows)
    if mark != HELD_OUT_MARK or not competition.leaderboard_lines or best is None or best.private_score is None:
        return []
    where = between_lines(best.private_score, competition.leaderboard_lines)
    return [
        f"run {best.run_id}: {best.private_score:.4f} is a practice score on held-out training images; on Kaggle's "
        f"private leaderboard, whose test images are others, the same number would lie {where}"
    ]


def relations(rows: "Sequence[LedgerRow]") -> dict:
    """The relation of CV to each part of a leaderboard, or in words why there is none."""
    from common.kaggle.relation import Relation, relation

    found = {}
    for part in PARTS:
        known = [row for row in rows if getattr(row, f"{part}_score") is not None]
        of_part = relation([row.cv_score for row in known], [getattr(row, f"{part}_score") for row in known])
        found[part] = of_part.to_dict() if isinstance(of_part, Relation) else of_part
    return found


def picture(competition: Competition, rows: "Sequence[LedgerRow]", mark: str, folder: Path) -> str | None:
    """Path of the scatter picture of two runs or more."""
    from common.kaggle.relation import draw

    scores = {part: [getattr(row, f"{part}_score") for row in rows] for part in PARTS}
    known = {part: values for part, values in scores.items() if None not in values}
    if len(rows) < 2 or not known:
        return None
    path = folder / f"cv-{rows[0].leaderboard}-{rows[0].arena or competition.slug}.png"
    title = ", ".join(filter(None, (competition.name, rows[0].leaderboard, mark, competition.metric)))
    draw(path, title, [row.run_id for row in rows], [row.cv_score for row in rows], known)
    return str(path)


def in_words(about: dict) -> list[str]:
    """The lines of a report; each says first what its scores come from."""
    lines = list(about["standing"])
    for part, found in about["relations"].items():
        if isinstance(found, str):
            lines.append(f"cv against {part}: {found}")
            continue
        correlations = [f"{name} {_with_interval(found[name.lower()])}" for name in ("Pearson", "Spearman")]
        lines.append(f"cv against {part}, {found['n']} runs: {', '.join(correlations)}")
        lines.append(
            f"{part} is {found['offset']:+.4f} from cv on average, and spreads by {found['spread']:.4f} about the line "
            "fitted to it"
        )
        lines.append(found["verdict"])
    if about["picture"]:
        lines.append(f"drawn in {about['picture']}")
    prefix = ": ".join(filter(None, (about["leaderboard"], about["mark"])))
    return [f"{prefix}: {line}" for line in lines]


def _with_interval(correlation: tuple[float, float, float]) -> str:
    return "{:.2f} (95% interval {:.2f} to {:.2f})".format(*correlation)
