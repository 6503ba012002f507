"""Sixty runs on a Ray cluster of three nodes, and on processes here: a node dies, the driver dies, and each run is done
once. Minutes: workers take their time to import torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from common.run import Run
from common.sweep.state import Task
from competitions import load
from tests.sweep_driver import main, options_in, plan_of, tiny_grid
from tests.test_sweep import contents, finished

ROOT = Path(__file__).resolve().parents[1]
MANY = 60
PATIENCE = 900.0
"""Seconds that a busy machine may need."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With `raw`, EuroSAT's sample data."""
    folder = tmp_path_factory.mktemp("sweep")
    load("eurosat").make_sample(folder / "raw", 0)
    return folder


@pytest.fixture(scope="module")
def reference(folder) -> Path:
    """The grid, done by the local engine in one process."""
    main(folder / "reference", "local", "1")
    return folder / "reference"


def tasks_in(root: Path) -> list[Task]:
    plan = plan_of(tiny_grid(), root.parent / "raw", options_in(root))
    assert len(plan.tasks) == MANY
    return list(plan.tasks)


def start(root: Path, *words: str) -> subprocess.Popen:
    root.mkdir(exist_ok=True)
    with open(root / "driver.log", "ab") as log:
        command = [sys.executable, "-m", "tests.sweep_driver", str(root), *words]
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})


def wait_for(what: Callable[[], bool], root: Path, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, (root / "driver.log").read_text()[-3000:]
        time.sleep(0.2)


def done_in(root: Path) -> int:
    return len(list((root / "runs" / "eurosat").glob("*/metrics.json")))


def assert_each_once_and_equal(root: Path, reference: Path) -> None:
    """Prints what was asked for."""
    tasks = tasks_in(root)
    times = [finished(task.folder(root / "runs")) for task in tasks]
    begun = sum((task.folder(root / "runs") / "sweep.log").read_text().count("begun on") for task in tasks)
    same = [
        contents(Run(task.folder(root / "runs"))) == contents(Run(task.folder(reference / "runs"))) for task in tasks
    ]
    print(
        f"\n{root.name}: {len(tasks)} runs, {sum(n > 0 for n in times)} complete, {sum(n > 1 for n in times)} twice, "
        f"{sum(n == 0 for n in times)} lost, {begun - len(tasks)} begun again after a kill, "
        f"{sum(same)} equal to the local engine's bit for bit"
    )
    assert times == [1] * MANY
    assert all(same)


def test_a_driver_of_processes_that_is_killed_goes_on_where_it_was(folder, reference):
    root = folder / "processes"
    driver = start(root, "local", "2")
    wait_for(lambda: done_in(root) >= 15, root)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert done_in(root) < MANY
    assert start(root, "local", "2").wait(timeout=PATIENCE) == 0, (root / "driver.log").read_text()[-3000:]
    assert_each_once_and_equal(root, reference)


def start_node(cluster, **options):
    """Ray gives a node half a minute to start, which a busy machine may exceed."""
    for _ in range(4):
        with suppress(Exception):
            return cluster.add_node(num_cpus=1, object_store_memory=100_000_000, **options)
    raise TimeoutError("no Ray node starts on this machine")


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    start_node(cluster, include_dashboard=False)
    yield cluster
    cluster.shutdown()


def test_sixty_runs_outlive_a_node_and_the_driver(folder, reference, cluster):
    root = folder / "cluster"
    nodes = [start_node(cluster) for _ in range(2)]
    driver = start(root, "ray", cluster.address)
    wait_for(lambda: done_in(root) >= 12, root)
    cluster.remove_node(nodes[0], allow_graceful=False)
    print(f"\na node killed after {done_in(root)} runs")
    wait_for(lambda: done_in(root) >= 28, root)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    print(f"the driver killed after {done_in(root)} runs")
    assert done_in(root) < MANY
    start_node(cluster)
    assert start(root, "ray", cluster.address).wait(timeout=PATIENCE) == 0, (root / "driver.log").read_text()[-3000:]
    assert_each_once_and_equal(root, reference)
