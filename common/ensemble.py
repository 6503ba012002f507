"""A blend of runs is a run: averaged out-of-fold and test outputs, with its own score and decision rule."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from common.blend import align, rank_mean, weighted_mean
from common.competition import Competition
from common.data import fingerprint
from common.decide import Rule
from common.errors import UserError
from common.files import content_hash, write_atomically, write_json
from common.options import Options
from common.predict import from_table, members_of, predict_test, to_table
from common.recipe import Recipe
from common.run import Run, environment, find_run, now
from common.train.score import score_out_of_fold

AVERAGES = {"mean": weighted_mean, "rank": rank_mean}


def members_to_train(
    recipe: Recipe, backbones: Sequence[str], input_sizes: Sequence[int], seeds: Sequence[int]
) -> list[Recipe]:
    """The recipe with every combination of backbone, input size and seed; what is empty stays as the recipe has it.

    Raises:
        UserError: fewer than two combinations, the same twice, a wrong value, or combinations that will not hold out
            the same images.
    """
    choices = (backbones or (recipe.backbone,), input_sizes or (recipe.input_size,), seeds or (recipe.seed,))
    recipes = [recipe.with_fields(backbone=b, input_size=s, seed=seed) for b, s, seed in product(*choices)]
    if len(recipes) < 2 or len(set(recipes)) < len(recipes):
        raise UserError("an ensemble needs two different runs or more: several --backbones, --input-sizes or --seeds")
    if recipe.split == "all":
        raise UserError("split 'all' holds nothing out to score a blend on; use --split folds")
    if recipe.only_folds and len(set(choices[2])) > 1:
        raise UserError("only_folds: other seeds hold out other images; train all folds, or one seed")
    return recipes


def blend_runs(competition: Competition, members: Sequence[Run], how: str, weights: Sequence[float], root: Path) -> Run:
    """The run that averages `members`: `how` is 'mean' of the outputs or 'rank', of their ranks.

    Members of other seeds have other folds. Each output still comes from networks that did not see its row, and so does
    the average; fitted decisions are nested over the folds of the first member, so that no row's own label is in the
    rule that decides it.

    Raises:
        UserError: fewer than two runs, an unfinished one, other data or other held-out rows, or wrong weights.
    """
    if len(members) < 2:
        raise UserError("a blend needs two runs or more: --of RUN RUN …")
    ids = [run.id for run in members]
    if len(set(ids)) < len(ids):
        raise UserError(f"a blend takes each run once; got {', '.join(ids)}")
    for run in members:
        if "blend" in run.about:
            raise UserError(f"run {run.id} is a blend itself; blend the runs that it is made of")
        if not (run.folder / "out_of_fold.parquet").is_file():
            raise UserError(f"run {run.id} has no out-of-fold predictions; finish it first")
    if len({run.about.get("source", run.fingerprint) for run in members}) > 1:
        raise UserError(f"runs {', '.join(run.id for run in members)} were not trained on the same data")
    first = members[0]
    if how == "rank" and first.recipe.decision not in ("thresholds", "prevalence", "probability"):
        raise UserError(f"ranks cannot be decided by '{first.recipe.decision}'; blend with --how mean")
    recipe = {"of": ids, "how": how, "by": list(weights) or [1.0] * len(members)}
    tables = align([pd.read_parquet(run.folder / "out_of_fold.parquet") for run in members])
    outputs = average(recipe, [from_table(table) for table in tables])
    kept = {name: tables[0][name].to_numpy() for name in ("fold", "label", "group") if name in tables[0]}
    table = to_table(tables[0]["id"].to_numpy(), outputs, **kept)
    metrics = {"metric": competition.metric, **score_out_of_fold(competition, first.recipe, table)}
    about = {"competition": competition.name, "recipe": first.about["recipe"], "blend": recipe, "skipped": []}
    about |= {"data": first.fingerprint, "source": first.about.get("source"), "started": now()}
    run = Run(root / competition.name / f"blend-{content_hash(recipe)}")
    write_json(run.folder / "environment.json", environment())
    write_json(run.folder / "run.json", about)
    write_atomically(run.folder / "out_of_fold.parquet", lambda path: table.to_parquet(path, index=False))
    write_json(run.folder / "metrics.json", metrics)
    return run


def average(recipe: dict, outputs: Sequence[np.ndarray]) -> np.ndarray:
    return AVERAGES[recipe["how"]](np.stack(outputs), recipe["by"])


def members_of_blend(competition: Competition, run: Run) -> list[Run]:
    """The runs that a blend averages. Raises UserError where one is gone."""
    return [find_run(run.folder.parent.parent, competition.name, run_id) for run_id in run.about["blend"]["of"]]


def predict_run(
    competition: Competition, run: Run, test: pd.DataFrame, options: Options, part: str = "test"
) -> pd.DataFrame:
    """`test.parquet` (or another part's) of a run or of a blend of runs; see `common.predict.predict_test`."""
    if not run.finished:
        raise UserError(f"run {run.id} is not finished; train it first")
    recipe = run.about.get("blend")
    if recipe is None:
        return predict_test(competition, run, test, options, part)
    outputs = []
    for member in members_of_blend(competition, run):
        ids, parts = members_of(predict_test(competition, member, test, replace(options, again=False), part))
        outputs.append(parts.mean(0))
    table = to_table(ids, average(recipe, outputs), member=0)
    write_atomically(run.folder / f"{part}.parquet", lambda path: table.to_parquet(path, index=False))
    run.update(**{part: fingerprint(competition, test)})
    return table


def answers(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """A table of `predict_run` → the ids (n,), and what the run's rule decides: classes or probabilities (n,), or
    indicator rows (n, K)."""
    ids, members = members_of(table)
    rule = Rule.from_dict(run.metrics["rule"])
    return ids, rule(members if rule.name == "majority" else members.mean(0))
