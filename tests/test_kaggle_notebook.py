"""The notebooks that run on Kaggle: the same answer as here, within the hours, and the same run."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from common import predict as predict_module
from common.data import prepared, read_data
from common.ensemble import answers, blend_runs, predict_run
from common.files import read_json
from common.kaggle import answer as answer_module
from common.kaggle.answer import answer, plan
from common.kaggle.notebook import inference_notebook, training_notebook
from common.kaggle.package import pack_run, pack_training
from common.options import Options
from common.precision import autocast
from common.predict import evaluation_feed, predict_members
from common.run import Run, all_runs
from common.submission import validate, write
from common.train import train
from competitions import load
from tests.small_data import RECIPE, write_small_aptos
from tests.test_package import unpacked

APTOS = load("aptos")
QUICK = RECIPE.with_fields(epochs=2, loss="smooth_l1", decision="thresholds", tta="flips")
CPU = torch.device("cpu")


@dataclass
class World:
    """A raw folder, two trained runs and their blend."""

    raw: Path
    options: Options
    runs: list[Run] = field(default_factory=list)

    def expected(self, run: Run, csv: Path) -> bytes:
        """The submission that `predict` and `submit` write."""
        write(csv, *answers(run, predict_run(APTOS, run, APTOS.read_test(self.raw), self.options)), APTOS, self.raw)
        return csv.read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("world")
    made = World(
        write_small_aptos(folder / "raw", n=40, n_test=20),
        Options(workers=0, device="cpu", cache=folder / "cache", runs=folder / "runs"),
    )
    for size in (32, 40):
        recipe = QUICK.with_fields(input_size=size)
        made.runs.append(train(APTOS, recipe, read_data(APTOS, APTOS.read_train(made.raw), recipe), made.options))
    made.runs.append(blend_runs(APTOS, made.runs, "mean", (2.0, 1.0), made.options.runs))
    return made


def contents(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_two_devices_predict_what_one_does(world):
    run, test = world.runs[0], APTOS.read_test(world.raw)
    cache, _ = prepared(APTOS, test.assign(source="test"), run.recipe, world.options)
    files = [file for _, file in run.weights()]
    outputs = []
    for devices in ([CPU], [CPU, CPU], [CPU] * 5):
        with evaluation_feed(cache, np.arange(len(test)), run.recipe, world.options) as feed:
            outputs.append(predict_members(APTOS, run.recipe, files, feed, devices, "test", None))
    assert outputs[0].shape == (2, 20)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_outputs_beyond_the_range_of_float16_are_computed_again_in_float32(world, monkeypatch):
    run, test = world.runs[0], APTOS.read_test(world.raw)
    cache, _ = prepared(APTOS, test.assign(source="test"), run.recipe, world.options)
    compute, asked = predict_module.computed, []

    def overflowing(*arguments, full_precision=False):
        asked.append(full_precision)
        outputs = compute(*arguments, full_precision=full_precision)
        return outputs if full_precision else np.full_like(outputs, np.nan)

    monkeypatch.setattr(predict_module, "computed", overflowing)
    with evaluation_feed(cache, np.arange(len(test)), run.recipe, world.options) as feed:
        outputs = predict_members(APTOS, run.recipe, [run.weights()[0][1]], feed, [CPU], "test", None)
    assert asked == [False, True]
    assert np.isfinite(outputs).all()


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_gpu_without_bfloat16_predicts_in_float16_and_trains_in_float32(monkeypatch):
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))  # a T4
    assert autocast(gpu).fast_dtype == torch.float16
    assert not autocast(gpu, training=True)._enabled
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert autocast(gpu, training=True).fast_dtype == torch.bfloat16
    assert not autocast(CPU)._enabled


@pytest.mark.parametrize("which", [0, 2], ids=["run", "blend"])
def test_the_answer_is_that_of_predict_and_leaves_the_runs_alone(world, tmp_path, which, capsys):
    run = world.runs[which]
    expected = world.expected(run, tmp_path / "expected.csv")
    before = contents(world.options.runs)
    csv = tmp_path / "submission.csv"
    table = answer(APTOS, run, world.raw, csv, world.options, devices=[CPU, CPU])
    assert csv.read_bytes() == expected
    assert len(table) == 20
    assert contents(world.options.runs) == before
    told = capsys.readouterr().out
    assert "20 test images, 2 × cpu, 9 hours" in told
    assert "s per 1,000 images with one view" in told
    assert "NOT ENOUGH TIME" not in told


@pytest.mark.parametrize("which", [0, 2], ids=["run", "blend"])
def test_without_time_one_network_with_one_view_answers_and_says_so(world, tmp_path, which, capsys):
    csv = tmp_path / "submission.csv"
    answer(APTOS, world.runs[which], world.raw, csv, world.options, hours=0.0)
    validate(csv, APTOS, world.raw / "sample_submission.csv")
    told = capsys.readouterr().out
    assert "NOT ENOUGH TIME for everything: 1 of 4 views" in told
    assert f"NOT ENOUGH TIME for everything: 1 of {2 if which == 0 else 4} weights files" in told


@dataclass
class Measured:
    """A part of an answer that takes one second a view and file."""

    files: list[str]
    views: int

    def seconds(self, views: int) -> float:
        return float(min(views, self.views))


@pytest.mark.parametrize(
    ("left", "views", "counts"),
    [
        (100, 8, [3, 2]),  # 3 × 8 + 2 × 4 seconds and more
        (32, 8, [3, 2]),
        (31, 7, [3, 2]),
        (20, 4, [3, 2]),
        (5, 1, [3, 2]),
        (4.5, 1, [2, 2]),
        (3, 1, [2, 1]),
        (2, 1, [1, 1]),
        (1, 1, [1, 0]),
        (-5, 1, [1, 0]),
    ],
)
def test_views_go_first_then_networks_and_never_all(left, views, counts):
    assert plan([Measured(["a", "b", "c"], 8), Measured(["d", "e"], 4)], left) == (views, counts)


def test_what_takes_longer_than_measured_ends_early(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(answer_module, "seconds_an_image", lambda *_, **__: 1e-9)
    call = answer_module.Predictor.__call__

    def slowly(self, feed, most_views=None, progress=None):
        time.sleep(1.5 if progress else 0)
        return call(self, feed, most_views, progress)

    monkeypatch.setattr(answer_module.Predictor, "__call__", slowly)
    csv = tmp_path / "submission.csv"
    answer(APTOS, world.runs[0], world.raw, csv, world.options, hours=2.5 / 3600)
    assert f"run {world.runs[0].id} ends with 1 of 2 files" in capsys.readouterr().out
    validate(csv, APTOS, world.raw / "sample_submission.csv")


def test_a_notebook_is_the_same_each_time_and_bears_the_mark_of_its_package(world, tmp_path):
    run = world.runs[0]
    package = pack_run(APTOS, run, tmp_path)
    text = inference_notebook(APTOS, run, package)
    assert text == inference_notebook(APTOS, run, package)
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown"
    (parameters,) = (cell.source for cell in notebook.cells if cell.metadata.get("tags") == ["parameters"])
    values = {}
    exec(parameters, values)
    assert values["SHA256"] == package.sha256
    assert (values["COMPETITION"], values["RUN"], values["PACKAGE"]) == ("aptos", run.id, package.slug)
    assert values["SLUG"] == "aptos2019-blindness-detection"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


def mount(world: World, package, root: Path) -> Path:
    """`root/kaggle` as Kaggle lays it out: the dataset and the competition among the inputs."""
    dataset = root / "kaggle" / "input" / "datasets" / "somebody" / package.slug
    dataset.mkdir(parents=True)
    unpacked(package.folder, dataset)
    (root / "kaggle" / "input" / "competitions").mkdir()
    (root / "kaggle" / "input" / "competitions" / APTOS.slug).symlink_to(world.raw)
    (root / "kaggle" / "working").mkdir()
    return root / "kaggle"


def execute(text: str, kaggle: Path) -> str:
    """Runs a notebook with that folder in the place of /kaggle, far from this project; what it printed."""
    from nbclient import NotebookClient

    notebook = nbformat.reads(text.replace("/kaggle/", f"{kaggle}/"), as_version=4)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TMPDIR"] = str(kaggle.parent)
    client = NotebookClient(notebook, timeout=150, resources={"metadata": {"path": str(kaggle / "working")}})
    client.execute(env=environment)
    streams = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output]
    return "".join(stream.text for stream in streams if stream.name == "stdout")


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 2], ids=["run", "blend"])
def test_the_notebook_writes_the_submission_that_is_written_here(world, tmp_path, which):
    run = world.runs[which]
    package = pack_run(APTOS, run, tmp_path / "packages")
    kaggle = mount(world, package, tmp_path)
    before = contents(kaggle / "input")
    told = execute(inference_notebook(APTOS, run, package), kaggle)
    assert (kaggle / "working" / "submission.csv").read_bytes() == world.expected(run, tmp_path / "expected.csv")
    assert [path.name for path in (kaggle / "working").iterdir()] == ["submission.csv"]
    assert contents(kaggle / "input") == before
    assert "installed: nothing, all is here" in told
    assert "id_code  diagnosis" in told


@pytest.mark.slow
def test_the_notebook_trains_the_run_that_would_be_trained_here(world, tmp_path):
    weights = tmp_path / "start.safetensors"
    weights.write_bytes(world.runs[0].weights()[0][1].read_bytes())
    recipe = QUICK.with_fields(weights=str(weights), epochs=1, seed=3)
    package = pack_training(APTOS, recipe, tmp_path / "packages")
    kaggle = mount(world, package, tmp_path)
    told = execute(training_notebook(APTOS, recipe, package), kaggle)
    (run,) = all_runs(kaggle / "working" / "runs", "aptos")
    assert f"run {run.id}: quadratic_weighted_kappa" in told
    assert run.recipe == recipe
    assert not [path for path in run.folder.rglob("*") if path.name in ("last.state", ".lock")]
    here = train(APTOS, recipe, read_data(APTOS, APTOS.read_train(world.raw), recipe), world.options)
    assert here.id == run.id
    assert read_json(here.folder / "metrics.json") == read_json(run.folder / "metrics.json")
