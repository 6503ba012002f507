"""The run that a command is about: trained, found finished, or named."""

from dataclasses import replace

import pandas as pd

from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.recipe import Recipe
from common.run import Run, all_runs, find_run
from competitions.sources import Source


def train_recipe(
    competition: Competition, recipe: Recipe, raw: Source, options: Options, test: pd.DataFrame | None = None
) -> Run:
    from common.data import prepared
    from common.train import result
    from common.train import train as train_folds

    if test is not None:  # a broken test image is better known before the training than after
        prepared(competition, test.assign(source="test"), recipe, replace(options, skip_bad=False))
    run = train_folds(competition, recipe, raw.data(recipe, options), options)
    print(f"{raw.prefix}run {run.id}: {result(run)}")
    return run


def choose_run(
    competition: Competition,
    run_id: str,
    asked: bool,
    recipe: Recipe,
    raw: Source,
    options: Options,
    test: pd.DataFrame,
) -> Run:
    """The run named by id; else the recipe that was asked for, trained if need be; else the best finished run on this
    data, of those that hold out the most images; else the default recipe, trained.

    Raises:
        UserError: no such run, or it was trained on other data: perhaps on the images that are to be predicted.
    """
    if run_id:
        run = find_run(options.runs, competition.name, run_id)
        if run.about.get("source") != raw.fingerprint:
            what = raw.mark or f"{raw.raw}"
            raise UserError(
                f"run {run_id} was trained on other data than this ({what}), and may have seen its test images: leave "
                "out --run, or name the data that it was trained on"
            )
        return run
    best = None if asked else best_run(raw, options)
    return best or train_recipe(competition, recipe, raw, options, test)


def best_run(raw: Source, options: Options) -> Run | None:
    """The best finished run on this data, of those that hold out the most images; None where there is none."""
    runs = [run for run in all_runs(options.runs, raw.competition.name) if run.finished]
    scored = [run for run in runs if run.about.get("source") == raw.fingerprint and run.metrics["score"] is not None]
    return max(scored, key=lambda run: (run.metrics["n"], run.metrics["score"]), default=None)
