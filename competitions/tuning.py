"""The verbs that tune a recipe: a search over its fields, and the dashboard of its studies."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import terminal
from common.competition import Competition
from common.errors import UserError, listing
from common.options import Options
from common.recipe import Recipe
from common.recipe_file import save_recipe
from common.run import Run, all_runs, now
from common.tuning.space import search_space
from common.tuning.study import Pruner, Question, Sampler, database_address, opened, reachable, storage_at
from competitions.arguments import Arguments, parse, parse_arguments
from competitions.sources import Source, source

if TYPE_CHECKING:
    from common.tuning.report import Found


@dataclass(frozen=True)
class TuneArguments(Arguments):
    search: tuple[str, ...] = ()
    """Fields to search; empty: the augmentation policy and its strength."""
    trials: int = 20
    """How many in all, the default recipe among them."""
    sampler: Sampler = "tpe"
    """'tpe' learns from the trials so far, 'grid' goes through every combination in order."""
    pruner: Pruner = "hyperband"
    """Stops trials that fall behind on the first fold: 'hyperband', 'asha' (earlier, hence bolder), or 'none'."""
    seeds: int = 1
    """Seeds whose scores are averaged, from the recipe's own on."""
    study: str = ""
    """Its name; empty: made of the question, so that the same command goes on with the same study."""
    storage: str = ""
    """postgresql://user@host/database, for many machines; empty: a journal file with the runs, for all processes that
    share the disk."""
    json: bool = False
    """Print the same as JSON."""


def tune(competition: Competition, words: list[str]) -> None:
    asked, _ = parse_arguments(competition, "tune", words, TuneArguments)
    if asked.options.again:
        raise UserError("again: a study trains nothing twice; name another --study")
    if asked.trials < 1:
        raise UserError(f"trials: must be 1 or more (got {asked.trials})")
    space = search_space(competition.search, asked.search)
    url = database_address(asked.storage) if asked.storage else ""
    raw = source(competition, asked.options)
    question = Question(competition, asked.recipe, space, raw.fingerprint, asked.sampler, asked.pruner, asked.seeds)
    name = asked.study or question.name
    folder = asked.options.runs / competition.name / "studies" / name
    train = trainer(competition, raw, asked.options)
    from common.tuning.search import running, work

    with reachable(), opened(question, name, folder, url) as (study, locks):
        work(question, study, locks, asked.trials, train)
        if others := [trial for trial in running(study.get_trials()) if locks.alive(trial.user_attrs["worker"])]:
            told = f"{raw.prefix}{len(others)} trials still run in other workers; the last of them reports"
            print(told, file=sys.stderr if asked.json else sys.stdout)
        else:
            result, facts = concluded(question, study, name, folder, raw, asked.options, train)
            if asked.json:
                terminal.print_json(facts)
            else:
                tell(question, result, facts, raw)


def trainer(competition: Competition, raw: Source, options: Options) -> Callable[..., Run]:
    """`common.tuning.search.Train`. What was trained anywhere is found, and every trial uses the same cache."""

    def train(recipe: Recipe, watch=None) -> Run:
        from common.train import train as train_folds

        return train_folds(competition, recipe, raw.data(recipe, options), options, watch)

    return train


def concluded(
    question: Question, study, name: str, folder: Path, raw: Source, options: Options, train
) -> tuple["Found", dict[str, Any]]:
    """Writes the report of a study and its best recipe; what was found, and what there is to tell of it."""
    from common.tuning.report import default_trial, found, importances, sentence, write_report

    trained(question, default_trial(study), options, train)  # all others are compared with it
    run, recipe = refitted(question, study, options, train)
    result = found(question, study, options.runs)
    said = f"{raw.prefix}{sentence(question, result)}"
    origin = {
        "competition": question.competition.name,
        "data": str(raw.raw),
        "study": name,
        "trial": result.best,
        "run": run.id,
        "found": said,
        "at": now(),
    }
    save_recipe(folder / "best.json", recipe, origin)
    shares = importances(study) if len(question.space) > 1 else importances(study).head(0)
    return result, origin | {
        "metric": question.competition.metric,
        "trials": terminal.records(result.trials),
        "importances": {row["field"]: row["share"] for row in terminal.records(shares)},
        "folder": folder,
        "files": [file.name for file in write_report(question, study, result, folder)],
        "recipe": folder / "best.json",
    }


def tell(question: Question, result: "Found", facts: dict[str, Any], raw: Source) -> None:
    """Prints what a study found, as `concluded` has it."""
    from common.tuning.report import as_text

    states = result.trials["state"].replace("default", "complete").value_counts()
    counts = ", ".join(f"{states.get(state, 0)} {state}" for state in ("complete", "pruned", "fail"))
    print(f"{raw.prefix}{facts['metric']} of {len(result.trials)} trials of study {facts['study']} ({counts})")
    print(as_text(result, list(question.space)))
    for field, share in facts["importances"].items():
        print(f"importance of {field.replace('_', ' ')}: {share:.2f}")
    print(facts["found"])
    print(f"written to {facts['folder']}: {listing(facts['files'])}")
    print(f"the best of them, run {facts['run']}, is a recipe of its own: --recipe {facts['recipe']}")


def refitted(question: Question, study, options: Options, train) -> tuple[Run, Recipe]:
    """The best trial's run and recipe, on all folds where the study trained some of them."""
    from common.tuning.report import best_trial
    from common.tuning.search import patiently

    best = best_trial(study)
    runs, recipe = trained(question, best, options, train), question.recipe_at(best.params)
    if not recipe.only_folds:
        return runs[0], recipe
    whole = recipe.with_fields(only_folds=())
    return patiently(train, whole, None), whole


def trained(question: Question, trial, options: Options, train) -> list[Run]:
    """The runs of a completed trial; trained again where another machine trained them and has not shared its folder."""
    from common.tuning.search import patiently

    there = {run.id: run for run in all_runs(options.runs, question.competition.name) if run.finished}
    if set(names := trial.user_attrs["runs"]) <= set(there):
        return [there[name] for name in names]
    return [patiently(train, recipe, None) for recipe in question.seeded(question.recipe_at(trial.params))]


@dataclass(frozen=True)
class DashboardArguments:
    study: str = ""
    """A journal file, or the name of a study whose journal is in the folder of the runs; empty: the only one there."""
    storage: str = ""
    """postgresql://user@host/database."""
    port: int = 8080
    """Port on 127.0.0.1."""
    runs: Path = Path("runs")
    """Folder of the runs."""


def dashboard(words: list[str]) -> None:
    """Serve optuna-dashboard on the studies until it is stopped."""
    asked = parse(DashboardArguments, words, "python -m competitions dashboard")
    where = database_address(asked.storage) if asked.storage else str(journal(asked.study, asked.runs))
    from optuna_dashboard import run_server

    print(f"studies of {asked.storage.rpartition('@')[2] or where}: http://127.0.0.1:{asked.port}", flush=True)
    with reachable():
        run_server(storage_at(where), host="127.0.0.1", port=asked.port)


def journal(study: str, runs: Path) -> Path:
    """Raises UserError: there is none of that name, or none is named and there are several."""
    if study and Path(study).is_file():
        return Path(study)
    there = sorted(runs.glob(f"*/studies/{study or '*'}.journal"))
    if len(there) == 1:
        return there[0]
    if not there:
        what = f"no study '{study}'" if study else "no study"
        raise UserError(f"{what} in {runs}/*/studies: `make <name>-tune` makes one")
    raise UserError(f"name one with --study: {listing(there)}")
