"""The zoo: every row says what the installed libraries say, and every name builds, trains a step and comes back."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file

from common.errors import UserError
from common.models.__main__ import main
from common.models.build import build
from common.models.registry import preprocessing, source_of
from common.models.zoo import find, zoo
from common.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT.parent / "shared" / "paper"
NAMES = list(zoo())
SMALL = [name for name, model in zoo().items() if model.parameters < 10e6]
LARGE = [name for name in NAMES if name not in SMALL]


def recipe_of(name: str) -> Recipe:
    return Recipe(backbone=name, weights="none", input_size=zoo()[name].input_size)


def trained_one_step(name: str, device: str) -> torch.nn.Module:
    """The network after forward, backward and a step on two images; every parameter must have got a gradient."""
    torch.manual_seed(0)
    size = zoo()[name].input_size
    with torch.device(device):
        network = build(recipe_of(name), outputs=5).train()
        outputs = network(torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8))
    assert outputs.shape == (2, 5)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    return network


def test_the_zoo_has_the_papers_19_models_two_more_resnets_and_six_of_clip():
    parts = [model.part for model in zoo().values()]
    assert (parts.count("grid"), parts.count("augmentation"), parts.count("clip")) == (19, 2, 6)
    assert find("resnet50").weights == "ResNet50_Weights.IMAGENET1K_V1"
    assert find("resnet18") is None


@pytest.mark.skipif(not PAPER.is_dir(), reason="no figures of the paper beside the repository")
def test_accuracy_parameters_and_augmentation_are_those_that_the_paper_prints():
    def rows(file: str) -> list[dict]:
        with open(PAPER / file, encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    of_paper = {model.paper_name: model for model in zoo().values()}
    for row in rows("models.csv"):
        model = of_paper[row["model"]]
        assert (model.published_top1, model.printed_parameters) == (float(row["imagenet_top1"]), row["parameters"])
        assert model.augmentation.replace(" ", "") == row["pretraining_augmentation"].replace(" ", "")
    for row in rows("augmentation_ablation.csv"):
        name = row["model"] if row["pretraining"] == "standard" else f"{row['model']} ({row['pretraining']})"
        assert of_paper[name].published_top1 == float(row["imagenet_top1"])
    for row in rows("clip_by_dataset.csv"):
        assert of_paper[row["model"]].published_top1 == float(row["imagenet_top1"])


@pytest.mark.parametrize("name", NAMES)
def test_weights_exist_and_want_the_images_that_the_table_says(name):
    model, wants = zoo()[name], preprocessing(source_of(name))
    if model.library == "torchvision" or "_Weights." in model.weights:
        assert torchvision.models.get_weight(model.weights).url
    else:
        assert model.weights == name
        assert model.weights in timm.list_pretrained()
    assert (3, model.input_size, model.input_size) == wants["input_size"]
    assert (model.mean, model.std) == (wants["mean"], wants["std"])
    assert (model.interpolation, model.crop) == (wants["interpolation"], wants["crop_pct"])
    assert wants["crop_mode"] == "center"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_accuracy_and_licence_are_what_the_libraries_say(name):
    model = zoo()[name]
    with torch.device("meta"):
        if model.library == "timm":
            network = timm.create_model(model.constructor, num_classes=1000)
        else:
            network = torchvision.models.get_model(model.constructor)
    assert sum(parameter.numel() for parameter in network.parameters()) == model.parameters
    if "_Weights." in model.weights:
        meta = torchvision.models.get_weight(model.weights).meta
        assert (meta["_metrics"]["ImageNet-1K"]["acc@1"], meta["num_params"]) == (model.library_top1, model.parameters)
    else:
        assert timm.get_pretrained_cfg(model.weights).license == model.licence


def test_printed_parameters_agree_with_the_count_but_for_the_vit_whose_note_tells():
    def differs(model) -> bool:
        return abs(float(model.printed_parameters.rstrip("M")) - model.parameters / 1e6) > 1

    wrong = [model for model in zoo().values() if model.printed_parameters and differs(model)]
    assert [model.paper_name for model in wrong] == ["ViT-B/16"]
    assert "misprint" in wrong[0].note


@pytest.mark.parametrize("name", [n for n, m in zoo().items() if m.library == "timm" and "_Weights." in m.weights])
def test_a_constructor_of_timm_with_weights_of_torchvision_has_the_same_layout(name):
    with torch.device("meta"):
        ours, theirs = timm.create_model(name).state_dict(), torchvision.models.get_model(name).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


@pytest.mark.parametrize("name", ["resnet50", "densenet121"])
def test_a_constructor_of_timm_answers_as_that_of_torchvision_at_another_size_too(name):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name).eval()
    ours = timm.create_model(name).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images))


def test_the_image_towers_of_clip_use_the_activation_that_they_were_trained_with():
    for model in zoo().values():
        if model.part == "clip" and model.name.startswith("vit"):
            with torch.device("meta"):
                network = timm.create_model(model.name)
            assert {type(block.mlp.act).__name__ for block in network.blocks} == {"QuickGELU"}


@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_trains_a_step_at_its_size_and_comes_back_bit_for_bit(name, tmp_path):
    network = trained_one_step(name, "cpu")
    save_file(network.weights(), tmp_path / "w.safetensors")
    again = build(recipe_of(name), outputs=5, weights=False)
    again.load_weights(load_file(tmp_path / "w.safetensors"))
    ours, theirs = network.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_goes_forward_and_backward_at_its_size_without_memory(name):
    trained_one_step(name, "meta")


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_trains_a_step_and_comes_back_bit_for_bit(name, tmp_path):
    test_a_small_model_trains_a_step_at_its_size_and_comes_back_bit_for_bit(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_builder_takes_the_constructor_of_the_table(name):
    with torch.device("meta"):
        network = build(recipe_of(name), outputs=2)
    assert type(network.backbone).__module__.split(".")[0] == zoo()[name].library


@pytest.mark.parametrize("name", [*SMALL, "resnet50_clip.openai"])
def test_the_builder_normalizes_as_the_table_says(name):
    grey = torch.full((1, 3, 1, 1), 128, dtype=torch.uint8)
    expected = (128 / 255 - torch.tensor(zoo()[name].mean)) / torch.tensor(zoo()[name].std)
    torch.testing.assert_close(build(recipe_of(name), 2).normalize(grey)[0, :, 0, 0], expected, atol=1e-5, rtol=0)


def test_names_out_of_the_zoo_stand_for_the_libraries_own_weights():
    assert source_of("resnet18").weights == "resnet18.a1_in1k"
    assert source_of("resnet50.a1_in1k").weights == "resnet50.a1_in1k"
    assert source_of("mobilenet_v2").weights == "MobileNet_V2_Weights.IMAGENET1K_V1"
    with pytest.raises(UserError, match=r"no 'resnet5O' .*did you mean 'resnet50'"):
        source_of("resnet5O")
    with pytest.raises(UserError, match="tag"):
        source_of("resnet50.no_such_tag")


def test_list_fits_a_terminal_of_120_columns_and_names_every_model(capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert all(any(line.startswith(name + " ") for line in lines) for name in NAMES)
    main(["list", "--json"])
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == NAMES


def test_list_does_not_wait_for_torch():
    words = "import sys; from common.models.__main__ import main; main(['list']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=True, capture_output=True)
