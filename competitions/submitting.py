"""The verbs `submit` and `kernel`: to the leaderboard as it wants it, and training on the leaderboard's machines."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from common.command import take
from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.recipe import Recipe
from common.run import Run
from competitions.arguments import parse_recipe
from competitions.leaderboards import choose_leaderboard, leaderboard_client, take_leaderboard
from competitions.sources import Source, arena, sample_source, source
from competitions.training import choose_run

if TYPE_CHECKING:
    from common.kaggle.client import Client
    from common.kaggle.package import Package
    from common.kaggle.submit import Way

SUBMISSIONS = Path("submissions")


def submit(competition: Competition, words: list[str]) -> None:
    from common.kaggle.ledger import Ledger
    from common.kaggle.submit import check_way, refuse_what_kaggle_lacks
    from common.kaggle.submit import submit as send
    from common.submission import check_sample

    board, words = take_leaderboard(words)
    run_id, words = take(words, "--run")
    wait, words = take_switch(words, "--wait-for-quota")
    recipe, options, asked = parse_recipe(competition, "submit", words)
    raw = source(competition, options)
    if raw.mark:
        print(f"{raw.prefix}drawn by this project in the layout of the real download; its scores say nothing else")
    board = choose_leaderboard(board, raw)
    if board == "practice":
        raw = arena(raw)
        competition = raw.competition
    with leaderboard_client(board, raw) as client:
        refuse_what_kaggle_lacks(competition, client)
        check_way(competition, client)
        test = raw.test()
        check_sample(raw.raw / competition.sample_submission, competition)
        run = choose_run(competition, run_id, asked, recipe, raw, replace(options, again=False), test)
        way_of = notebook_way if competition.takes == "notebook" else csv_way
        way = way_of(competition, run, raw, test, options)
        ledger = Ledger()
        row = send(way, competition, client, ledger, run.id, run.metrics["score"], options.again, wait)
    print(f"written down in {ledger.path}")
    print(f"{row}{f' ({raw.mark})' if raw.mark else ''}")
    if row.state == "failed":
        what = f"submission {row.ref} was refused" if row.ref else f"run {row.run_id} was not submitted"
        raise UserError(f"{board}: {what}: {row.error}")


def take_switch(words: list[str], switch: str) -> tuple[bool, list[str]]:
    return switch in words, [word for word in words if word != switch]


def csv_way(competition: Competition, run: Run, raw: Source, test: pd.DataFrame, options: Options) -> "Way":
    """`submissions/<competition>/<run>.csv`, validated, with its manifest beside it."""
    from common.ensemble import answers, predict_run
    from common.kaggle.csv_file import CsvFile
    from common.submission import validate, write, write_manifest

    ids, values = answers(run, predict_run(competition, run, test, options))
    csv = SUBMISSIONS / competition.name / f"{run.id}.csv"
    sample = raw.raw / competition.sample_submission
    write(csv, ids, values, competition, raw.raw)
    validate(csv, competition, sample)
    facts = {key: run.metrics[key] for key in ("metric", "score", "interval")}
    write_manifest(csv, run=run.id, recipe=run.about["recipe"], data=run.fingerprint, cv=facts)
    return CsvFile(csv, competition, sample)


def notebook_way(competition: Competition, run: Run, raw: Source, test: pd.DataFrame, options: Options) -> "Way":
    """`submissions/<competition>/<run>/`: what is uploaded as a dataset, and the notebook that answers with it."""
    from common.files import write_text
    from common.kaggle.notebook import inference_notebook
    from common.kaggle.notebook_run import NotebookRun
    from common.kaggle.package import pack_run

    folder = SUBMISSIONS / competition.name / run.id
    package = pack_run(competition, run, folder)
    notebook = folder / "notebook" / f"{package.slug}.ipynb"
    write_text(notebook, inference_notebook(competition, run, package))
    return NotebookRun(notebook, package, competition, raw.raw / competition.sample_submission, options.again)


def kernel(competition: Competition, words: list[str]) -> None:
    """Train a recipe as a notebook on the leaderboard's machines, and bring the run back: a run like any other."""
    from common.files import read_json, write_json
    from common.kaggle.ledger import Ledger
    from common.kaggle.package import pack_training
    from common.run import find_run
    from common.train import result

    board, words = take_leaderboard(words)
    recipe, options, _ = parse_recipe(competition, "kernel", words)
    raw = sample_source(competition) if options.data == "sample" or board == "practice" else None
    board = choose_leaderboard(board, raw or Source(competition, Path(options.data)))
    if board == "practice" and raw is None:
        raise UserError("the practice leaderboard trains on sample data alone: --data sample, or --leaderboard kaggle")
    package = pack_training(competition, recipe, SUBMISSIONS / competition.name / "kernels")
    brought = package.folder.with_suffix(f".{board}.json")  # the practice leaderboard's run is one on sample data
    with Ledger().sending(package.slug, board):
        run_id = read_json(brought)["run"] if brought.is_file() else ""
        if options.again or not (options.runs / competition.name / run_id / "run.json").is_file():
            with leaderboard_client(board, raw) as client:
                run_id = train_there(competition, recipe, package, client, options)
            write_json(brought, {"run": run_id})
    run = find_run(options.runs, competition.name, run_id)
    prefix = raw.prefix if raw else ""
    print(f"{prefix}run {run.id}: {result(run)}")


def train_there(
    competition: Competition, recipe: Recipe, package: "Package", client: "Client", options: Options
) -> str:
    """The id of the run that came back."""
    from common.files import write_text
    from common.kaggle.client import slug_of
    from common.kaggle.dataset import ensure_dataset
    from common.kaggle.kernel import KernelFailed, await_kernel, fetch_output, push_once
    from common.kaggle.notebook import training_notebook

    notebook = package.folder.with_suffix(".notebook") / f"{package.slug}.ipynb"
    write_text(notebook, training_notebook(competition, recipe, package))
    dataset = ensure_dataset(package, client)
    slug = slug_of(competition)
    ref, version = push_once(notebook, package.slug, dataset, slug, client, internet=False, again=options.again)
    print(f"{client.leaderboard}: notebook {ref} version {version} trains", flush=True)
    try:
        await_kernel(ref, version, client)
    except KernelFailed as error:
        raise UserError(f"{error}; --again runs it once more") from None
    there = options.runs / competition.name / f".{package.slug}-{version}"
    fetch_output(ref, there, client, prefix="runs/")
    found = [path.parent for path in there.rglob("run.json")]
    if len(found) != 1:
        raise UserError(
            f"{client.leaderboard}: notebook {ref} version {version} left {len(found)} runs in place of one"
        )
    home = options.runs / competition.name / found[0].name
    if not home.exists():
        found[0].replace(home)
    shutil.rmtree(there)
    return home.name
