"""What a study found: the trials with intervals, a curve for each number that was searched, which fields matter, and
whether the best trial beats the default beyond noise."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from common import terminal
from common.files import write_atomically, write_text
from common.paired import Compared, compare
from common.run import all_runs
from common.tuning.search import in_short, in_words, is_default
from common.tuning.space import Range, matters
from common.tuning.study import Question

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

ENOUGH = 5
"""Completed trials from which importances are computed."""


@dataclass(frozen=True)
class Found:
    """`trials`: one row each, by number: `trial`, `state`, one column a searched field, `score` (of a pruned trial NaN:
    its epochs are of one fold), `low`, `high`, `gain` (on the default), `gain_low`, `gain_high` (95% intervals, paired
    over rows and seeds; NaN where the runs lie on another machine), `epochs` (of the first fold, where it was watched),
    `runs`, `reason`. `best`: its number. `rows`: how many held-out images the scores are of."""

    trials: pd.DataFrame
    best: int
    rows: int

    @property
    def best_row(self) -> pd.Series:
        return self.trials.set_index("trial").loc[self.best]


def found(question: Question, study: "Study", runs: Path) -> Found:
    """The study's trials, those whose runs are under `runs` compared with the default on the same held-out rows."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    here = {run.id: run for run in all_runs(runs, question.competition.name) if run.finished}
    mine = [trial for trial in complete if set(trial.user_attrs["runs"]) <= set(here)]
    mine.sort(key=lambda trial: (not is_default(trial), trial.number))
    runs_of = [[here[name] for name in trial.user_attrs["runs"]] for trial in mine]
    compared = compare(question.competition, runs_of) if mine and is_default(mine[0]) else None
    places = {trial.number: place for place, trial in enumerate(mine)} if compared else {}
    table = pd.DataFrame([row(question, trial, compared, places.get(trial.number)) for trial in trials])
    return Found(table, best_trial(study).number, runs_of[0][0].metrics["n"] if mine else 0)


def default_trial(study: "Study") -> "FrozenTrial":
    (trial,) = [trial for trial in study.get_trials(deepcopy=False) if is_default(trial) and trial.value is not None]
    return trial


def best_trial(study: "Study") -> "FrozenTrial":
    """Of the highest score, the earliest."""
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    return max(complete, key=lambda trial: (trial.value, -trial.number))


def row(question: Question, trial: "FrozenTrial", compared: Compared | None, place: int | None) -> dict:
    recipe = question.recipe_at(trial.params)
    nan = float("nan")
    low, high = compared.interval(place) if place is not None else (nan, nan)
    gain = compared.difference(place, 0) if place is not None else (nan, nan, nan)
    return {
        "trial": trial.number,
        "state": "default" if is_default(trial) and trial.value is not None else trial.state.name.lower(),
        **{name: getattr(recipe, name) if matters(name, recipe, trial.params) else None for name in question.space},
        "score": trial.value if trial.state.name == "COMPLETE" else nan,
        **dict(zip(("low", "high", "gain", "gain_low", "gain_high"), (low, high, *gain), strict=True)),
        "epochs": trial.last_step or 0,
        "runs": " ".join(trial.user_attrs.get("runs", ())),
        "reason": trial.user_attrs.get("reason", ""),
    }


def sentence(question: Question, result: Found) -> str:
    """Whether the tuned values beat the default beyond noise, in words."""
    best, metric = result.best_row, question.competition.metric
    tried = (result.trials["score"].notna()).sum()
    if best["state"] == "default":
        return f"none of {tried} completed trials beats the default, {metric} {best['score']:.4f}: keep it"
    values = in_words({name: best[name] for name in question.space if best[name] is not None})
    if np.isnan(best["gain"]):
        return f"best: {values}, {metric} {best['score']:.4f}; the runs to compare it by lie on another machine"
    seeds = f"{question.seeds} seeds" if question.seeds > 1 else "one seed, whose spread is not in the interval"
    gain = (
        f"{values}: {metric} {best['score']:.4f}, {best['gain']:+.4f} on the default (95% interval "
        f"{best['gain_low']:+.4f} to {best['gain_high']:+.4f}; {result.rows:,} held-out images, {seeds})"
    )
    if best["gain_low"] > 0:
        return f"{gain}: beyond noise, though the best of {tried} on these images flatters itself a little"
    return f"{gain}: not beyond noise, so the default is as good as far as these images tell"


def as_text(result: Found, fields: Sequence[str]) -> str:
    """The table to print, the best first, then what was pruned or failed."""
    table = result.trials.sort_values(["score", "trial"], ascending=[False, True])
    signed, plain = "{:+.4f}".format, "{:.4f}".format
    shown = table[["trial", "state", *fields]].copy()
    shown[list(fields)] = shown[list(fields)].map(lambda value: "-" if pd.isna(value) else in_short(value))
    shown["score"] = written(table, plain, "score")
    shown["gain"] = written(table, signed, "gain")
    shown["95% interval of the gain"] = written(table, signed, "gain_low", "gain_high")
    shown["reason"] = table["reason"]
    shown = shown.loc[:, (shown != "").any()].astype(str)
    return terminal.table(list(shown), shown.to_numpy())


def written(table: pd.DataFrame, form, *columns: str) -> list[str]:
    """The numbers of each row with "to" between them, nothing where there are none."""
    rows = table[list(columns)].to_numpy()
    return ["" if np.isnan(values).any() else " to ".join(map(form, values)) for values in rows]


def importances(study: "Study") -> pd.DataFrame:
    """`field`, `share` of the spread of the scores that it explains (fANOVA: Hutter, Hoos and Leyton-Brown 2014); no
    rows where too few trials completed to tell, or none differ."""
    import optuna

    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if len(complete) < ENOUGH:
        return pd.DataFrame(columns=("field", "share"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):
        shares = {}
    return pd.DataFrame(shares.items(), columns=("field", "share"))


def write_report(question: Question, study: "Study", result: Found, folder: Path) -> list[Path]:
    """trials.csv, importances.csv, parallel.html (opens without a network) and for each number that was searched
    `<field>.csv` and `<field>.png`; what was written."""
    from optuna.visualization import plot_parallel_coordinate

    files = [folder / "trials.csv", folder / "importances.csv", folder / "parallel.html"]
    write_text(files[0], result.trials.to_csv(index=False))
    write_text(files[1], importances(study).to_csv(index=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = {name for trial in study.trials if trial.state.is_finished() for name in trial.params}
        fields = sorted(drawn & set(question.space))  # no strength where no trial had a policy that has one
        page = plot_parallel_coordinate(study, params=fields, target_name=question.competition.metric)
    write_atomically(files[2], lambda path: page.write_html(path, include_plotlyjs=True))
    for name, choice in question.space.items():
        if isinstance(choice, Range) or all(type(value) in (int, float) for value in choice):
            files += write_curve(question, result, name, folder)
    return files


def write_curve(question: Question, result: Found, name: str, folder: Path) -> list[Path]:
    """Score over one field, with intervals; a line a policy where the policy was searched too."""
    from common.tuning.figure import curve

    points = result.trials.dropna(subset=["score", name]).sort_values(name)
    by = ["augment"] if "augment" in question.space and name != "augment" else []
    csv, png = folder / f"{name}.csv", folder / f"{name}.png"
    columns = [*by, name, "score", "low", "high", "trial"]
    write_text(csv, points[columns].sort_values([*by, name]).to_csv(index=False))
    default = result.trials[result.trials["state"] == "default"].iloc[0]
    log = isinstance(question.space[name], Range) and question.space[name].log
    figure = curve(points, name, question.competition.metric, by, default, log)
    write_atomically(png, lambda path: figure.savefig(path, format="png", dpi=150))
    return [csv, png]
