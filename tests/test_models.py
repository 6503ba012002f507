"""Networks: heads, pooling, normalization, and weights that are loaded whole or not at all."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import UserError
from common.models.build import build
from common.models.pooling import GeM
from common.recipe import Recipe

SHARED_WEIGHTS = Path(__file__).resolve().parents[1].parent / "shared" / "weights"
needs_weights = pytest.mark.skipif(not SHARED_WEIGHTS.is_dir(), reason="no ImageNet weights beside the repository")

SMALL = Recipe(backbone="resnet10t", weights="none", input_size=64)


def images(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", ["resnet10t", "tf_mobilenetv3_small_100", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_any_backbone_gets_the_asked_number_of_outputs(backbone):
    network = build(SMALL.with_fields(backbone=backbone), outputs=7).eval()
    assert network(images()).shape == (2, 7)


def test_a_transformer_takes_another_input_size():
    network = build(SMALL.with_fields(backbone="test_vit", input_size=96), outputs=3).eval()
    assert network(images(size=96)).shape == (2, 3)


def test_an_unknown_backbone_is_named_with_a_near_match():
    with pytest.raises(UserError, match=r"no 'resnet5O' .*did you mean 'resnet50'"):
        build(SMALL.with_fields(backbone="resnet5O"), 2)


def test_squeezenet_can_give_negative_logits():
    torch.manual_seed(0)
    logits = build(SMALL.with_fields(backbone="squeezenet1_1"), 16).eval()(images(8))
    assert (logits < 0).any()


def test_normalization_gives_zero_mean_and_unit_deviation_in_the_weights_own_terms():
    network = build(SMALL, 2)
    grey = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
    expected = (128 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(network.normalize(grey)[0, :, 0, 0], expected, atol=1e-5, rtol=0)


def test_bgr_reverses_the_channels_and_keeps_the_order_of_mean_and_deviation():
    rgb, bgr = build(SMALL, 2), build(SMALL.with_fields(color_order="bgr"), 2)
    batch = images()
    torch.testing.assert_close(bgr.normalize(batch), rgb.normalize(batch.flip(1)))


def test_weights_of_mobilenet_v3_bring_their_own_normalization_unless_imagenets_is_asked():
    recipe = SMALL.with_fields(backbone="tf_mobilenetv3_small_100")
    black = torch.zeros((1, 3, 32, 32), dtype=torch.uint8)
    assert build(recipe, 2).normalize(black).unique().tolist() == [-1.0]
    assert build(recipe.with_fields(normalization="imagenet"), 2).normalize(black).unique().numel() == 3


def test_gem_is_average_pooling_at_p_1_and_tends_to_the_maximum():
    features = torch.rand(2, 5, 7, 7, generator=torch.Generator().manual_seed(0)) + 0.1
    torch.testing.assert_close(GeM(1.0)(features), features.mean((2, 3)))
    torch.testing.assert_close(GeM(200.0)(features), features.amax((2, 3)), atol=0.03, rtol=0)


@pytest.mark.parametrize("backbone", ["resnet10t", "tf_mobilenetv3_small_100", "squeezenet1_1"])
def test_gem_replaces_the_pooling_and_its_exponent_is_learned(backbone):
    network = build(SMALL.with_fields(backbone=backbone, pooling="gem"), 2)
    network(images()).sum().backward()
    (pool,) = [module for module in network.modules() if isinstance(module, GeM)]
    assert pool.p.grad is not None


def test_gem_where_there_is_nothing_to_replace_is_an_error():
    with pytest.raises(UserError, match="pooling 'gem'"):
        build(SMALL.with_fields(backbone="shufflenet_v2_x0_5", pooling="gem"), 2)


def test_a_file_round_trips_and_another_classifier_starts_fresh(tmp_path):
    first = build(SMALL, 5)
    save_file(first.backbone.state_dict(), tmp_path / "w.safetensors")
    recipe = SMALL.with_fields(weights=str(tmp_path / "w.safetensors"))
    same, other = build(recipe, 5), build(recipe, 3)
    for name, value in first.backbone.state_dict().items():
        assert torch.equal(same.backbone.state_dict()[name], value)
    assert torch.equal(other.backbone.conv1[0].weight, first.backbone.conv1[0].weight)
    assert other.backbone.fc.weight.shape == (3, 512)


def test_weights_that_do_not_fit_are_listed_key_by_key(tmp_path):
    state = build(SMALL, 5).backbone.state_dict()
    first = next(iter(state))
    state[first] = torch.zeros(3)
    state["stray"] = torch.zeros(1)
    gone = [name for name in state if name.endswith("weight")][5]
    del state[gone]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as error:
        build(SMALL.with_fields(weights=str(tmp_path / "w.safetensors")), 5)
    assert f"missing: {gone}" in str(error.value)
    assert "unexpected: stray" in str(error.value)
    assert f"of another shape: {first} (3,)" in str(error.value)


@pytest.mark.parametrize(
    ("content", "name"), [(None, "w.safetensors"), (b"not weights", "w.safetensors"), (b"not weights", "w.pth")]
)
def test_a_missing_or_unreadable_file_is_one_line_with_its_path(tmp_path, content, name):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        build(SMALL.with_fields(weights=str(path)), 2)


def test_a_pickle_with_code_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"a": Evil()}, tmp_path / "w.pth")
    with pytest.raises(UserError):
        build(SMALL.with_fields(weights=str(tmp_path / "w.pth")), 2)
    assert not (tmp_path / "owned").exists()


def test_nan_weights_are_refused(tmp_path):
    state = build(SMALL, 5).backbone.state_dict()
    state["fc.bias"][0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"NaN or infinite values in fc\.bias"):
        build(SMALL.with_fields(weights=str(tmp_path / "w.safetensors")), 5)


@needs_weights
@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "tf_mobilenetv3_small_100", "mobilenet_v2", "vit_tiny_patch16_224", "regnetx_002"]
)
def test_real_weights_fit_their_constructor(name):
    path = SHARED_WEIGHTS / f"{name}.safetensors"
    network = build(SMALL.with_fields(backbone=name, weights=str(path), input_size=224), outputs=5)
    state, ours = load_file(path), network.backbone.state_dict()
    taken = [key for key in ours if key in state and torch.equal(ours[key].float(), state[key].float())]
    assert len(taken) >= len(ours) - 2
