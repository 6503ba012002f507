"""A blend of runs is a run: averaged out-of-fold and test outputs, with its own score and decision rule."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from common.blend import align, as_ranks, checked, rank_mean, weighted_mean
from common.competition import Competition
from common.data import fingerprint
from common.decide import Rule
from common.errors import UserError, listing
from common.files import content_hash, write_json, write_record
from common.greedy import select
from common.labels import label_array
from common.options import Options
from common.paired import paired_values, units_of
from common.predict import from_table, members_of, predict_test, to_table
from common.recipe import Recipe
from common.run import Run, all_runs, environment, find_run, now
from common.stored import read_table, write_table
from common.train.score import score_out_of_fold, score_values

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
    tables = held_out(members, how)
    blend = {"of": [run.id for run in members], "how": how, "by": list(weights) or [1.0] * len(members)}
    table = like(tables[0], average(blend, [from_table(table) for table in tables]))
    metrics = {"metric": competition.metric, **score_out_of_fold(competition, members[0].recipe, table)}
    return write_blend(competition, members[0], blend, table, metrics, root)


def select_runs(competition: Competition, members: Sequence[Run], how: str, root: Path) -> Run:
    """The run that averages those of `members`, and by those weights, that `common.greedy` chooses; `how` as in
    `blend_runs`. It is decided by the first one's rule.

    Its out-of-fold outputs and score are nested, weights and rule. metrics.json also holds `in_sample`, the flattering
    score of the weights on the rows that chose them, `best`, the member with the highest score of its own, and `gain`:
    how much higher the blend scores than the member that is best on the other folds, with its 95% interval.

    Raises:
        UserError: as `blend_runs`.
    """
    tables, recipe = held_out(members, how), members[0].recipe
    outputs = checked([from_table(table) for table in tables])
    labels = label_array(tables[0]["label"], competition.task, len(competition.classes))
    chosen = select(
        as_ranks(outputs) if how == "rank" else outputs,
        labels,
        tables[0]["fold"].to_numpy(),
        competition.metric,
        recipe.decision,
        len(competition.classes),
        groups=tables[0]["group"].to_numpy() if "group" in tables[0] else None,
        seed=recipe.seed,
    )
    table = like(tables[0], chosen.outputs)
    gain = paired_values(competition, labels, (chosen.values, chosen.single), units_of(table)).difference(0, 1)
    best = max(members, key=lambda run: run.metrics["score"])
    metrics = {"metric": competition.metric, **score_values(competition, table, labels, chosen.values, recipe.seed)}
    metrics |= {"rule": chosen.rule.to_dict(), "in_sample": chosen.in_sample, "gain": list(gain)}
    metrics |= {"best": {"run": best.id, "score": best.metrics["score"]}}
    weights = {run.id: weight for run, weight in zip(members, chosen.weights.tolist(), strict=True) if weight > 0}
    blend = {"of": list(weights), "how": how, "by": list(weights.values()), "from": [run.id for run in members]}
    return write_blend(competition, members[0], blend, table, metrics, root)


def selectable(root: Path, competition: str) -> tuple[list[Run], list[Run]]:
    """The finished runs that can be blended, the best first, and those left out because they hold out other rows, or
    answer in another form, than the best of those that hold out the most.

    Raises:
        UserError: no run, or runs on different data, between which nobody but the user can choose.
    """
    finished = [run for run in all_runs(root, competition) if run.finished and "blend" not in run.about]
    runs = sorted(
        (run for run in finished if run.metrics["score"] is not None),
        key=lambda run: (run.metrics["n"], run.metrics["score"]),
        reverse=True,
    )
    if not runs:
        raise UserError(f"no finished run of {competition} in {root / competition}: train some, or name them with --of")
    if len(data := {run.about.get("source", run.fingerprint): run.id for run in runs}) > 1:
        raise UserError(f"the runs are of {len(data)} data sets (as {listing(data.values(), 4)}): choose with --of")
    forms = [_form(run) for run in runs]
    fitting = [run for run, form in zip(runs, forms, strict=True) if form == forms[0]]
    return fitting, [run for run in runs if run not in fitting]


def _form(run: Run) -> tuple[frozenset[str], int]:
    """The ids that a run held out, and how many dimensions its outputs have."""
    table = read_table(run.folder / "out_of_fold.parquet")
    return frozenset(table["id"]), from_table(table).ndim


def held_out(members: Sequence[Run], how: str) -> list[pd.DataFrame]:
    """The out-of-fold tables of runs that can be averaged, in one order of rows. Raises UserError as `blend_runs`."""
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
        raise UserError(f"runs {', '.join(ids)} were not trained on the same data")
    decision = members[0].recipe.decision
    if how == "rank" and decision not in ("thresholds", "prevalence", "probability"):
        raise UserError(f"ranks cannot be decided by '{decision}'; blend with --how mean")
    return align([read_table(run.folder / "out_of_fold.parquet") for run in members])


def like(table: pd.DataFrame, outputs: np.ndarray) -> pd.DataFrame:
    """The rows of an out-of-fold table with other outputs."""
    kept = {name: table[name].to_numpy() for name in ("fold", "label", "group") if name in table}
    return to_table(table["id"].to_numpy(), outputs, **kept)


def write_blend(
    competition: Competition, first: Run, blend: dict, table: pd.DataFrame, metrics: dict, root: Path
) -> Run:
    """The run folder of a blend: the runs that it is made `of`, `how` and `by` which weights."""
    about = {"competition": competition.name, "recipe": first.about["recipe"], "blend": blend, "skipped": []}
    about |= {"data": first.fingerprint, "source": first.about.get("source"), "started": now()}
    about |= {"mark": first.about["mark"]} if "mark" in first.about else {}
    run = Run(root / competition.name / f"blend-{content_hash(blend)}")
    write_json(run.folder / "environment.json", environment())
    write_record(run.folder / "run.json", about)
    write_table(run.folder / "out_of_fold.parquet", table)
    write_record(run.folder / "metrics.json", metrics)
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
    write_table(run.folder / f"{part}.parquet", table)
    run.update(**{part: fingerprint(competition, test)})
    return table


def answers(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """A table of `predict_run` → the ids (n,), and what the run's rule decides: classes or probabilities (n,), or
    indicator rows (n, K)."""
    ids, members = members_of(table)
    rule = Rule.from_dict(run.metrics["rule"])
    return ids, rule(members if rule.name == "majority" else members.mean(0))
