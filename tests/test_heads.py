"""Heads: pooling in place of the average, the branch for metadata, labels by the nearest neighbours."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import common.neighbours
from common.errors import UserError
from common.models.build import build
from common.models.pooling import GatedAttention
from common.neighbours import nearest_labels
from common.recipe import Recipe

SHARED_WEIGHTS = Path(__file__).resolve().parents[1].parent / "shared" / "weights"
needs_weights = pytest.mark.skipif(not SHARED_WEIGHTS.is_dir(), reason="no ImageNet weights beside the repository")

SMALL = Recipe(backbone="resnet10t", weights="none", input_size=64)
POOLED = ["resnet10t", "tf_mobilenetv3_small_100", "squeezenet1_1", "test_byobnet"]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=seeded())


def recipe_from(tmp_path: Path, network, **fields) -> Recipe:
    save_file(network.weights(), tmp_path / "w.safetensors")
    return SMALL.with_fields(weights=str(tmp_path / "w.safetensors"), **fields)


def test_attention_is_average_pooling_before_it_is_trained():
    features = torch.randn(2, 6, 5, 5, generator=seeded())
    pooling = GatedAttention(6)
    torch.testing.assert_close(pooling(features), features.mean((2, 3)))
    assert GatedAttention(6, flatten=False)(features).shape == (2, 6, 1, 1)


def test_attention_weights_are_those_of_the_equation_and_sum_to_one():
    features = torch.randn(2, 6, 3, 4, generator=seeded())
    pooling = GatedAttention(6, hidden=5)
    torch.nn.init.normal_(pooling.score.weight, generator=seeded())
    h = features[1].flatten(1).T
    value, gate = (h @ m.weight[:, :, 0, 0].T + m.bias for m in (pooling.value, pooling.gate))
    expected = ((value.tanh() * gate.sigmoid()) @ pooling.score.weight.flatten()).softmax(0)
    torch.testing.assert_close(pooling.attention(features)[1].flatten(), expected)
    torch.testing.assert_close(pooling(features)[1], expected @ h)


def test_attention_learns_to_look_where_the_signal_is():
    torch.manual_seed(0)
    features = torch.randn(64, 4, 6, 6)
    signal, where = torch.randn(64), torch.randint(36, (64,))
    flat = features.view(64, 4, 36)
    flat[torch.arange(64), 0, where], flat[torch.arange(64), 1, where] = signal, 6.0  # marked in channel 1
    pooling = GatedAttention(4)
    optimizer = torch.optim.Adam(pooling.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        (pooling(features)[:, 0] - signal).square().mean().backward()
        optimizer.step()
    attention = pooling.attention(features).flatten(1)[torch.arange(64), where]
    assert attention.mean() > 0.8


@pytest.mark.parametrize("pooling", ["avgmax", "attention"])
@pytest.mark.parametrize("backbone", POOLED)
def test_every_convolutional_network_takes_every_pooling_and_learns_through_it(backbone, pooling):
    network = build(SMALL.with_fields(backbone=backbone, pooling=pooling), 3)
    outputs = network(images())
    outputs.square().sum().backward()
    assert outputs.shape == (2, 3)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("backbone", ["resnet10t", "squeezenet1_1"])
def test_average_and_maximum_stand_side_by_side_before_the_classifier(backbone):
    torch.manual_seed(0)
    network = build(SMALL.with_fields(backbone=backbone, pooling="avgmax"), 3).eval()
    classifier = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen = {}
    classifier.register_forward_hook(lambda module, inputs, output: seen.update(pooled=inputs[0]))
    features = "layer4" if backbone == "resnet10t" else "features"
    network.backbone.get_submodule(features).register_forward_hook(lambda *call: seen.update(features=call[2]))
    network(images())
    expected = torch.cat((seen["features"].mean((2, 3)), seen["features"].amax((2, 3))), dim=1)
    torch.testing.assert_close(seen["pooled"], expected)


@pytest.mark.parametrize("pooling", ["gem", "attention", "avgmax"])
def test_a_network_whose_channels_come_last_is_pooled_over_its_positions(pooling):
    network = build(SMALL.with_fields(backbone="swin_tiny_patch4_window7_224", pooling=pooling, input_size=64), 3)
    assert network.eval()(images()).shape == (2, 3)


@pytest.mark.parametrize("pooling", ["avgmax", "attention"])
@pytest.mark.parametrize("backbone", ["test_vit_relpos", "shufflenet_v2_x0_5"])
def test_a_network_without_a_pooling_to_replace_is_refused_by_name(backbone, pooling):
    with pytest.raises(UserError, match=rf"pooling '{pooling}': {backbone} .*--pooling avg"):
        build(SMALL.with_fields(backbone=backbone, pooling=pooling, input_size=160), 2)


def test_a_network_that_normalizes_what_it_pooled_refuses_twice_the_width():
    with pytest.raises(UserError, match=r"pooling 'avgmax': test_convnext .*width"):
        build(SMALL.with_fields(backbone="test_convnext", pooling="avgmax"), 2)


def test_weights_made_with_average_pooling_leave_attention_fresh_and_the_answer_as_it_was(tmp_path):
    average = build(SMALL, 5).eval()
    attended = build(recipe_from(tmp_path, average, pooling="attention"), 5).eval()
    torch.testing.assert_close(attended(images()), average(images()))


def test_a_layer_between_pooling_and_classifier_starts_with_no_weight_on_the_maximum(tmp_path):
    average = build(SMALL.with_fields(backbone="tf_mobilenetv3_small_100"), 5).eval()
    fields = {"backbone": "tf_mobilenetv3_small_100", "pooling": "avgmax"}
    both = build(recipe_from(tmp_path, average, **fields), 5).eval()
    assert both.backbone.conv_head.in_channels == 2 * average.backbone.conv_head.in_channels
    torch.testing.assert_close(both(images()), average(images()))


@needs_weights
@pytest.mark.parametrize("pooling", ["avgmax", "attention", "gem"])
@pytest.mark.parametrize("backbone", ["squeezenet1_1", "tf_mobilenetv3_small_100", "regnetx_002"])
def test_real_weights_go_under_every_pooling(backbone, pooling):
    weights = str(SHARED_WEIGHTS / f"{backbone}.safetensors")
    network = build(SMALL.with_fields(backbone=backbone, weights=weights, pooling=pooling), 5).eval()
    assert network(images()).isfinite().all()


@pytest.mark.parametrize("pooling", ["avg", "gem", "avgmax", "attention"])
def test_a_run_reads_back_its_own_weights_whole(pooling):
    torch.manual_seed(0)
    recipe = SMALL.with_fields(pooling=pooling)
    written, read = build(recipe, 3, metadata=4).eval(), build(recipe, 3, weights=False, metadata=4).eval()
    torch.nn.init.normal_(written.metadata[-1].weight)
    state = written.weights()
    assert all(value.is_contiguous() for value in state.values())
    read.load_weights(state)
    columns = torch.rand(2, 4)
    assert torch.equal(read(images(), columns), written(images(), columns))


@pytest.mark.parametrize("name", ["metadata.0.weight", "conv1.0.weight"])
def test_reading_back_is_strict(name):
    network = build(SMALL, 3, metadata=4)
    state = network.weights()
    del state[name]
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_weights(state)


def test_a_network_without_metadata_holds_the_backbones_own_names_alone():
    network = build(SMALL, 3)
    assert network.weights().keys() == network.backbone.state_dict().keys()
    with pytest.raises(RuntimeError, match=r"metadata\.0\.weight"):
        network.load_weights(build(SMALL, 3, metadata=4).weights())


def test_with_metadata_training_starts_from_what_the_image_says():
    network = build(SMALL, 3, metadata=4).eval()
    torch.testing.assert_close(network(images(), torch.rand(2, 4)), network.backbone(network.normalize(images())))


def test_the_sum_of_two_linear_layers_is_one_over_both_features():
    torch.manual_seed(0)
    network = build(SMALL, 3, metadata=4).eval()
    torch.nn.init.normal_(network.metadata[-1].weight)
    columns, inputs = torch.rand(2, 4), network.normalize(images())
    of_image = network.backbone.forward_head(network.backbone.forward_features(inputs), pre_logits=True)
    side_by_side = torch.cat((of_image, network.metadata[:-1](columns)), dim=1)
    weight = torch.cat((network.backbone.fc.weight, network.metadata[-1].weight), dim=1)
    expected = side_by_side @ weight.T + network.backbone.fc.bias
    torch.testing.assert_close(network.answer(inputs, columns), expected)


def test_an_answer_that_only_metadata_tells_is_learned():
    torch.manual_seed(0)
    network = build(SMALL.with_fields(input_size=32), 1, metadata=2)
    batch, columns = images(16, 32), torch.randn(16, 2)
    target = (columns[:, :1] > 0).float()
    optimizer = torch.optim.Adam(network.metadata.parameters(), 0.01)
    inputs = network.normalize(batch)
    for _ in range(15):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network.answer(inputs, columns), target)
        loss.backward()
        optimizer.step()
    assert loss < 0.2


def test_a_branch_that_fits_is_taken_over_and_any_other_stays_fresh_with_the_backbone_taken(tmp_path):
    first = build(SMALL, 3, metadata=4)
    torch.nn.init.normal_(first.metadata[-1].weight)
    recipe = recipe_from(tmp_path, first)
    same, other, without = build(recipe, 3, metadata=4), build(recipe, 3, metadata=6), build(recipe, 3)
    assert torch.equal(same.metadata[-1].weight, first.metadata[-1].weight)
    assert not other.metadata[-1].weight.any()
    assert without.metadata is None
    for network in (same, other, without):
        assert torch.equal(network.backbone.fc.weight, first.backbone.fc.weight)


def test_weights_without_a_branch_leave_it_fresh_and_a_gallery_is_left_out(tmp_path):
    first = build(SMALL, 3)
    save_file(first.weights() | {"gallery.embeddings": torch.zeros(2, 3)}, tmp_path / "w.safetensors")
    network = build(SMALL.with_fields(weights=str(tmp_path / "w.safetensors")), 3, metadata=4)
    assert not network.metadata[-1].weight.any()
    assert torch.equal(network.backbone.fc.weight, first.backbone.fc.weight)


def test_an_exact_match_at_low_temperature_gives_its_labels():
    gallery = torch.randn(50, 16, generator=seeded())
    labels = torch.rand(50, 4, generator=seeded()).round()
    found = nearest_labels(gallery[[7, 3]] * 5, gallery, labels, temperature=1e-3)  # length does not matter
    torch.testing.assert_close(found, labels[[7, 3]])


def test_nearest_labels_are_the_weighted_mean_over_the_nearest_alone():
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
    labels = torch.eye(4)
    weights = torch.tensor([1.0, 0.8]).div(0.5).softmax(0)
    found = nearest_labels(torch.tensor([[2.0, 0.0]]), gallery, labels, k=2, temperature=0.5)
    torch.testing.assert_close(found, torch.tensor([[weights[0], weights[1], 0.0, 0.0]]))


def test_a_gallery_smaller_than_k_is_used_whole_and_the_result_is_a_probability():
    found = nearest_labels(torch.randn(200, 8), torch.randn(3, 8).half(), torch.ones(3, 2).half(), k=10)
    assert found.dtype == torch.float32
    assert ((found > 0.999) & (found <= 1)).all()


def test_nearest_labels_in_pieces_are_those_at_once(monkeypatch):
    embeddings, gallery = torch.randn(23, 8, generator=seeded()), torch.randn(40, 8, generator=seeded())
    labels = torch.rand(40, 3, generator=seeded())
    at_once = nearest_labels(embeddings, gallery, labels)
    monkeypatch.setattr(common.neighbours, "ELEMENTS", 200)
    torch.testing.assert_close(nearest_labels(embeddings, gallery, labels), at_once)
