"""The builder: transformers at any input size and under every pooling, layers with their own rates, less memory, and
a classifier that starts where it is told."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.errors import UserError
from common.models.build import build
from common.models.pooling import GatedAttention, GeM
from common.models.positions import resampled_state
from common.recipe import Recipe
from common.train.head import start_head
from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate

VIT_TINY = Path(__file__).resolve().parents[1].parent / "shared" / "weights" / "vit_tiny_patch16_224.safetensors"
needs_weights = pytest.mark.skipif(not VIT_TINY.is_file(), reason="no ImageNet weights beside the repository")

SMALL = Recipe(backbone="test_resnet", weights="none", input_size=64)
VIT = SMALL.with_fields(backbone="test_vit", input_size=96)


def images(n: int = 2, size: int = 96) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def vit_tiny(size: int, outputs: int = 1000):
    recipe = Recipe(backbone="vit_tiny_patch16_224", weights=str(VIT_TINY), input_size=size)
    return build(recipe, outputs).eval()


# Input sizes


@needs_weights
def test_position_embeddings_made_at_224_are_taken_as_they_are_at_224():
    assert torch.equal(vit_tiny(224).backbone.pos_embed, load_file(VIT_TINY)["pos_embed"].float())


@needs_weights
@pytest.mark.parametrize(("size", "patches"), [(96, 36), (128, 64), (384, 576)])
def test_real_weights_are_resampled_to_another_input_size(size, patches):
    network = vit_tiny(size, outputs=5)
    ours, state = network.backbone.state_dict(), load_file(VIT_TINY)
    assert ours["pos_embed"].shape == (1, patches + 1, 192)
    assert torch.equal(ours["pos_embed"][:, 0], state["pos_embed"][:, 0].float()), "the class token has no place"
    others = [name for name in ours if name != "pos_embed" and not name.startswith("head.")]
    assert all(torch.equal(ours[name], state[name].float()) for name in others)


@needs_weights
def test_a_smooth_image_is_seen_alike_at_another_input_size():
    x, y = np.meshgrid(np.linspace(0, 3, 224), np.linspace(0, 3, 224))
    picture = np.stack([np.sin(x + phase) * np.cos(y * phase) for phase in (0.5, 1.0, 1.5)], axis=-1)
    pictures = [(127 + 120 * picture).astype(np.uint8), cv2.GaussianBlur(255 - images(1, 224)[0].numpy().T, None, 30)]

    def features(size: int) -> torch.Tensor:
        seen = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in pictures])
        network = vit_tiny(size)
        with torch.inference_mode():
            return network.embed(network.normalize(torch.from_numpy(seen).permute(0, 3, 1, 2)))

    at_224, at_192, at_128 = (features(size) for size in (224, 192, 128))
    assert (torch.cosine_similarity(at_224, at_192) > 0.9).all()
    alike, different = torch.cosine_similarity(at_224, at_128), torch.cosine_similarity(at_224, at_224.flip(0))
    assert (alike > different).all()


def test_a_small_transformer_reads_its_own_weights_at_another_size(tmp_path):
    save_file(build(VIT, 3).weights(), tmp_path / "w.safetensors")
    wider = build(VIT.with_fields(input_size=128, weights=str(tmp_path / "w.safetensors")), 3)
    assert wider(images(size=128)).shape == (2, 3)


def test_the_attention_pooling_of_clips_resnets_is_resampled_too():
    with torch.device("meta"):
        at_224 = build(SMALL.with_fields(backbone="resnet50_clip", input_size=224), 3).backbone.state_dict()
        network = build(SMALL.with_fields(backbone="resnet50_clip", input_size=128), 3)
    state = {name: torch.rand(value.shape) if "pos" in name else value for name, value in at_224.items()}
    ours = resampled_state(state, network.backbone)["head.pos_embed"]
    assert ours.shape == network.backbone.head.pos_embed.shape == (17, 2048)
    assert torch.equal(ours[0], state["head.pos_embed"][0])
    assert network.embed(torch.empty(2, 3, 128, 128, device="meta")).shape == (2, 2048)


def test_position_embeddings_of_no_square_grid_are_named(tmp_path):
    state = build(VIT, 3).weights()
    state["pos_embed"] = state["pos_embed"][:, :-3].contiguous()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="of another shape: pos_embed"):
        build(VIT.with_fields(weights=str(tmp_path / "w.safetensors")), 3)


# Pooling of transformers


def tokens_of(network) -> torch.Tensor:
    """(N, patches, C)"""
    tokens = network.backbone.forward_features(network.normalize(images()))
    return tokens[:, network.backbone.num_prefix_tokens :]


def test_average_and_maximum_of_a_transformer_are_those_of_its_patches():
    network = build(VIT.with_fields(pooling="avgmax"), 3).eval()
    tokens = tokens_of(network)
    expected = torch.cat((tokens.mean(1), tokens.amax(1)), dim=1)
    torch.testing.assert_close(network.embed(network.normalize(images())), expected)


def test_attention_over_patches_starts_as_their_average():
    network = build(VIT.with_fields(pooling="attention"), 3).eval()
    torch.testing.assert_close(network.embed(network.normalize(images())), tokens_of(network).mean(1))


def test_gem_over_patches_is_the_generalized_mean_of_their_positive_part():
    network = build(VIT.with_fields(pooling="gem"), 3).eval()
    expected = tokens_of(network).clamp(min=1e-6).pow(3).mean(1).pow(1 / 3)
    torch.testing.assert_close(network.embed(network.normalize(images())), expected)


@pytest.mark.parametrize(("pooling", "kind"), [("gem", GeM), ("attention", GatedAttention)])
@pytest.mark.parametrize("backbone", ["test_vit", "eva02_tiny_patch14_224"])
def test_pooling_over_patches_is_learned_and_reads_back_its_own_weights(backbone, pooling, kind):
    recipe = VIT.with_fields(backbone=backbone, pooling=pooling, input_size=112 if "eva" in backbone else 96)
    network = build(recipe, 3)
    network(images(size=recipe.input_size)).square().sum().backward()
    (pool,) = [module for module in network.modules() if isinstance(module, kind)]
    assert all(value.grad is not None for value in pool.parameters())
    other = build(recipe, 3, weights=False)
    other.load_weights(network.weights())
    batch = images(size=recipe.input_size)
    assert torch.equal(other.eval()(batch), network.eval()(batch))


def test_a_transformer_made_with_attention_pooling_keeps_it():
    with pytest.raises(UserError, match=r"pooling 'gem': test_vit3 .*attention pooling; use --pooling avg"):
        build(VIT.with_fields(backbone="test_vit3", pooling="gem"), 3)


def test_a_transformer_that_normalizes_what_it_pooled_refuses_twice_the_width():
    with pytest.raises(UserError, match=r"pooling 'avgmax': vit_little_patch16_reg1_gap_256 .*one width"):
        build(VIT.with_fields(backbone="vit_little_patch16_reg1_gap_256", pooling="avgmax"), 3)


def test_a_network_with_two_classifiers_is_refused_in_one_line():
    with pytest.raises(UserError, match="backbone deit_tiny_distilled_patch16_224 has 2 classifiers"):
        build(VIT.with_fields(backbone="deit_tiny_distilled_patch16_224"), 3)


# Layers with their own rates


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet", "test_convnext"])
def test_layer_decay_slows_what_lies_deeper_and_leaves_the_classifier_its_rate(backbone):
    recipe = SMALL.with_fields(backbone=backbone, input_size=160, layer_decay=0.5, learning_rate=0.1)
    network = build(recipe, 3, metadata=4)
    optimizer = optimizer_of(network, recipe)
    set_learning_rate(optimizer, learning_rate_at(recipe, 10)(0))
    rate_of = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert len(rate_of) == len(list(network.parameters())), "every weight is in one group"
    first = next(network.backbone.parameters())
    assert rate_of[id(network.classifier.weight)] == pytest.approx(0.1)
    assert rate_of[id(network.metadata[-1].weight)] == pytest.approx(0.1)
    assert rate_of[id(first)] < 0.05
    assert all(group["weight_decay"] == recipe.weight_decay for group in optimizer.param_groups)


def test_without_layer_decay_there_is_one_group():
    assert len(optimizer_of(build(SMALL, 3), SMALL).param_groups) == 1


def test_layer_decay_of_a_network_without_layers_is_refused_in_one_line():
    recipe = SMALL.with_fields(backbone="squeezenet1_1", layer_decay=0.7)
    with pytest.raises(UserError, match=r"layer_decay: squeezenet1_1 .*--layer-decay 1"):
        optimizer_of(build(recipe, 3), recipe)


# Less memory


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_gradient_checkpointing_gives_the_same_gradients(backbone):
    recipe = SMALL.with_fields(backbone=backbone, input_size=96)
    plain = build(recipe, 3)
    frugal = build(recipe.with_fields(gradient_checkpointing=True), 3)
    frugal.load_weights(plain.weights())
    for network in (plain, frugal):
        network.train()(images()).square().sum().backward()
    for (name, one), two in zip(plain.named_parameters(), frugal.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)


def test_gradient_checkpointing_moves_the_statistics_of_batch_normalization_twice():
    networks = [build(SMALL.with_fields(gradient_checkpointing=on), 3).train() for on in (False, True)]
    for network in networks:
        network(images()).sum().backward()
    counts = [network.backbone.layer4[0].bn1.num_batches_tracked.item() for network in networks]
    assert counts == [1, 2]


def test_gradient_checkpointing_where_there_is_none_is_refused_in_one_line():
    with pytest.raises(UserError, match="gradient_checkpointing: squeezenet1_1 has none"):
        build(SMALL.with_fields(backbone="squeezenet1_1", gradient_checkpointing=True), 3)


# Where the classifier starts


def started(mean_target: list[float], **fields):
    recipe = SMALL.with_fields(**fields)
    network = build(recipe, len(mean_target)).eval()
    start_head(network, recipe, torch.tensor(mean_target), rows=100)
    return network(images(size=64)).detach()


def test_a_classifier_of_zeros_answers_zero():
    assert not started([0.7, 0.2, 0.1], head_init="zero").any()


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_a_classifier_that_starts_from_the_prior_answers_with_the_class_frequencies(loss):
    outputs = started([0.7, 0.2, 0.1], head_init="prior", loss=loss)
    probabilities = outputs.softmax(1) if loss == "cross_entropy" else outputs.sigmoid()
    torch.testing.assert_close(probabilities, torch.tensor([[0.7, 0.2, 0.1]] * 2))


def test_a_regression_starts_at_the_mean_grade():
    outputs = started([1.3], head_init="prior", loss="smooth_l1", decision="round")
    torch.testing.assert_close(outputs, torch.full((2, 1), 1.3))


def test_a_class_without_a_row_counts_half_of_one():
    probabilities = started([0.0, 1.0], head_init="prior", loss="bce").sigmoid()
    torch.testing.assert_close(probabilities, torch.tensor([[0.005, 0.995]] * 2))


def test_by_default_the_classifier_stays_as_it_was_built():
    network = build(SMALL, 3)
    before = copy.deepcopy(network.classifier.weight)
    start_head(network, SMALL, torch.ones(3) / 3, rows=9)
    assert torch.equal(network.classifier.weight, before)
