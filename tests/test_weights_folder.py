"""Weights without a network: a folder with checksums, filled by `fetch`; and what leaves a run or is checked."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

from common import command
from common.data import read_data
from common.errors import UserError
from common.models.__main__ import main
from common.models.build import build
from common.models.check import Images, class_indices, class_of, labelled_images
from common.models.export import export, network_of
from common.models.folder import SUMS, add_checksum, checksums
from common.models.registry import source_of
from common.models.weights import hub_weights
from common.options import Options
from common.recipe import Recipe
from common.run import Run, identity
from common.train import train
from competitions.aptos import COMPETITION
from tests.small_data import RECIPE, write_small_aptos

SQUEEZENET = Recipe(backbone="squeezenet1_1", input_size=64)
HUB_FILE = "squeezenet1_1-b8a52dc0.pth"


def fail(capsys, *words: object) -> str:
    """The one line that a failing command says."""
    assert command.run(main, [str(word) for word in words]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """SqueezeNet whose guesses are class 0, then 1, 2 …, whatever the image."""
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1().state_dict()
    state["classifier.1.weight"].zero_()
    state["classifier.1.bias"].copy_(torch.arange(1000, 0, -1))
    return state


@pytest.fixture
def no_network(tmp_path, monkeypatch) -> Path:
    """torchvision's cache in a folder of its own, and no address that can be looked up."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def folder(tmp_path, state) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(state, folder / "squeezenet1_1.safetensors")
    add_checksum(folder / "squeezenet1_1.safetensors")
    return folder


def test_a_folder_gives_each_backbone_its_file(folder, state, monkeypatch):
    of_folder = build(SQUEEZENET.with_fields(weights=str(folder)), 5).backbone.state_dict()
    monkeypatch.setenv("WEIGHTS_DIR", str(folder))
    of_environment = build(SQUEEZENET, 5).backbone.state_dict()
    for name in ("features.0.weight", "features.12.expand3x3.bias"):
        assert torch.equal(of_folder[name], state[name])
        assert torch.equal(of_environment[name], state[name])


def test_a_file_that_the_folder_lacks_is_named_with_the_way_to_fetch_it(folder, monkeypatch):
    told = r"no resnet50\.am_in1k\.safetensors in .*`python -m common\.models fetch resnet50\.am_in1k --to"
    with pytest.raises(UserError, match=told):
        build(SQUEEZENET.with_fields(backbone="resnet50.am_in1k", weights=str(folder)), 5)
    monkeypatch.setenv("WEIGHTS_DIR", str(folder))
    with pytest.raises(UserError, match=told):
        hub_weights("resnet50.am_in1k")


def test_a_file_that_is_not_the_listed_one_is_refused_and_one_without_a_list_is_taken(folder, state):
    save_file({**state, "classifier.1.bias": torch.zeros(1000)}, folder / "squeezenet1_1.safetensors")
    with pytest.raises(UserError, match=rf"squeezenet1_1\.safetensors is not what .*{SUMS} lists"):
        build(SQUEEZENET.with_fields(weights=str(folder)), 5)
    (folder / SUMS).unlink()
    build(SQUEEZENET.with_fields(weights=str(folder)), 5)


def test_checksums_are_those_of_sha256sum(folder):
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, text=True, check=True)
    assert checked.stdout == "squeezenet1_1.safetensors: OK\n"


def test_a_run_is_the_same_whether_its_weights_are_named_by_file_or_by_folder(folder):
    by_folder = identity("aptos", SQUEEZENET.with_fields(weights=str(folder)), "data")
    by_file = identity("aptos", SQUEEZENET.with_fields(weights=str(folder / "squeezenet1_1.safetensors")), "data")
    assert by_folder == by_file != identity("aptos", SQUEEZENET, "data")


def test_fetch_fills_a_folder_from_the_libraries_and_finds_what_is_done(no_network, state, tmp_path, capsys):
    no_network.mkdir(parents=True)
    torch.save(state, no_network / HUB_FILE)
    to = tmp_path / "carry"
    main(["fetch", "squeezenet1_1", "--to", str(to)])
    assert f"from {source_of('squeezenet1_1').weights}" in capsys.readouterr().out
    fetched = load_file(to / "squeezenet1_1.safetensors")
    assert fetched.keys() == state.keys()
    assert all(torch.equal(fetched[name], state[name]) for name in state)
    (no_network / HUB_FILE).unlink()
    main(["fetch", "squeezenet1_1", "--to", str(to)])
    assert "there already" in capsys.readouterr().out


def test_fetch_replaces_a_file_that_was_written_but_not_listed(no_network, state, tmp_path):
    no_network.mkdir(parents=True)
    torch.save(state, no_network / HUB_FILE)
    (tmp_path / "carry").mkdir()
    (tmp_path / "carry" / "squeezenet1_1.safetensors").write_bytes(b"half of a file")
    main(["fetch", "squeezenet1_1", "--to", str(tmp_path / "carry")])
    assert list(checksums(tmp_path / "carry")) == ["squeezenet1_1.safetensors"]
    assert load_file(tmp_path / "carry" / "squeezenet1_1.safetensors").keys() == state.keys()


@pytest.mark.parametrize("name", ["squeezenet1_1", "test_vit.r160_in1k"])
def test_without_a_network_fetch_says_so_in_one_line_and_leaves_nothing(
    name, no_network, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    line = fail(capsys, "fetch", name, "--to", tmp_path / "carry")
    assert f"weights of {name} cannot be had" in line
    assert "with a network the same command goes on" in line
    assert not (tmp_path / "carry").exists()


def test_an_unknown_name_is_told_before_anything_is_fetched(no_network, tmp_path, capsys):
    assert "did you mean 'resnet50'" in fail(capsys, "fetch", "squeezenet1_1", "resnet5O", "--to", tmp_path / "carry")
    assert not (tmp_path / "carry").exists()


def test_a_network_without_weights_is_told_before_anything_is_fetched(no_network, tmp_path, capsys):
    line = fail(capsys, "fetch", "squeezenet1_1", "efficientnet_b8", "--to", tmp_path / "carry")
    assert line == "error: fetch: timm has no weights for efficientnet_b8; leave that out"
    assert not (tmp_path / "carry").exists()


def test_weights_that_cannot_be_had_are_an_error_and_never_a_random_start(no_network):
    with pytest.raises(UserError, match=r"cannot be had .*fetch squeezenet1_1`"):
        build(SQUEEZENET, 5)
    with pytest.raises(UserError, match="timm has none, and would start at random"):
        hub_weights("vit_base_patch16_18x2_224")


@pytest.fixture
def trained(tmp_path) -> Run:
    recipe = RECIPE.with_fields(epochs=1)
    data = read_data(COMPETITION, COMPETITION.read_train(write_small_aptos(tmp_path / "raw", n=20)), recipe)
    options = Options(device="cpu", workers=0, runs=tmp_path / "runs", cache=tmp_path / "cache")
    return train(COMPETITION, recipe, data, options)


def test_an_exported_run_answers_as_the_network_for_any_number_of_images(trained, tmp_path, capsys):
    export(trained, tmp_path / "out")
    assert capsys.readouterr().out.count("largest difference") == 2
    for file in sorted((tmp_path / "out").glob("*.onnx")):
        assert {entry.version for entry in onnx.load(file).opset_import if entry.domain == ""} == {20}
        network = network_of(trained.recipe, file.with_suffix(".safetensors"))
        session = onnxruntime.InferenceSession(file)
        assert [entry.type for entry in session.get_inputs()] == ["tensor(uint8)"]
        for n in (1, 5):
            images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8)
            (answers,) = session.run(None, {"images": images.numpy()})
            np.testing.assert_allclose(answers, network(images).detach().numpy(), atol=1e-4)


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert f"{tmp_path} is no run" in fail(capsys, "export", "--run", tmp_path)


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(len(path.name)).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((320, 270)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("ILSVRC2012_val_00000293_n01440764.JPEG", 0),
        ("n01443537_goldfish.JPEG", 1),
        ("n01440764/n01440764_10026.JPEG", 0),
        ("n01440764/1.jpg", 0),
        ("great_white_shark/1.png", 2),
        ("tench, Tinca tinca/1.png", 0),
        ("tench/1.png", 0),
        ("999/1.png", 999),
        ("1000/1.png", None),
        ("maillot/1.png", None),
        ("cat.png", None),
    ],
)
def test_the_class_of_an_image_is_told_by_its_name_or_its_folder(name, label):
    assert class_of(Path("images") / name) == label


def test_every_wordnet_id_is_the_index_that_torchvision_gives_its_name():
    categories = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    known = [class_indices().get(category.lower()) for category in categories]
    assert sum(index is not None for index in known) > 950
    assert all(index in (None, expected) for expected, index in enumerate(known))


def test_check_counts_the_right_guesses_and_puts_the_published_figure_beside(folder, tmp_path, capsys):
    for name in ("n01440764_a.JPEG", "n01440764_b.JPEG", "n01440764_c.JPEG", "3/d.png", "3/e.png", "10/f.png"):
        draw(tmp_path / "images" / name)
    words = ["--images", str(tmp_path / "images"), "--backbone", "squeezenet1_1", "--weights", str(folder)]
    main(["check", *words, "--workers", "0"])
    out = capsys.readouterr().out
    assert "6 images, top-1 50.0% [18.8, 81.2], top-5 83.3% [43.6, 97.0]" in out
    assert "paper 58.2, its library 58.2" in out


def test_check_sees_images_as_the_weights_were_evaluated(tmp_path):
    path = draw(tmp_path / "n01440764.png")
    seen, label = Images([(path, 0)], source_of("squeezenet1_1"))[0]
    preset = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.transforms()
    torch.testing.assert_close(seen, preset(Image.open(path)), atol=0.02, rtol=0)
    assert (label, tuple(seen.shape)) == (0, (3, 224, 224))
    assert Images([(path, 0)], source_of("pnasnet5large.tf_in1k"))[0][0].shape == (3, 331, 331)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["truncated", "broken chunk", "text", "too large"])
def test_check_names_an_image_that_cannot_be_read_in_one_line(damage, workers, folder, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "images" / "n01440764_a.png")
    image = draw(tmp_path / "images" / "n01440764_b.png")
    data = image.read_bytes()
    match damage:
        case "truncated":
            image.write_bytes(data[: len(data) // 2])
        case "broken chunk":  # Pillow raises a SyntaxError
            before, _, after = data.rpartition(b"IDAT")
            image.write_bytes(before + b"\0\0\0\0" + after)
        case "text":
            image.write_text("no image")
        case "too large":
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    words = ("check", "--images", tmp_path / "images", "--backbone", "squeezenet1_1", "--weights", folder)
    assert command.run(main, [str(word) for word in (*words, "--workers", workers)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    named = "_a" if damage == "too large" else "_b"
    assert line.startswith(f"error: images: cannot read {tmp_path}/images/n01440764{named}.png: ")
    assert "Traceback" not in line


def test_check_tells_in_one_line_that_a_worker_was_killed(folder, tmp_path, monkeypatch, capsys):
    draw(tmp_path / "images" / "n01440764.png")
    monkeypatch.setattr(Images, "__getitem__", lambda images, index: os.kill(os.getpid(), signal.SIGKILL))
    words = ("check", "--images", tmp_path / "images", "--backbone", "squeezenet1_1", "--weights", folder)
    assert "a worker of the feed died" in fail(capsys, *words, "--workers", "1")


def test_check_tells_images_without_a_class_and_weights_without_a_classifier(folder, state, tmp_path, capsys):
    draw(tmp_path / "images" / "cat.png")
    with pytest.raises(UserError, match=r"no ImageNet class can be told for cat\.png"):
        labelled_images(tmp_path / "images")
    (tmp_path / "images" / "cat.png").rename(tmp_path / "images" / "n01440764.png")
    save_file({key: value for key, value in state.items() if "classifier" not in key}, tmp_path / "w.safetensors")
    words = ("check", "--images", tmp_path / "images", "--backbone", "squeezenet1_1", "--weights")
    assert "classifier.1.weight" in fail(capsys, *words, tmp_path / "w.safetensors")
    assert "nothing to check" in fail(capsys, *words, "none")
