"""The page of a competition: its runs, cross-validation beside the leaderboard, ablations, studies, and two runs side
by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from common.competition import Competition
from common.files import read_json, write_json
from common.report.asked import called
from common.report.charts import Series, chart, intervals
from common.report.page import made_of, once, whole, write_page
from common.report.run_page import curves_of, has_page, members
from common.report.versus import pairs
from common.run import Run


@dataclass(frozen=True)
class Leaderboard:
    """Submissions to one leaderboard and arena. `name` says first whose scores these are ("practice: sample data").

    `points`: one a run: `run`, `cv`, `public` and `private` (None where it is not known). `said`: lines about them.
    """

    name: str
    points: Sequence[Mapping[str, Any]]
    said: Sequence[str]


@dataclass(frozen=True)
class Known:
    """All that the page of a competition is made of. `marks`: id of a run → what its data are, "" for the
    competition's own."""

    competition: Competition
    runs: Sequence[Run]
    marks: Mapping[str, str]
    leaderboards: Sequence[Leaderboard]
    root: Path
    """Folder of the runs; pages are in its `report`."""

    @cached_property
    def scored(self) -> list[Run]:
        """The runs with a score: those on the competition's own data first, then those that hold out the most, then the
        best."""
        runs = [run for run in self.runs if run.finished and run.metrics["score"] is not None]
        return sorted(
            runs, key=lambda run: (bool(self.marks[run.id]), -run.metrics["n"], -run.metrics["score"], run.id)
        )

    @property
    def folder(self) -> Path:
        return self.root / self.competition.name


def write_competition_page(known: Known) -> tuple[Path, bool]:
    """`report/<name>.html` in the folder of the runs, and what the index says of it beside it as JSON; and whether the
    page had to be made."""
    name = known.competition.name
    path = known.root / "report" / f"{name}.html"
    files = [file for run in known.runs for file in (run.folder / "run.json", run.folder / "metrics.json")]
    files += [*known.folder.glob("ablation-*.csv"), *known.folder.glob("studies/*/*.*")]
    pages = [run.id for run in known.runs if has_page(run.folder)]
    boards = [vars(board) for board in known.leaderboards]
    stamp = made_of(name, known.marks, boards, pages, files=sorted(file for file in files if file.is_file()))

    def make() -> None:
        table = runs_table(known)
        write_json(path.with_suffix(".json"), summary(known, table))  # first: a page that is there is not made again
        ranks = {run.id: rank for rank, run in enumerate(known.scored)}
        write_page(
            path,
            "competition.html",
            stamp,
            competition=known.competition,
            runs=table,
            choices=sorted(table, key=lambda row: ranks.get(row["run"], len(ranks))),
            recipes={run.id: run.recipe.to_dict() | {"blend_of": members(run)} for run in known.runs},
            scores={run.id: [run.metrics["score"], *run.metrics["interval"]] for run in known.scored},
            pairs=pairs(known.competition, known.scored, path.with_name(f"{name}-pairs.json")),
            leaderboards=[(board, beside_cv(board)) for board in known.leaderboards],
            ablations=[ablation(known, file) for file in sorted(known.folder.glob("ablation-*.csv"))],
            studies=[
                study(known.competition, file.parent) for file in sorted(known.folder.glob("studies/*/trials.csv"))
            ],
        )

    return path, once(path, stamp, make)


def runs_table(known: Known) -> list[dict[str, Any]]:
    """One row a run, the newest first."""
    return [row(known, run) for run in reversed(known.runs)]


def row(known: Known, run: Run) -> dict[str, Any]:
    metrics = run.metrics if run.finished else {}
    score, (low, high) = metrics.get("score"), metrics.get("interval") or (None, None)
    seconds = sum(curve["seconds"].sum() for _, curve in curves_of(run))
    return {
        "run": run.id,
        "page": has_page(run.folder),
        "when": run.about["started"][:16].replace("T", " "),
        "data": known.marks[run.id] or known.competition.name,
        **answer(known.competition, run),
        "score": score,
        "low": low,
        "high": high,
        "n": metrics.get("n"),
        "minutes": round(seconds / 60, 1),
        "state": "finished" if run.finished else "unfinished",
        "submitted": submitted(known, run),
    }


def answer(competition: Competition, run: Run) -> dict[str, Any]:
    """What of its recipe is shown. A blend's recipe is that of its first member, and says nothing of the others."""
    if of := members(run):
        return {"recipe": f"blend of {len(of)}", **dict.fromkeys(("backbone", "px", "augment", "loss"), "")}
    recipe = run.recipe
    shown = {"backbone": recipe.backbone, "px": recipe.input_size, "augment": recipe.augment, "loss": recipe.loss}
    return {"recipe": called(competition, recipe), **shown}


def submitted(known: Known, run: Run) -> str:
    """The leaderboard scores of a run in words, each saying whose it is."""
    told = []
    for board in known.leaderboards:
        for point in board.points:
            if point["run"] == run.id:
                parts = [f"{part} {point[part]:.4f}" for part in ("public", "private") if point[part] is not None]
                told.append(f"{board.name}: {', '.join(parts)}")
    return "; ".join(told)


def beside_cv(board: Leaderboard) -> Markup | None:
    """Cross-validation against the leaderboard's parts, a point a run; None where there are fewer than two."""
    drawn = []
    for part in ("public", "private"):
        points = [point for point in board.points if point[part] is not None and point["cv"] is not None]
        told = [f"{point['run']}: cv {point['cv']:.4f}, {part} {point[part]:.4f}" for point in points]
        x, y = [point["cv"] for point in points], [point[part] for point in points]
        drawn.append(Series(part, x, y, line=False, texts=told))
    if len(drawn[0].x) < 2:
        return None
    title = f"{board.name}: cross-validation against the leaderboard; on the line both are equal"
    return chart(title, "cross-validation", "leaderboard", drawn, diagonal=True)


def ablation(known: Known, file: Path) -> dict[str, Any]:
    """A table that `ablate` wrote, and what each intervention brings as a picture."""
    table = whole(file, ablated).fillna({"without": "", "beyond_noise": ""})
    rows = list(table.iloc[1:][["without", "brings", "low", "high"]].itertuples(index=False, name=None))
    run = str(table["runs"].iloc[0]).split()[0]
    mark = f"{known.marks[run]}: " if known.marks.get(run) else ""
    title = f"{mark}what each intervention of run {run} brings, with 95% intervals"
    return {"name": run, "chart": intervals(title, "score with it, minus without", rows), "table": table}


def ablated(file: Path) -> pd.DataFrame:
    texts, numbers = ("without", "beyond_noise", "runs"), ("score", "brings", "low", "high")
    kinds = dict.fromkeys(texts, str) | dict.fromkeys(numbers, float)
    return pd.read_csv(file, usecols=list(kinds), dtype=kinds)


def study(competition: Competition, folder: Path) -> dict[str, Any]:
    """What `tune` wrote of a study: its trials, a chart for each number that was searched, what it says."""
    trials, best, importances = (folder / name for name in ("trials.csv", "best.json", "importances.csv"))
    trials = whole(trials, tried)
    origin = whole(best, lambda file: read_json(file)["from"]) if best.is_file() else {}
    shares = whole(importances, pd.read_csv) if importances.is_file() else pd.DataFrame()
    fields = [name for name in trials if name not in TOLD and trials[name].notna().any()]
    done = trials.dropna(subset=["score"])
    return {
        "name": folder.name,
        "said": origin.get("found", ""),
        "fields": fields,
        "heads": [(name.replace("_", " "), pd.api.types.is_numeric_dtype(trials[name])) for name in fields],
        "trials": done.sort_values("score", ascending=False).to_dict("records"),
        "others": int(len(trials) - len(done)),
        "importances": shares.to_dict("records"),
        "charts": [curve(competition, done, name) for name in fields if pd.api.types.is_numeric_dtype(done[name])],
        "parallel": (folder / "parallel.html").is_file(),
    }


def tried(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype={"runs": str, "reason": str}).astype({"trial": int, "score": float})


TOLD = ("trial", "state", "score", "low", "high", "gain", "gain_low", "gain_high", "epochs", "runs", "reason")
"""Columns of trials.csv that are not fields of the recipe."""


def curve(competition: Competition, trials: pd.DataFrame, name: str) -> Markup:
    """Score over one searched number, a series a policy where policies were searched too."""
    by = "augment" if "augment" in trials and name != "augment" else None
    parts = trials.dropna(subset=[name]).sort_values(name)
    series = [
        Series(
            str(title),
            *(part[column].tolist() for column in (name, "score") if column in part),
            low=part["low"].tolist() if "low" in part else (),
            high=part["high"].tolist() if "high" in part else (),
        )
        for title, part in (parts.groupby(by) if by else [("trials", parts)])
    ]
    values = parts[name]
    log = bool(len(values) and values.min() > 0 and values.max() / values.min() > 30)
    words = name.replace("_", " ")
    return chart(f"Score over {words}", words, competition.metric.replace("_", " "), series, log=log)


def summary(known: Known, table: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the index says of a competition."""
    best = known.scored[0].id if known.scored else ""
    return {
        "title": known.competition.title,
        "metric": known.competition.metric.replace("_", " "),
        "runs": len(known.runs),
        "best": next((row for row in table if row["run"] == best), None),
        "mark": known.marks[known.scored[0].id] if known.scored else "",
    }
