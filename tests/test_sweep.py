"""Sweeps: a grid's runs are each done once, whoever dies meanwhile; what is left, what it costs, what is best."""

import multiprocessing
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from common.command import run
from common.errors import DiskError, UserError
from common.files import read_json, write_json
from common.options import Options
from common.run import Run
from common.study.results import read_rows_of_runs
from common.sweep import drive
from common.sweep.__main__ import main as sweep_main
from common.sweep.claims import Claims, claims_in, is_claimed, this_process
from common.sweep.drive import Driver, sweep
from common.sweep.engine import Crash, gpu_share
from common.sweep.grid import Job, only, optimizations, recipe_hash, step_epochs
from common.sweep.halving import cost_of, ladder, rungs_for, survivors
from common.sweep.local import InProcess, Processes
from common.sweep.plan import as_text, earlier_rungs, make_plan, read_plan, write_plan
from common.sweep.rates import Speed, rates
from common.sweep.ray_engine import RayEngine
from common.sweep.state import Task, note_failure, scores_of, state_of
from common.sweep.status import status_text
from common.sweep.work import pack, unpack
from competitions import load
from competitions.__main__ import run as command
from competitions.grids import GRIDS
from competitions.sources import in_folder
from competitions.studying import of_data, rows_of, train_task
from tests.small_data import RECIPE, write_small_aptos
from tests.sweep_driver import options_in, plan_of

QUICK = RECIPE.with_fields(only_folds=(0,), epochs=3, schedule="cosine")
RATES = {"adamw": (1e-2, 1e-3), "sgd": (1e-1, 1e-2)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


@pytest.fixture
def options(tmp_path) -> Options:
    return options_in(tmp_path)


def small_grid(recipe=QUICK, decays=(1e-4,)) -> list[Job]:
    return [
        Job("aptos", cell) for cell in optimizations(recipe, [("adamw", "cosine"), ("sgd", "cosine")], RATES, decays)
    ]


def contents(run: Run) -> dict[str, object]:
    """What a training decides, without what it measures of time and machine."""
    files = [run.folder / "out_of_fold.parquet", *(file for _, file in run.weights())]
    return {"metrics": run.metrics} | {str(file.relative_to(run.folder)): file.read_bytes() for file in files}


def finished(folder: Path) -> int:
    """How often a run was trained to its end."""
    return (folder / "sweep.log").read_text().count(" finished\n")


# The grids


def test_the_papers_grid_is_6840_different_runs_as_published():
    jobs = GRIDS["paper"]()
    assert len(jobs) == len({(job.competition, job.recipe) for job in jobs}) == 19 * 6 * 60
    assert {len(of) for of in by_cell(jobs).values()} == {60}
    assert {job.recipe.batch_size for job in jobs} == {128}
    assert {job.recipe.split for job in jobs} == {"paper"}
    sizes = {(job.competition == "eurosat", "deit" in job.recipe.backbone, job.recipe.input_size) for job in jobs}
    assert sizes == {(False, False, 256), (False, True, 224), (True, False, 224), (True, True, 224)}
    steps = {(job.recipe.epochs, job.recipe.step_epochs) for job in jobs if job.recipe.schedule == "step"}
    assert steps == {(30, (15, 20, 25)), (10, (5,))}
    rates = {(job.recipe.optimizer, job.recipe.learning_rate) for job in jobs}
    assert rates == {("adamw", 10.0**-n) for n in (2, 3, 4, 5)} | {("sgd", 10.0**-n) for n in (1, 2, 3, 4)}


def by_cell(jobs: list[Job]) -> dict[tuple, list[Job]]:
    return {cell: [job for job in jobs if job.cell == cell] for cell in {job.cell for job in jobs}}


def test_the_named_grids_have_their_cells():
    cells = {name: len({job.cell for job in make()}) for name, make in GRIDS.items()}
    assert cells.pop("small-study") == 6 * 3
    assert cells == {"paper": 19 * 6, "cifar10": 19, "augmentation": 2 * 5 * 3, "clip": 6 * 6, "small": 7 * 3}
    assert {job.recipe.epochs for job in GRIDS["augmentation"]()} == {50}
    probed = {(job.recipe.epochs, job.recipe.probe_epochs) for job in GRIDS["clip"]()}
    assert probed == {(30, 10), (10, 3)}


def test_a_filter_takes_parts_of_a_grid():
    jobs = only(GRIDS["paper"](), ["competition=cct20", "backbone=alexnet", "backbone=resnet50", "learning-rate=0.01"])
    assert len(jobs) == 2 * 3 * 5
    assert {job.recipe.learning_rate for job in jobs} == {1e-2}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("resnet50", "'resnet50' is not field=value"),
        ("backbones=resnet50", "there is no field 'backbones' (did you mean 'backbone'?)"),
        ("epochs=7", "no run of the grid has epochs=7; there are"),
    ],
)
def test_a_filter_that_takes_nothing_is_one_line(word, told):
    with pytest.raises(UserError) as error:
        only(GRIDS["cifar10"](), [word])
    assert told in str(error.value)


def test_steps_the_paper_does_not_name_lie_at_the_same_shares():
    assert [step_epochs(epochs) for epochs in (30, 10, 6, 1)] == [(15, 20, 25), (5,), (3, 4, 5), (1,)]


def test_a_recipes_hash_is_the_same_for_every_seed():
    assert recipe_hash(QUICK) == recipe_hash(QUICK.with_fields(seed=7))
    assert recipe_hash(QUICK) != recipe_hash(QUICK.with_fields(learning_rate=1.0))


def test_small_networks_share_a_gpu():
    shares = {
        name: gpu_share(QUICK.with_fields(backbone=name)) for name in ("squeezenet1_1", "densenet121", "vgg16_bn")
    }
    assert shares == {"squeezenet1_1": 0.25, "densenet121": 0.5, "vgg16_bn": 1.0}
    assert gpu_share(QUICK.with_fields(backbone="squeezenet1_1", input_size=512)) == 1.0


# Claims


def test_a_run_is_claimed_by_one_and_given_back(tmp_path):
    with Claims() as mine, Claims() as yours:
        assert mine.take(tmp_path / "run")
        assert not yours.take(tmp_path / "run")
        assert is_claimed(tmp_path / "run")
        mine.release(tmp_path / "run")
        assert not is_claimed(tmp_path / "run")
        assert yours.take(tmp_path / "run")
    assert claims_in(tmp_path / "run") == []


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path):
    write_json(tmp_path / "claim.0", this_process() | {"pid": 2**22 + 1, "started": "1"})
    with Claims() as claims:
        assert claims.take(tmp_path)
        assert [claim.name for claim in claims_in(tmp_path)] == ["claim.0", "claim.1"]
    assert claims_in(tmp_path) == []


def test_a_finished_run_keeps_no_claim_of_a_driver_that_was_killed(raw, options):
    plan = plan_of(small_grid()[:1], raw, options)
    sweep(plan, InProcess(), options, train_task)
    folder = plan.tasks[0].folder(options.runs)
    write_json(folder / "claim.0", this_process() | {"pid": 2**22 + 1, "started": "1"})
    sweep(plan, InProcess(), options, train_task)
    assert claims_in(folder) == []
    assert finished(folder) == 1


def test_a_process_with_the_number_of_a_dead_one_is_not_its_owner(tmp_path):
    write_json(tmp_path / "claim.0", this_process() | {"started": "1"})
    with Claims() as claims:
        assert claims.take(tmp_path)


def test_an_owner_on_another_machine_lives_as_long_as_it_shows(tmp_path):
    write_json(tmp_path / "claim.0", this_process() | {"machine": "another boot"})
    with Claims(patience=60) as claims:
        assert not claims.take(tmp_path)
        an_hour_ago = time.time() - 3600
        os.utime(tmp_path / "claim.0", (an_hour_ago, an_hour_ago))
        assert claims.take(tmp_path)


def test_a_claim_is_kept_alive(tmp_path):
    with Claims(beat=0.05) as claims:
        claims.take(tmp_path)
        os.utime(claims_in(tmp_path)[0], (0, 0))
        deadline = time.monotonic() + 10
        while claims_in(tmp_path)[0].stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert claims_in(tmp_path)[0].stat().st_mtime > 0


def _take_all(folder: Path, start, queue) -> None:
    start.wait()
    with Claims() as claims:
        queue.put([path.name for path in sorted(folder.iterdir()) if claims.take(path)])
        start.wait()


def test_of_many_that_take_over_the_same_dead_claims_one_gets_each(tmp_path):
    context, processes, runs = multiprocessing.get_context("fork"), 6, 40
    for number in range(runs):
        (tmp_path / f"{number:02}").mkdir()
        write_json(tmp_path / f"{number:02}" / "claim.0", this_process() | {"pid": 2**22 + 1})
    start, queue = context.Barrier(processes), context.Queue()
    crowd = [context.Process(target=_take_all, args=(tmp_path, start, queue)) for _ in range(processes)]
    for process in crowd:
        process.start()
    taken = Counter(name for _ in crowd for name in queue.get(timeout=60))
    for process in crowd:
        process.join()
    assert taken == Counter({f"{number:02}": 1 for number in range(runs)})


# Successive halving


def test_a_third_is_promoted_to_three_times_the_epochs():
    assert ladder(30, 3) == [1, 3, 10, 30]
    assert survivors(60, 3) == [60, 20, 7, 3]
    assert ladder(10, 0) == [10]


def tasks_of(n: int, images: int = 3000) -> list[Task]:
    jobs = [Job("aptos", QUICK.with_fields(epochs=30, learning_rate=10.0**-i)) for i in range(n)]
    return [Task(job, f"{i:012x}", Path(), images) for i, job in enumerate(jobs)]


def test_the_budget_decides_how_many_rungs_there_are():
    tasks = tasks_of(60)
    whole = sum(task.images for task in tasks)
    cost = [cost_of(tasks, rungs, lambda task: task.images) / whole for rungs in range(4)]
    assert cost[0] == 1
    assert cost[3] == pytest.approx((60 * 1 + 20 * 2 + 7 * 7 + 3 * 20) / (60 * 30))
    assert [rungs_for(tasks, share * whole, lambda task: task.images, "images") for share in (1, 0.5, 0.25)] == [
        0,
        2,
        3,
    ]
    with pytest.raises(UserError, match="wants 20,900 images at least, not 9,000"):
        rungs_for(tasks, 0.05 * whole, lambda task: task.images, "images")


def test_halving_ends_with_the_runs_that_the_whole_grid_has_and_trains_nothing_twice(raw, tmp_path):
    whole, halved = options_in(tmp_path / "whole"), options_in(tmp_path / "halved")
    jobs = small_grid()
    sweep(plan_of(jobs, raw, whole), InProcess(), whole, train_task)
    plan = replace(plan_of(jobs, raw, halved), rungs=1)
    sweep(plan, InProcess(), halved, train_task)
    epochs = Counter(len(scores_of(task.folder(halved.runs))) for task in plan.tasks)
    assert epochs == {1: 2, 3: 2}
    for task in plan.tasks:
        of_whole, ours = Run(task.folder(whole.runs)), Run(task.folder(halved.runs))
        assert scores_of(of_whole.folder)[: len(scores_of(ours.folder))] == scores_of(ours.folder)
        if ours.finished:
            assert contents(ours) == contents(of_whole)
            log = (ours.folder / "sweep.log").read_text()
            assert log.count("stopped at its rung") == log.count(" finished\n") == 1
    assert "2 done, 0 running, 0 failed, 0 to do, 2 stopped by halving" in status_text(plan, halved.runs)


def test_a_sweep_that_goes_on_stays_on_its_ladder(raw, options):
    plan = replace(plan_of(small_grid()[:1], raw, options), budget="2h", rungs=1)
    write_plan(plan, options.runs)
    assert earlier_rungs(replace(plan, rungs=0), options.runs) == 1
    assert earlier_rungs(replace(plan, budget="3h"), options.runs) is None
    assert earlier_rungs(replace(plan, name="another"), options.runs) is None


# A sweep


def test_a_failure_is_listed_and_does_not_stop_the_rest(raw, options, tmp_path, capsys):
    jobs = [*small_grid(), Job("aptos", QUICK.with_fields(optimizer="sgd", learning_rate=1e30))]
    plan = plan_of(jobs, raw, options)
    sweep(plan, InProcess(), options, train_task)
    told = status_text(read_plan(options.runs), options.runs)
    assert "sweep tiny: 4 done, 0 running, 1 failed, 0 to do" in told
    assert "lower --learning-rate" in told
    assert "failed: aptos test_resnet" in capsys.readouterr().err
    table = read_rows_of_runs(options.runs / "sweeps" / "tiny" / "results.csv")
    assert table["score"].is_monotonic_decreasing
    assert list(table["dataset"]) == ["aptos"] * 4
    assert (table["low"] <= table["score"]).all()
    assert (table["seconds"] > 0).all()
    assert set(table["images"]) == {24 * 3}

    before = [(task.folder(options.runs) / "sweep.log").read_text() for task in plan.tasks]
    sweep(plan, InProcess(), options, train_task)
    assert before == [(task.folder(options.runs) / "sweep.log").read_text() for task in plan.tasks]
    sweep(plan, InProcess(), options, train_task, retry=True)
    assert (plan.tasks[-1].folder(options.runs) / "sweep.log").read_text().count("begun") == 2
    assert [finished(task.folder(options.runs)) for task in plan.tasks] == [1, 1, 1, 1, 0]


def test_what_crashed_is_tried_again_at_the_next_start(raw, options):
    plan = plan_of(small_grid()[:1], raw, options)
    folder = plan.tasks[0].folder(options.runs)
    note_failure(folder, "its process ended by signal 9", crash=True)
    sweep(plan, InProcess(), options, train_task)
    assert state_of(folder).kind == "done"
    assert not (folder / "failed.json").exists()


def train_until_the_feed_is_killed(task: Task, options: Options, watch) -> Run:
    def kill(fold: int, epoch: int, score: float | None) -> bool:
        for worker in multiprocessing.active_children():
            worker.kill()
        return False

    return train_task(task, replace(options, workers=1), kill)


def test_a_run_whose_feed_is_killed_is_gone_on_with_at_the_next_start(raw, options, capsys):
    plan = plan_of(small_grid()[:1], raw, options)
    sweep(plan, InProcess(), options, train_until_the_feed_is_killed)
    assert "a worker of the feed died" in capsys.readouterr().err
    folder = plan.tasks[0].folder(options.runs)
    assert state_of(folder).kind == "failed"
    sweep(plan, InProcess(), options, train_task)
    assert state_of(folder).kind == "done"


@pytest.mark.parametrize("error", [DiskError("cannot write run.json"), OSError(28, "No space left on device")])
def test_what_a_full_disk_stops_is_a_crash_without_a_traceback(error, capfd):
    def fails(item: int) -> None:
        raise error

    assert list(InProcess().map(fails, [1])) == [(1, Crash(str(error)))]
    assert capfd.readouterr().err == ""


def test_a_worker_that_dies_while_it_waits_is_replaced():
    engine = Processes(1, threads=1)
    for _ in range(2):
        assert list(engine.map(abs, [-1, -2])) == [(-1, 1), (-2, 2)]
        engine.pool[0].process.kill()
        engine.pool[0].process.join()
    engine.close()


def test_a_run_that_another_process_trains_is_waited_for(raw, options, monkeypatch):
    plan = plan_of(small_grid()[:1], raw, options)
    sweep(plan, InProcess(), options, train_task)
    folder = plan.tasks[0].folder(options.runs)
    (folder / "metrics.json").rename(folder / "later.json")
    lock, waited = Run(folder).lock(), []
    lock.__enter__()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        (folder / "later.json").rename(folder / "metrics.json")
        lock.__exit__(None, None, None)

    monkeypatch.setattr(drive.time, "sleep", wait)
    sweep(plan, InProcess(), options, train_task)
    assert len(waited) == 1
    assert finished(folder) == 1


def test_a_worker_without_the_drivers_storage_sends_its_run_back(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    here, there = options_in(tmp_path / "here"), options_in(tmp_path / "driver")
    jobs = small_grid()[:2]
    sweep(plan_of(jobs, raw, here), InProcess(), here, train_task)
    plan = plan_of(jobs, raw, there)
    with Claims() as claims:
        driver = Driver(InProcess(), there, train_task, claims)
        driver.mark = ".storage-of-the-driver"  # which the worker does not see
        driver.settle([(task, 1) for task in plan.tasks], "rung 1")
        assert {len(scores_of(task.folder(there.runs))) for task in plan.tasks} == {1}
        driver.settle([(task, None) for task in plan.tasks], "rung 2")
    for task in plan.tasks:
        assert contents(Run(task.folder(there.runs))) == contents(Run(task.folder(here.runs)))
        assert finished(task.folder(there.runs)) == 1
        assert not (task.folder(there.runs) / "fold-0" / "last.state").exists()
    assert not list((tmp_path / "node").rglob("metrics.json"))


def test_a_folder_that_is_brought_back_takes_the_place_of_an_older_one(tmp_path):
    (tmp_path / "new" / "fold-0").mkdir(parents=True)
    (tmp_path / "new" / "fold-0" / "weights-003.safetensors").write_text("new")
    (tmp_path / "new" / "claim.0").write_text("the worker's")
    (tmp_path / "old" / "fold-0").mkdir(parents=True)
    (tmp_path / "old" / "fold-0" / "weights-001.safetensors").write_text("old")
    (tmp_path / "old" / "claim.0").write_text("the driver's")
    unpack(pack(tmp_path / "new"), tmp_path / "old")
    assert [file.name for file in (tmp_path / "old" / "fold-0").iterdir()] == ["weights-003.safetensors"]
    assert (tmp_path / "old" / "claim.0").read_text() == "the driver's"


def test_other_data_than_the_drivers_are_a_failure_of_the_run(raw, options, tmp_path):
    plan = plan_of(small_grid()[:1], raw, options)
    other = write_small_aptos(tmp_path / "other", n=50)
    task = replace(plan.tasks[0], data=other)
    sweep(replace(plan, tasks=(task,)), InProcess(), options, train_task)
    assert "give every machine the same" in state_of(task.folder(options.runs)).reason


# The plan


def test_the_plan_says_what_is_missing_and_what_the_rest_costs(raw, options):
    jobs = [*small_grid(), Job("cct20", QUICK), Job("aptos", QUICK.with_fields(weights="no/such.safetensors"))]

    def find(job: Job):
        if job.competition == "cct20":
            raise UserError("no data of cct20 in data/cct20: get them")
        return raw, rows_of(in_folder(load("aptos"), raw), of_data(QUICK), options.runs, options.cache)

    plan = make_plan("small", jobs, find)
    plan = replace(plan, rates={Speed(job.recipe).key: 2.0 for job in jobs})
    told = as_text(plan, options.runs, {"cct20": 14_071})
    assert "6 runs: 0 done, 0 failed, 4 to do, 2 not possible yet" in told
    assert "1 runs: no data of cct20 in data/cct20: get them" in told
    assert "1 runs: weights: there is no no/such.safetensors" in told
    assert f"{14_071 * 3:,}" in told
    assert "0.0 hours of one worker to go, 2:24 for 1" in told  # 4 runs × 3 epochs × 24 images at 2 images/s


def test_a_speed_is_measured_once_and_then_taken_from_runs(raw, options):
    plan = plan_of(small_grid()[:1], raw, options)
    engine = InProcess(1)
    key = Speed(plan.tasks[0].job.recipe).key
    measured = rates(plan.tasks, engine, options.runs, options.cache, "cpu")
    assert measured[key] > 0
    assert read_json(options.cache / "rates.json") == {engine.name: measured}
    sweep(plan, engine, options, train_task)
    seconds = read_json(plan.tasks[0].folder(options.runs) / "sweep.json")["seconds"]
    assert rates(plan.tasks, engine, options.runs, options.cache, "cpu") == {key: 72 / seconds}


# The command line


def sweep_command(words: list[str]) -> int:
    return run(sweep_main, words)


def say(capsys, function, *words: str) -> str:
    assert function([*words]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_a_cluster_that_does_not_answer_is_one_line():
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1 \(.*refused.*ray start --head"):
        RayEngine("127.0.0.1:1", Options())


def test_a_wrong_word_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "there is no 'papr' (did you mean 'paper'?)" in say(capsys, command, "study", "--grid", "papr")
    assert "there is no folder nowhere" in say(capsys, command, "study", "--grid", "small", "--data", "nowhere")
    assert "there is no sweep at all in runs/sweeps" in say(capsys, sweep_command, "status")
    assert "no verb 'stats'" in say(capsys, sweep_command, "stats")
