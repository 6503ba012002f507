"""What each verb does: reads the raw folder, calls the rooms of `common/` in order, prints what came of it."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from common import terminal
from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.recipe import Recipe
from common.run import Run, all_runs, find_run
from competitions.arguments import Arguments, parse, parse_arguments, parse_recipe, take
from competitions.blending import blend as blend
from competitions.estimating import print_estimate
from competitions.reporting import report as report
from competitions.sources import PRACTICE, Source, practice_competitions, source
from competitions.standing import ledger as ledger
from competitions.submitting import kernel as kernel
from competitions.submitting import submit as submit
from competitions.training import choose_run, train_recipe
from competitions.tuning import tune as tune


def prepare(competition: Competition, words: list[str]) -> None:
    from common.data import prepared

    recipe, options, _ = parse_recipe(competition, "prepare", words)
    raw = source(competition, options)
    tables = [raw.data(recipe, options).table]
    if raw.has_test:
        tables.append(raw.test().assign(source="test"))
    for table in tables:
        cache, skipped = prepared(competition, table, recipe, options)
        cache.verify()
        left_out = f", {len(skipped)} left out" if skipped else ""
        what = " + ".join(table["source"].unique())
        print(f"{raw.prefix}{what}: {len(cache):,} images ready for {recipe.input_size} px{left_out}")


def show_augment(competition: Competition, words: list[str]) -> None:
    from common.augment import NAMES, STRENGTHS, Policy, contact_sheet
    from common.reader import SURROUND, reader_of

    recipe, options, _ = parse_recipe(competition, "show-augment", words)
    raw = source(competition, options)
    rows = raw.train.groupby("label").head(2)["path"].head(6)
    policies = [Policy(name, flips=recipe.flips, surround=SURROUND[recipe.preparation]) for name in NAMES]
    path = options.runs / competition.name / "augmentation.png"
    read = reader_of(competition, recipe.channels, recipe.preparation)
    contact_sheet([read(path) for path in rows], policies, STRENGTHS, 160, path)
    print(f"{raw.prefix}every policy at several strengths: {path}")


def train(competition: Competition, words: list[str]) -> None:
    recipe, options, _ = parse_recipe(competition, "train", words)
    train_recipe(competition, recipe, source(competition, options), options)


@dataclass(frozen=True)
class PredictArguments(Arguments):
    estimate: bool = False
    """Measure on a few batches how long it would take, and do not do it."""
    images: int = 0
    """How many images to estimate for; 0: those of the test set."""


def predict(competition: Competition, words: list[str]) -> None:
    from common.ensemble import predict_run
    from common.parts import score_parts

    run_id, words = take(words, "--run")
    arguments, asked = parse_arguments(competition, "predict", words, PredictArguments)
    recipe, options = arguments.recipe, arguments.options
    raw = source(competition, options)
    if arguments.estimate:
        print_estimate(competition, recipe, asked, run_id, raw, options, arguments.images)
        return
    test = raw.test()
    run = choose_run(competition, run_id, asked, recipe, raw, options, test)
    table = predict_run(competition, run, test, options)
    print(f"{raw.prefix}run {run.id}: {table['id'].nunique():,} test images predicted in {run.folder / 'test.parquet'}")
    for line in score_parts(competition, run, raw.raw, options):
        print(f"{raw.prefix}{line}")


def embed(competition: Competition, words: list[str]) -> None:
    recipe, options, _ = parse_recipe(competition, "embed", words)
    raw = source(competition, options)
    print(f"{raw.prefix}features of {recipe.backbone} at {recipe.input_size} px: {_embedded(recipe, raw, options)}")


@dataclass(frozen=True)
class ProbeArguments(Arguments):
    json: bool = False
    """Print the same as JSON."""


def probe(competition: Competition, words: list[str]) -> None:
    from common.files import write_text
    from common.stored import read_table
    from common.train.probes import probe_grid

    asked, _ = parse_arguments(competition, "probe", words, ProbeArguments)
    recipe, options = asked.recipe, asked.options
    with terminal.aside(asked.json):
        raw = source(competition, options)
        folder = _embedded(recipe, raw, options)
        table = probe_grid(competition, recipe, read_table(folder / "train.parquet"), options)
    path = folder / "probes.csv"
    write_text(path, table.to_csv(index=False))
    if asked.json:
        about = {"competition": competition.name, "mark": raw.mark, "metric": competition.metric}
        of_what = {"backbone": recipe.backbone, "epochs": recipe.epochs, "file": path}
        return terminal.print_json({**about, **of_what, "probes": terminal.records(table)})
    print(f"{raw.prefix}{competition.metric} of linear probes on {recipe.backbone}, {recipe.epochs} epochs")
    print(terminal.table(list(table), table.map("{:.4g}".format).to_numpy()))
    print("the best of several is the best on these rows: its score flatters a little")
    print(f"written to {path}")


def _embedded(recipe: Recipe, raw: Source, options: Options) -> Path:
    from common.embed import embedded

    if asked := [name for name in ("external", "pseudo", "clean") if getattr(recipe, name)]:
        raise UserError(f"{asked[0]}: features are of the competition's own images; leave out --{asked[0]}")
    test = raw.test() if raw.has_test else None
    return embedded(raw.competition, recipe, raw.data(recipe, options).table, test, options)


@dataclass(frozen=True)
class EnsembleArguments(Arguments):
    backbones: tuple[str, ...] = ()
    """Networks to train; empty: the recipe's."""
    input_sizes: tuple[int, ...] = ()
    """Sides of the input to train at; empty: the recipe's."""
    seeds: tuple[int, ...] = ()
    """Seeds to train with; empty: the recipe's."""
    how: Literal["mean", "rank"] = "mean"
    """Average the outputs, or their ranks (for AUC)."""


def ensemble(competition: Competition, words: list[str]) -> None:
    from common.ensemble import blend_runs, members_to_train
    from common.train import result
    from common.train.train import check

    asked, _ = parse_arguments(competition, "ensemble", words, EnsembleArguments)
    recipes = members_to_train(asked.recipe, asked.backbones, asked.input_sizes, asked.seeds)
    for recipe in recipes:
        check(competition, recipe)
    raw = source(competition, asked.options)
    members = [train_recipe(competition, recipe, raw, asked.options) for recipe in recipes]
    run = blend_runs(competition, members, asked.how, (), asked.options.runs)
    print(f"{raw.prefix}run {run.id} ({asked.how} of {len(members)} runs): {result(run)}")


@dataclass(frozen=True)
class AblateArguments(Arguments):
    seeds: int = 3
    """How many seeds, from the recipe's own on."""
    of: tuple[str, ...] = ()
    """Interventions to turn off, one at a time; empty: all that the recipe has on."""
    json: bool = False
    """Print the same as JSON."""


def ablate(competition: Competition, words: list[str]) -> None:
    from common.ablation import ablate as turn_off_one_at_a_time
    from common.ablation import as_text
    from common.files import write_text

    asked, _ = parse_arguments(competition, "ablate", words, AblateArguments)
    with terminal.aside(asked.json):
        raw = source(competition, asked.options)
        run_of = partial(train_recipe, competition, raw=raw, options=asked.options)
        table, left_out = turn_off_one_at_a_time(competition, asked.recipe, asked.seeds, asked.of, run_of)
    whole = find_run(asked.options.runs, competition.name, table["runs"][0].split()[0])
    path = whole.folder.parent / f"ablation-{whole.id}.csv"
    write_text(path, table.to_csv(index=False))
    if asked.json:
        about = {"competition": competition.name, "mark": raw.mark, "metric": competition.metric}
        of_what = {"n": whole.metrics["n"], "seeds": asked.seeds, "left_out": left_out, "file": path}
        return terminal.print_json({**about, **of_what, "rows": terminal.records(table)})
    seeds = f"{asked.seeds} seeds" if asked.seeds > 1 else "one seed, whose spread is not in the intervals"
    print(f"{raw.prefix}{competition.metric} on {whole.metrics['n']:,} held-out images, {seeds}")
    print(as_text(table))
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    print(f"written to {path}")


@dataclass(frozen=True)
class SuspectsArguments:
    run: str
    """Id of the finished run that judges the labels."""
    top: int = 50
    """How many of the most suspicious to print."""
    json: bool = False
    """Print the same as JSON."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


def suspects(competition: Competition, words: list[str]) -> None:
    from common.files import write_text
    from common.suspects import suspicious_rows

    asked = parse(SuspectsArguments, words, f"python -m competitions {competition.name} suspects")
    with terminal.aside(asked.json):
        raw = source(competition, asked.options)
    run = find_run(asked.options.runs, competition.name, asked.run)
    table = suspicious_rows(run, competition, share=1.0).merge(raw.train[["id", "label", "path"]], how="left")
    if table["path"].isna().any():
        raise UserError(f"run {run.id} was trained on other data than {raw.raw}; name its folder with --data")
    table = table[["id", "path", "label", "predicted", "suspicion"]]
    path = run.folder / "suspects.csv"
    write_text(path, table.to_csv(index=False))
    worst = table.head(asked.top)
    if asked.json:
        about = {"competition": competition.name, "mark": raw.mark, "run": run.id, "n": len(table), "file": path}
        return terminal.print_json({**about, "suspects": terminal.records(worst)})
    shown = worst.drop(columns="path").assign(suspicion=worst["suspicion"].map("{:.4f}".format))
    print(terminal.table(list(shown), shown.astype(str).to_numpy()))
    print(f"{raw.prefix}all {len(table):,} labels, the most suspicious first, with their files: {path}")


def download(competition: Competition, words: list[str]) -> None:
    from competitions.downloads import download as get

    get(competition, words)


@dataclass(frozen=True)
class RunsArguments:
    json: bool = False
    """Print the same as JSON."""
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


def runs(competition: Competition, words: list[str]) -> None:
    asked = parse(RunsArguments, words, f"python -m competitions {competition.name} runs")
    found = all_runs(asked.options.runs, competition.name)
    if asked.json:
        terminal.print_json({"competition": competition.name, "runs": [_facts(run) for run in found]})
    elif not found:
        print(f"no runs of {competition.name} yet")
    else:
        names = ("run", "cv", "95% interval", "state", "backbone", "px", "augment", "loss")
        print(terminal.table(names, map(_in_short, found)))


def _facts(run: Run) -> dict[str, Any]:
    """What `runs` says of a run: of its metrics, and the fields of its recipe that are not the defaults."""
    metrics = run.metrics if run.finished else {}
    recipe = {name: value for name, value in run.recipe.to_dict().items() if value != getattr(Recipe(), name)}
    of_score = {name: metrics.get(name) for name in ("metric", "score", "interval", "n")}
    return {"run": run.id, "state": "finished" if run.finished else "unfinished", **of_score, "recipe": recipe}


def _in_short(run: Run) -> tuple[str, ...]:
    facts, recipe = _facts(run), run.recipe
    known = facts["score"] is not None
    score, interval = (f"{facts['score']:.4f}", "{:.4f}–{:.4f}".format(*facts["interval"])) if known else ("-", "-")
    of_recipe = (recipe.backbone, str(recipe.input_size), recipe.augment, recipe.loss)
    return (run.id, score, interval, facts["state"], *of_recipe)


@dataclass(frozen=True)
class PracticeArguments:
    port: int = 7777
    """Port on 127.0.0.1."""


def practice(words: list[str]) -> None:
    """Serve the practice leaderboard until it is stopped."""
    from common.kaggle.practice.server import serve

    port = parse(PracticeArguments, words, "python -m competitions practice").port
    serve(practice_competitions(), PRACTICE, port)
