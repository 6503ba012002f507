"""torch.compile in training: the same step, a warm-up that is shown, and life without it."""

import functools

import numpy as np
import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from common.compiled import Compiled
from common.data import prepared
from common.errors import UserError
from common.models.build import build
from common.options import Options
from common.predict import evaluation_feed
from common.progress import Progress
from common.recipe import Recipe
from common.train.feeds import training_feed
from common.train.gradients import Execution, Gradients
from competitions import load
from tests.small_data import RECIPE, write_small_aptos
from tests.test_accumulate import IMAGES, TARGETS, memory_for

APTOS = load("aptos")


def gradients(how: Execution) -> Gradients:
    torch.manual_seed(0)
    network = build(Recipe(backbone="test_resnet", weights="none", input_size=32), 5).train()
    return Gradients(network, torch.nn.CrossEntropyLoss(), None, torch.device("cpu"), how)


def step(with_gradients: Gradients) -> torch.Tensor:
    return with_gradients(1, IMAGES, TARGETS, None, whole=10)


def without_code_generation(monkeypatch) -> None:
    """The graph is taken and run as it is: what a test has the time for."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def test_a_compiled_step_is_the_same_step(monkeypatch):
    without_code_generation(monkeypatch)
    plain, compiled = gradients(Execution()), gradients(Execution(compiled=True))
    assert not plain.to_compile
    assert compiled.to_compile
    torch.testing.assert_close(step(compiled), step(plain))
    assert not compiled.to_compile, "the warm-up is over"
    pairs = zip(plain.network.parameters(), compiled.network.parameters(), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(theirs.grad, ours.grad, rtol=1e-4, atol=1e-5)


def test_a_compiled_step_is_halved_where_memory_runs_out(monkeypatch):
    without_code_generation(monkeypatch)
    told = []
    memory_for(5, monkeypatch)
    compiled = gradients(Execution(smaller=told.append, compiled=True))
    in_parts = gradients(Execution(micro_batch=5))
    torch.testing.assert_close(step(compiled), step(in_parts))
    assert told == [5]


def test_where_nothing_can_be_compiled_training_goes_on_and_says_so_once(monkeypatch):
    def broken(module):
        def call(*arguments):
            raise BackendCompilerFailed(module, RuntimeError("no working C++ compiler"), None)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    told = []
    compiled = gradients(Execution(compiled=True, not_compiled=told.append))
    torch.testing.assert_close(step(compiled), step(gradients(Execution())))
    step(compiled)
    assert len(told) == 1
    assert "no working C++ compiler" in told[0]


def test_a_network_s_own_error_is_not_the_compiler_s(monkeypatch):
    def broken(module):
        def call(*arguments):
            raise UserError("the network's")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UserError, match="the network's"):
        Compiled(torch.nn.Identity(), pytest.fail)(1)


def test_looking_up_pixels_is_compiled_once_for_training_and_prediction(monkeypatch, tmp_path):
    table = APTOS.read_test(write_small_aptos(tmp_path / "aptos")).assign(source="test")
    options = Options(cache=tmp_path / "cache", device="cpu", workers=0, feed="device", compile="on")
    cache, graphs = prepared(APTOS, table, RECIPE, options)[0], []
    backend = lambda graph, _: graphs.append(graph) or graph  # noqa: E731
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch.compiler.reset()
    recipe, rows, labels = RECIPE.with_fields(batch_size=4, augment="base"), np.arange(12), np.arange(12) % 5
    with evaluation_feed(cache, rows, recipe, options) as feed, torch.inference_mode():
        list(feed.epoch(0))
    with training_feed(cache, rows, labels, recipe, options) as feed:
        images, _ = next(iter(feed.epoch(0)))
    assert not images.is_inference()
    assert len(graphs) == 1


def test_it_is_off_on_a_cpu_unless_asked_for():
    assert not Options(device="cpu").compiled()
    assert Options(device="cpu", compile="on").compiled()


def test_the_warm_up_is_shown_and_is_no_part_of_the_rate(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("common.progress.time.monotonic", lambda: now[0])
    with Progress(100, "train fold-0") as progress:
        with progress.apart("compiling the network"):
            now[0] = 60.0
        now[0] = 62.0
        progress.update(20)
        assert progress.rate == 10
    assert "train fold-0: compiling the network" in capsys.readouterr().err
