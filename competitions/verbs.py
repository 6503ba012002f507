"""What each verb does: reads the raw folder, calls the rooms of `common/` in order, prints what came of it."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import tyro

from common.competition import Competition
from common.data import Data, read_data
from common.errors import UserError
from common.options import Options
from common.recipe import Recipe
from common.run import Run, all_runs, find_run, open_run
from competitions.arguments import parse, parse_recipe, take
from competitions.sources import Source, arena, source

SUBMISSIONS = Path("submissions")


def prepare(competition: Competition, words: list[str]) -> None:
    from common.train.train import prepared

    parsed = parse_recipe(competition, "prepare", words)
    raw = source(competition, parsed.options)
    data = raw.data(parsed.recipe)
    tables = [data.table]
    if raw.has_test:
        tables.append(raw.test().assign(source="test"))
    for table in tables:
        cache, skipped = prepared(competition, table, parsed.recipe, parsed.options)
        left_out = f", {len(skipped)} left out" if skipped else ""
        print(f"{'/'.join(table['source'].unique())}: {len(cache):,} images at {parsed.recipe.input_size} are ready{left_out}")


def train(competition: Competition, words: list[str]) -> None:
    parsed = parse_recipe(competition, "train", words)
    train_run(competition, parsed.recipe, source(competition, parsed.options), parsed.options)


def train_run(competition: Competition, recipe: Recipe, raw: Source, options: Options) -> Run:
    from common.train import result
    from common.train import train as train_recipe

    run = train_recipe(competition, recipe, raw.data(recipe), options)
    run.update(source=raw.fingerprint)
    print(f"{raw.mark}run {run.id}: {result(run)}")
    return run


def predict(competition: Competition, words: list[str]) -> None:
    run_id, words = take(words, "--run")
    parsed = parse_recipe(competition, "predict", words)
    raw = source(competition, parsed.options)
    run = choose_run(competition, run_id, parsed.recipe_asked, parsed.recipe, raw, parsed.options)
    table = predict_test(competition, run, raw, parsed.options)
    print(f"{raw.mark}run {run.id}: {table['id'].nunique():,} images predicted in {run.folder / 'test.parquet'}")
