"""Tuning: every trial is accounted for and none is trained twice, whoever dies; and what a study says of it is true."""

import contextlib
import io
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from common.errors import MachineError, UserError
from common.files import content_hash, write_json, write_text
from common.predict import to_table
from common.recipe import Recipe
from common.recipe_file import load_recipe, save_recipe
from common.run import Busy, Run, all_runs
from common.tuning.journal import mend
from common.tuning.locks import FileLocks
from common.tuning.report import as_text, found, sentence, write_report
from common.tuning.search import running, work
from common.tuning.space import Range, grid, search_space
from common.tuning.study import Question, database_address, journal_of, opened, storage_at
from competitions import load, names
from competitions.__main__ import run as command
from competitions.tuning import journal
from tests.postgres import server, until
from tests.small_data import RECIPE, fields_as_words, write_small_aptos

CASSAVA = load("cassava")
HEAVY = Recipe(augment="heavy", epochs=9, folds=2)
STRENGTHS = {"strength": Range(0.0, 2.0, step=0.25)}
fork = multiprocessing.get_context("fork")


class Instant:
    """Trains in no time: a run's share of right rows is highest at strength 1.5, and grows with the epochs."""

    def __init__(self, runs: Path, hold: Path | None = None) -> None:
        self.runs, self.hold, self.trained = runs, hold, []

    def __call__(self, recipe: Recipe, watch=None) -> Run:
        folder = self.runs / "cassava" / content_hash(recipe.identity())
        if (folder / "metrics.json").is_file():
            return Run(folder)
        self.trained.append(recipe)
        while self.hold and self.hold.exists() and len(self.trained) > 1:
            time.sleep(0.02)
        skill, curve = 0.9 - 0.3 * abs(recipe.strength - 1.5), []
        write_json(folder / "run.json", {"recipe": recipe.to_dict(), "started": f"{time.time()}", "data": ""})
        for epoch in range(1, recipe.epochs + 1):
            curve.append({"epoch": epoch, "score": skill * (1 - 0.5**epoch)})
            write_text(folder / "fold-0" / "curve.csv", pd.DataFrame(curve).to_csv(index=False))
            if watch and watch(0, epoch, curve[-1]["score"]):
                return Run(folder)
        labels = np.arange(400) % 5
        right = np.random.default_rng(7).random(400) < skill
        outputs = np.eye(5)[np.where(right, labels, (labels + 1) % 5)]
        held_out = to_table([f"{i:05}" for i in range(400)], outputs, fold=0, label=labels)
        held_out.to_parquet(folder / "out_of_fold.parquet", index=False)
        write_json(folder / "metrics.json", {"metric": "accuracy", "score": float(right.mean()), "n": 400})
        return Run(folder)


def question(space=STRENGTHS, recipe: Recipe = HEAVY, **fields) -> Question:
    return Question(CASSAVA, recipe, space, "data", **{"pruner": "none", **fields})


def tune(asked: Question, folder: Path, trials: int, train, url: str = "") -> list[optuna.trial.FrozenTrial]:
    """As the command does it, in this process."""
    with opened(asked, study_of(folder, url), folder / "studies" / "study", url) as (study, locks):
        work(asked, study, locks, trials, train)
        return study.get_trials()


def study_of(folder: Path, url: str) -> str:
    """In a database the scenarios lie side by side. Hyperband's brackets depend on the name."""
    return folder.name if url else "study"


def recipes_of(asked: Question, trials) -> list[Recipe]:
    return [asked.recipe_at(trial.params) for trial in trials]


# The space


@pytest.mark.parametrize("name", names())
def test_every_field_of_every_competitions_space_is_one_and_may_have_its_values(name):
    own = load(name).search
    every = search_space(own, tuple({"strength": 0, "augment": 0, **own}))
    assert list(every)[-1] == "strength"
    assert list(search_space(own)) == ["augment", "strength"]


def test_a_space_that_is_wrong_is_one_line():
    with pytest.raises(UserError, match=r"a recipe has no field 'strenght' \(did you mean 'strength'\?\)"):
        search_space({}, ["strenght"])
    with pytest.raises(UserError, match="a recipe has no field 'colour'"):
        search_space({"colour": (1, 2)})
    with pytest.raises(UserError, match=r"strength: Input should be less than or equal to 3 \(got 4\.0\)"):
        search_space({"strength": Range(0.0, 4.0)})
    with pytest.raises(UserError, match=r"loss: Input should be .* \(got 'l3'\)"):
        search_space({"loss": ("l1", "l3")}, ["loss"])
    with pytest.raises(UserError, match="nothing is known to try for 'backbone'"):
        search_space({}, ["backbone"])
    with pytest.raises(UserError, match="0 to 1 is no range"):
        search_space({"mixup": Range(0.0, 1.0, log=True)}, ["mixup"])


def test_a_policy_without_a_strength_is_one_point_of_the_grid():
    points = list(grid({"augment": ("base", "heavy"), "strength": Range(0.5, 1.0, step=0.5)}, Recipe()))
    assert points.count({"augment": "base"}) == 2
    assert {"augment": "heavy", "strength": 0.5} in points
    assert Range(1e-4, 1e-2, log=True).values() == [1e-4, 0.000316, 0.001, 0.00316, 0.01]
    assert Range(1, 9).values() == [1, 3, 5, 7, 9]


# The search


def test_a_grid_has_each_point_once_and_the_default_is_the_first(tmp_path):
    asked, train = question(sampler="grid"), Instant(tmp_path)
    trials = tune(asked, tmp_path, 50, train)
    assert trials[0].params == {"strength": 1.0}
    assert sorted(trial.params["strength"] for trial in trials) == STRENGTHS["strength"].values()
    assert recipes_of(asked, trials) == train.trained


def test_no_recipe_is_drawn_twice_and_a_small_space_is_drawn_empty(tmp_path):
    space = {"augment": ("base", "heavy", "augmix"), "strength": Range(0.0, 1.0, step=0.5)}
    asked, train = question(space), Instant(tmp_path)
    trials = tune(asked, tmp_path, 50, train)
    assert len(set(recipes_of(asked, trials))) == len(trials) == 5
    assert sum(recipe.strength == 0 or recipe.augment == "base" for recipe in train.trained) == 1, "they train alike"


def test_tpe_comes_near_the_best_strength(tmp_path):
    asked = question({"strength": Range(0.0, 3.0)})
    trials = tune(asked, tmp_path, 30, Instant(tmp_path))
    best = max(trials, key=lambda trial: trial.value)
    assert abs(best.params["strength"] - 1.5) < 0.1


@pytest.mark.parametrize("pruner", ["hyperband", "asha"])
def test_what_falls_behind_is_pruned_and_the_default_never(tmp_path, pruner):
    good = HEAVY.with_fields(strength=1.5)
    trials = tune(question(recipe=good, pruner=pruner, sampler="grid"), tmp_path, 9, Instant(tmp_path))
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert trials[0].state == TrialState.COMPLETE
    assert pruned
    assert min(trial.last_step for trial in pruned) < 9
    assert {trial.number for trial in trials if trial.state == TrialState.COMPLETE} | {
        trial.number for trial in pruned
    } == set(range(9))
    for trial in pruned:
        (run,) = [run for run in all_runs(tmp_path, "cassava") if [run.id] == trial.user_attrs["runs"]]
        assert not run.finished, "its state is kept, so that it can be gone on with"


class Stopped(BaseException):
    """Stands for a kill: nothing catches it."""


def stopped_when_pruned(train):
    """`train`, which dies once of each trial when the pruner has answered and nobody has heard it."""
    died = set()

    def trained(recipe: Recipe, watch=None) -> Run:
        def dies(*now) -> bool:
            pruned = watch(*now)
            if pruned and recipe not in died:
                died.add(recipe)
                raise Stopped
            return pruned

        return train(recipe, watch and dies)

    return trained, died


@pytest.mark.parametrize("pruner", ["hyperband", "asha"])
def test_what_was_to_be_pruned_when_its_worker_died_is_pruned_by_the_next(tmp_path, pruner):
    asked = question(recipe=HEAVY.with_fields(strength=1.5), sampler="grid", pruner=pruner)
    whole = tune(asked, tmp_path / "whole", 9, Instant(tmp_path / "whole"))
    train, died = stopped_when_pruned(Instant(tmp_path / "killed"))
    for _ in range(10):
        with contextlib.suppress(Stopped):
            killed = tune(asked, tmp_path / "killed", 9, train)
            break
    assert len(died) == sum(trial.state == TrialState.PRUNED for trial in whole) > 0
    told = [[(trial.params, trial.state, trial.intermediate_values) for trial in trials] for trials in (whole, killed)]
    assert told[0] == told[1]


def test_what_has_nothing_left_to_train_is_not_pruned(tmp_path):
    one_fold, two_folds = HEAVY.with_fields(strength=1.5, only_folds=(0,), epochs=1), HEAVY.with_fields(epochs=1)
    for recipe, states in ((one_fold, {"COMPLETE"}), (two_folds, {"COMPLETE", "PRUNED"})):
        folder = tmp_path / str(len(states))
        trials = tune(question(recipe=recipe, pruner="asha", sampler="grid"), folder, 4, Instant(folder))
        assert {trial.state.name for trial in trials} == states


def test_what_another_study_trained_is_found_and_its_epochs_are_told(tmp_path):
    tune(question(sampler="grid"), tmp_path / "one", 9, Instant(tmp_path))
    train = Instant(tmp_path)
    trials = tune(question(sampler="grid", pruner="asha"), tmp_path / "two", 9, train)
    assert train.trained == []
    assert all(len(trial.intermediate_values) == 9 for trial in trials)


def test_scores_are_averaged_over_seeds(tmp_path):
    train = Instant(tmp_path)
    trials = tune(question(sampler="grid", seeds=2), tmp_path, 2, train)
    assert [recipe.seed for recipe in train.trained] == [0, 1, 0, 1]
    assert all(len(trial.user_attrs["runs"]) == 2 for trial in trials)


def test_a_recipe_that_cannot_be_trained_fails_with_its_reason_and_the_others_go_on(tmp_path):
    instant = Instant(tmp_path)

    def train(recipe: Recipe, watch=None) -> Run:
        if recipe.strength == 0.5:
            raise UserError("outputs not finite: lower --learning-rate")
        return instant(recipe, watch)

    trials = tune(question(sampler="grid"), tmp_path, 50, train)
    assert len(trials) == 9
    (failed,) = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert failed.params == {"strength": 0.5}
    assert failed.user_attrs["reason"] == "outputs not finite: lower --learning-rate"


def test_a_trial_whose_feed_is_killed_is_gone_on_with_by_the_same_command(tmp_path):
    instant = Instant(tmp_path)

    def train(recipe: Recipe, watch=None) -> Run:
        if recipe.strength == 0.5:
            raise MachineError("a worker of the feed died")
        return instant(recipe, watch)

    with pytest.raises(MachineError):
        tune(question(sampler="grid"), tmp_path, 50, train)
    trials = tune(question(sampler="grid"), tmp_path, 50, instant)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 9


def test_without_the_default_there_is_no_study_and_once_it_can_be_trained_there_is(tmp_path):
    def train(recipe: Recipe, watch=None) -> Run:
        raise UserError("no weights of resnet50")

    with pytest.raises(UserError, match="no weights"):
        tune(question(), tmp_path, 3, train)
    trials = tune(question(), tmp_path, 3, Instant(tmp_path))
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_run_that_another_process_works_on_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("common.tuning.search.PATIENCE", 0.01)
    instant, busy = Instant(tmp_path), [True, True]

    def train(recipe: Recipe, watch=None) -> Run:
        if busy and busy.pop():
            raise Busy("run 1 is being worked on by another process")
        return instant(recipe, watch)

    assert tune(question(), tmp_path, 1, train)[0].state == TrialState.COMPLETE


def test_a_study_is_not_continued_with_another_question(tmp_path):
    tune(question(), tmp_path, 1, Instant(tmp_path))
    with pytest.raises(UserError, match="study 'study' differs in recipe from what is asked; choose another --study"):
        tune(question(recipe=HEAVY.with_fields(epochs=8)), tmp_path, 1, Instant(tmp_path))


def test_a_line_that_was_half_written_is_taken_off_the_journal(tmp_path):
    tune(question(sampler="grid"), tmp_path, 3, Instant(tmp_path))
    path = journal_of(tmp_path / "studies" / "study")
    with open(path, "a") as file:
        file.write('{"op_code":5,"work')
    assert len(tune(question(sampler="grid"), tmp_path, 4, Instant(tmp_path))) == 4
    mend(tmp_path / "none.journal")


# Several workers


def worker(asked: Question, folder: Path, trials: int, train, url: str = "") -> multiprocessing.Process:
    process = fork.Process(target=tune, args=(asked, folder, trials, train, url), daemon=True)
    process.start()
    return process


def trials_in(folder: Path, url: str) -> list[optuna.trial.FrozenTrial]:
    where = database_address(url) if url else str(journal_of(folder / "studies" / "study"))
    with contextlib.suppress(KeyError, UserError):  # it is not there yet
        return optuna.load_study(study_name=f"cassava/{study_of(folder, url)}", storage=storage_at(where)).get_trials()
    return []


def two_workers_run_each_point_once(folder: Path, url: str = "") -> None:
    asked = question({"strength": Range(0.0, 2.0, step=0.1)}, sampler="grid")
    address = database_address(url) if url else ""
    workers = [worker(asked, folder, 50, Instant(folder / name), address) for name in ("one", "two")]
    for process in workers:
        process.join(120)
        assert process.exitcode == 0
    trials = trials_in(folder, url)
    assert len(trials) == len(set(recipes_of(asked, trials))) == 21
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2


def a_killed_workers_trial_is_gone_on_with(folder: Path, url: str = "") -> None:
    asked, hold = question(sampler="grid"), folder / "hold"
    address = database_address(url) if url else ""
    hold.touch()
    victim = worker(asked, folder, 9, Instant(folder, hold), address)

    def left() -> list:
        return [trial for trial in running(trials_in(folder, url)) if not trial.user_attrs["default"]]

    until(left, "its second trial has begun")
    other = worker(asked, folder, 9, Instant(folder), address)
    until(lambda: len(trials_in(folder, url)) > 3, "the other works beside it")
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    other.join(120)
    assert other.exitcode == 0
    tune(asked, folder, 9, Instant(folder), address)
    trials = trials_in(folder, url)
    assert len(trials) == len(set(recipes_of(asked, trials))) == 9
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 9
    assert [trial.user_attrs.get("deaths", 0) for trial in trials] == [0, 1] + [0] * 7
    assert str(victim.pid) not in trials[1].user_attrs["worker"]


def test_two_workers_on_a_grid_run_each_point_once(tmp_path):
    two_workers_run_each_point_once(tmp_path)


def test_the_trial_of_a_killed_worker_is_gone_on_with_by_another(tmp_path):
    a_killed_workers_trial_is_gone_on_with(tmp_path)


def test_a_trial_that_kills_its_processes_is_given_up(tmp_path):
    asked = question(sampler="grid")

    def train(recipe: Recipe, watch=None) -> Run:
        if recipe.strength == 0.25:
            os._exit(9)
        return Instant(tmp_path)(recipe, watch)

    for _ in range(3):
        process = worker(asked, tmp_path, 9, train)
        process.join(60)
        assert process.exitcode == 9
    tune(asked, tmp_path, 9, train)
    failed = [trial for trial in trials_in(tmp_path, "") if trial.state == TrialState.FAIL]
    assert [trial.user_attrs["reason"] for trial in failed] == ["3 processes died of it"]
    assert len(trials_in(tmp_path, "")) == 9


def test_a_process_that_a_worker_started_does_not_keep_it_alive(tmp_path):
    def work_with_help(child) -> None:
        locks = FileLocks(tmp_path)
        fork.Process(target=time.sleep, args=(5,)).start()
        child.send(locks.worker)
        os._exit(0)

    here, there = fork.Pipe()
    process = fork.Process(target=work_with_help, args=(there,))
    process.start()
    worker = here.recv()
    process.join()
    assert not FileLocks(tmp_path).alive(worker)


def test_a_worker_is_alive_until_its_process_ends(tmp_path):
    one, two = FileLocks(tmp_path), FileLocks(tmp_path)
    assert one.alive(two.worker)
    assert one.alive(one.worker)
    two.close()
    assert not one.alive(two.worker)
    assert not one.alive("")


@pytest.mark.slow
def test_on_a_real_postgresql_server_too(tmp_path):
    (once := tmp_path / "once").mkdir()
    (kill := tmp_path / "kill").mkdir()
    with server(tmp_path) as url:
        two_workers_run_each_point_once(once, url)
        a_killed_workers_trial_is_gone_on_with(kill, url)


def test_a_database_that_is_none_or_does_not_answer_is_one_line(words):
    assert database_address("postgres://a@b/c") == "postgresql+psycopg2://a@b/c"
    with pytest.raises(UserError, match="wants postgresql://user@host/database"):
        database_address("sqlite:///here.db")
    _, line = said(["aptos", "tune", *words, "--storage", "postgresql://nobody@127.0.0.1:1/none"], 2)
    assert "storage: connection to server at" in line


# What it says


def test_a_better_strength_is_beyond_noise_and_a_hair_better_one_is_not(tmp_path):
    asked = question(sampler="grid")
    with opened(asked, "study", tmp_path / "studies" / "study", "") as (study, locks):
        work(asked, study, locks, 50, Instant(tmp_path))
        result = found(asked, study, tmp_path)
        files = write_report(asked, study, result, tmp_path / "report")
    assert result.best_row["strength"] == 1.5
    assert result.best_row["gain"] == pytest.approx(
        result.best_row["score"] - result.trials.set_index("state").loc["default", "score"]
    )
    assert "strength 1.5: accuracy" in sentence(asked, result)
    assert "beyond noise, though the best of 9" in sentence(asked, result)
    assert "not beyond noise" not in sentence(asked, result)
    assert as_text(result, ["strength"]).splitlines()[1].split()[:3] == ["6", "complete", "1.5"]
    curve = pd.read_csv(tmp_path / "report" / "strength.csv")
    assert curve["strength"].tolist() == STRENGTHS["strength"].values()
    assert ((curve["low"] < curve["score"]) & (curve["score"] < curve["high"])).all()
    assert pd.read_csv(tmp_path / "report" / "importances.csv")["field"].tolist() == ["strength"]
    assert [file.name for file in files] == [
        "trials.csv", "importances.csv", "parallel.html", "strength.csv", "strength.png"
    ]  # fmt: skip
    page = (tmp_path / "report" / "parallel.html").read_text()
    assert "<script src=" not in page, "it opens without a network"

    near = question({"strength": (1.49, 1.5)}, HEAVY.with_fields(strength=1.49), sampler="grid")
    with opened(near, "near", tmp_path / "studies" / "near", "") as (study, locks):
        work(near, study, locks, 50, Instant(tmp_path))
        assert "not beyond noise" in sentence(near, found(near, study, tmp_path))


def test_a_field_that_no_trial_had_is_left_out_of_the_picture(tmp_path):
    asked = question({"augment": ("base", "heavy"), **STRENGTHS}, HEAVY.with_fields(augment="base"))
    with opened(asked, "study", tmp_path / "studies" / "study", "") as (study, locks):
        work(asked, study, locks, 1, Instant(tmp_path))
        files = write_report(asked, study, found(asked, study, tmp_path), tmp_path / "report")
    assert tmp_path / "report" / "parallel.html" in files


def test_where_nothing_is_better_the_default_is_kept(tmp_path):
    asked = question(recipe=HEAVY.with_fields(strength=1.5), sampler="grid")
    with opened(asked, "study", tmp_path / "studies" / "study", "") as (study, locks):
        work(asked, study, locks, 4, Instant(tmp_path))
        assert sentence(asked, found(asked, study, tmp_path)).startswith("none of 4 completed trials beats the default")


# The command


@pytest.fixture
def words(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_small_aptos(tmp_path / "aptos")
    few = RECIPE.with_fields(epochs=2)
    return ["--data", "aptos", "--workers", "0", "--device", "cpu", *fields_as_words(few)]


def said(words: list[str], code: int = 0) -> tuple[list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert command(words) == code
    return out.getvalue().splitlines(), err.getvalue()


def test_the_command_tunes_tells_and_writes_a_recipe_that_every_verb_takes(words):
    asked = ["aptos", "tune", *words, "--only-folds", "0", "--trials", "3", "--pruner", "none", "--study", "first"]
    lines, _ = said(asked)
    assert lines[0] == "quadratic_weighted_kappa of 3 trials of study first (3 complete, 0 pruned, 0 fail)"
    assert len(list(Path("cache").glob("aptos-*"))) == 1, "one cache for all"
    best = Path("runs/aptos/studies/first/best.json")
    assert lines[-1].endswith(f"--recipe {best}")
    recipe, origin = load_recipe(best), json.loads(best.read_text())["from"]
    assert recipe.only_folds == (), "searched on one fold, refitted on all"
    before = len(all_runs(Path("runs"), "aptos"))
    assert before == 4
    assert said(asked)[0] == lines, "nothing is trained again"
    (line,), _ = said(["aptos", "train", "--data", "aptos", "--workers", "0", "--recipe", str(best)])
    assert line.startswith(f"run {origin['run']}: ")
    assert len(all_runs(Path("runs"), "aptos")) == before
    assert journal("first", Path("runs")) == journal("", Path("runs")) == Path("runs/aptos/studies/first.journal")
    with pytest.raises(UserError, match=r"no study 'second' in runs/\*/studies"):
        journal("second", Path("runs"))


def test_a_broken_recipe_file_is_one_line(tmp_path):
    def error(content: str) -> str:
        (tmp_path / "mine.json").write_text(content)
        with pytest.raises(UserError) as caught:
            load_recipe(tmp_path / "mine.json")
        return str(caught.value)

    assert "mine.json is not JSON" in error("{")
    assert "mine.json holds no recipe" in error("[1]")
    assert "mine.json: a recipe has no field 'strenght' (did you mean 'strength'?)" in error(
        '{"recipe": {"strenght": 1}}'
    )
    assert "mine.json: recipe: strength: Input should be less" in error('{"recipe": {"strength": 9}}')
    with pytest.raises(UserError, match=r"cannot read none\.json: No such file"):
        load_recipe(Path("none.json"))
    save_recipe(tmp_path / "mine.json", HEAVY.with_fields(only_folds=(0,)), {})
    assert load_recipe(tmp_path / "mine.json") == HEAVY.with_fields(only_folds=(0,))
    _, line = said(["aptos", "train", "--recipe", str(tmp_path / "none.json")], 2)
    assert "cannot read" in line


def test_two_tuning_processes_and_a_sigkill_every_trial_is_accounted_for(words):
    asked = ["aptos", "tune", *words, "--trials", "7", "--study", "both", "--pruner", "asha"]
    said(["aptos", "prepare", *words])
    processes = [fork.Process(target=lambda: os._exit(command(asked))) for _ in range(2)]
    for process in processes:
        process.start()

    def trials() -> list[optuna.trial.FrozenTrial]:
        with contextlib.suppress(KeyError, UserError):  # it is not there yet
            return optuna.load_study(
                study_name="aptos/both", storage=storage_at("runs/aptos/studies/both.journal")
            ).get_trials()
        return []

    def of_both() -> bool:
        return len({trial.user_attrs["worker"] for trial in running(trials())}) == 2

    until(of_both, "both are at work")
    processes[0].kill()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0]
    lines, _ = said(asked)
    assert lines[0].startswith("quadratic_weighted_kappa of 7 trials of study both (")
    told = trials()
    assert [trial.state.is_finished() for trial in told] == [True] * 7
    assert sum(trial.user_attrs.get("deaths", 0) for trial in told) == 1
    runs = [run for trial in told for run in trial.user_attrs["runs"]]
    assert sorted(set(runs)) == sorted(runs) == sorted(run.id for run in all_runs(Path("runs"), "aptos"))
    lines, _ = said([*asked, "--trials", "8"])
    assert lines[0].startswith("quadratic_weighted_kappa of 8 trials"), "the study goes on"
