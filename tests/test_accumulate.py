"""A batch in parts: the same gradient, and what happens when memory runs out."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from common.data import read_data
from common.errors import UserError
from common.models.build import build
from common.options import Options
from common.recipe import Recipe
from common.train import train
from common.train.gradients import Execution, Gradients, LossOf
from competitions import load
from tests.small_data import RECIPE, write_small_aptos

APTOS = load("aptos")
ONE_FOLD = RECIPE.with_fields(epochs=2, only_folds=(0,))
IMAGES = torch.randint(0, 256, (10, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.eye(5)[torch.arange(10) % 5]


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return write_small_aptos(tmp_path_factory.mktemp("data") / "aptos")


def run_in(folder: Path, raw: Path, recipe: Recipe = ONE_FOLD):
    options = Options(workers=0, device="cpu", cache=folder / "cache", runs=folder / "runs", state_every=0)
    return train(APTOS, recipe, read_data(APTOS, APTOS.read_train(raw), recipe), options)


def weights_of(run) -> dict[str, torch.Tensor]:
    (file,) = run.folder.glob("fold-0/weights-*.safetensors")
    return load_file(file)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def memory_for(images: int, monkeypatch) -> list[int]:
    """A device that holds the activations of this many images; returns how many it was asked to hold, time by time."""
    forward, asked = LossOf.forward, []

    def allocate(self, inputs, targets, beside):
        asked.append(len(inputs))
        loss = forward(self, inputs, targets, beside)
        if len(inputs) > images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss

    monkeypatch.setattr(LossOf, "forward", allocate)
    return asked


def gradients_of(backbone: str, micro_batch: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = build(Recipe(backbone=backbone, weights="none", input_size=32), 5).train()
    how = Execution(micro_batch)
    gradients = Gradients(network, torch.nn.CrossEntropyLoss(), None, torch.device("cpu"), how)
    loss = gradients(1, IMAGES, TARGETS, None, whole=10)
    return {"loss": loss} | {name: value.grad for name, value in network.named_parameters()}


@pytest.mark.parametrize("micro_batch", [2, 3, 5, 9, 64])
def test_gradients_in_parts_add_up_to_those_of_the_batch(micro_batch):
    whole, parts = gradients_of("test_vit", 0), gradients_of("test_vit", micro_batch)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_batch_normalization_sees_the_parts_which_is_why_their_size_is_a_field_of_the_recipe():
    whole, parts = gradients_of("test_resnet", 0), gradients_of("test_resnet", 5)
    assert not torch.allclose(parts["loss"], whole["loss"], rtol=1e-4)
    assert Recipe(micro_batch=5).identity() != Recipe().identity()


def test_a_part_has_two_images_or_more(monkeypatch):
    with pytest.raises(UserError, match="micro_batch 1: batch normalization needs two"):
        Recipe(micro_batch=1)
    asked = memory_for(64, monkeypatch)
    gradients_of("test_resnet", 3)
    assert asked == [2, 3, 2, 3], "parts of a batch of 10 are as equal as they can be"


def test_where_memory_runs_out_training_goes_on_in_parts_as_if_it_had_begun_so(raw, tmp_path, monkeypatch, capsys):
    in_parts = run_in(tmp_path / "parts", raw, ONE_FOLD.with_fields(micro_batch=2))
    asked = memory_for(2, monkeypatch)
    run = run_in(tmp_path / "small", raw)
    assert asked[:7] == [8, 4, 2, 2, 2, 2, 2], "halved in the first step, and kept"
    assert set(asked[2:]) == {2}
    assert run.about["micro_batch"] == 2
    assert same(weights_of(run), weights_of(in_parts)), "statistics of batch normalization too"
    assert "memory ran out: from here on 2 images at a time, up to the batch of 8" in capsys.readouterr().err


def test_a_resumed_run_remembers_how_much_the_machine_holds(raw, tmp_path, monkeypatch):
    asked = memory_for(4, monkeypatch)
    recipe, epochs = ONE_FOLD, []

    def stop(fold: int, epoch: int, score: float | None) -> bool:
        epochs.append(epoch)
        return epoch == 1

    options = Options(workers=0, device="cpu", cache=tmp_path / "cache", runs=tmp_path / "runs")
    data = read_data(APTOS, APTOS.read_train(raw), recipe)
    assert not train(APTOS, recipe, data, options, stop).finished
    asked.clear()
    assert train(APTOS, recipe, data, options).finished
    assert set(asked) == {4}


def test_where_not_even_two_images_fit_the_error_says_what_takes_less(raw, tmp_path, monkeypatch):
    memory_for(1, monkeypatch)
    with pytest.raises(UserError, match="memory runs out with 2 images at a time: a smaller --input-size"):
        run_in(tmp_path, raw)
