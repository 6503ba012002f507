"""Losses equal their definitions on cases small enough to count."""

import itertools
import math

import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import functional as F

from common.recipe import Recipe
from common.train.arcface import ArcFace, with_margin
from common.train.losses import focal, loss_function, lovasz


def batch(n: int = 6, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(n, classes, generator=generator)
    return outputs, (torch.rand(n, classes, generator=generator) < 0.4).float()


def jaccard_loss(mispredicted: set[int], true: set[int]) -> float:
    """1 - |true ∩ predicted| / |true ∪ predicted| of the prediction that differs from `true` in these rows."""
    predicted = true ^ mispredicted
    return 1 - len(true & predicted) / len(true | predicted) if true | predicted else 0.0


def lovasz_extension(errors: list[float], true: set[int]) -> float:
    """The extension by its definition: the largest linear function of the errors below the set function, which is
    reached by adding rows to the mispredicted ones in some order (the greedy algorithm, tried here in every order)."""
    values = []
    for order in itertools.permutations(range(len(errors))):
        steps = [
            jaccard_loss(set(order[: i + 1]), true) - jaccard_loss(set(order[:i]), true) for i in range(len(order))
        ]
        values.append(sum(errors[row] * step for row, step in zip(order, steps, strict=True)))
    return max(values)


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_is_the_extension_of_the_jaccard_loss(seed):
    outputs, targets = batch(seed=seed)
    by_class = []
    for k in range(targets.shape[1]):
        true = {row for row in range(len(targets)) if targets[row, k]}
        errors = [max(0.0, 1 - float(outputs[row, k]) * (1 if row in true else -1)) for row in range(len(targets))]
        by_class.append(lovasz_extension(errors, true))
    assert loss_function(Recipe(loss="lovasz"))(outputs, targets).item() == pytest.approx(sum(by_class) / 3, rel=1e-5)


@pytest.mark.parametrize("mispredicted", [set(), {0}, {3}, {0, 1}, {1, 2, 4}, {0, 1, 2, 3, 4}])
def test_lovasz_of_a_set_of_errors_is_its_jaccard_loss(mispredicted):
    true = {0, 1, 2}
    targets = torch.tensor([[float(row in true)] for row in range(5)])
    # An output of ±1 on the right side costs nothing, one of 0 has a hinge error of exactly 1.
    right = torch.tensor([[0.0 if row in mispredicted else 1.0] for row in range(5)])
    assert lovasz(right * (2 * targets - 1), targets).item() == pytest.approx(jaccard_loss(mispredicted, true))


def test_lovasz_of_a_class_without_a_true_row_is_its_largest_error():
    assert lovasz(torch.tensor([[-3.0], [0.5], [-0.2]]), torch.zeros(3, 1)).item() == pytest.approx(1.5)


def test_lovasz_takes_soft_targets_for_the_nearer_side():
    outputs, targets = batch()
    torch.testing.assert_close(lovasz(outputs, targets * 0.5 + 0.2 * (1 - targets)), lovasz(outputs, targets))


def test_lovasz_raises_the_index_that_it_stands_for():
    targets = batch(64, 4)[1]
    outputs = torch.zeros_like(targets, requires_grad=True)
    for _ in range(60):
        (gradient,) = torch.autograd.grad(lovasz(outputs, targets), outputs)
        outputs = (outputs - 20 * gradient).detach().requires_grad_()
    assert torch.equal(outputs > 0, targets.bool())


def test_focal_and_lovasz_add_up():
    outputs, targets = batch()
    expected = focal(outputs, targets) + lovasz(outputs, targets)
    torch.testing.assert_close(loss_function(Recipe(loss="focal_lovasz"))(outputs, targets), expected)


def test_focal_without_focus_is_binary_cross_entropy_and_a_sharper_one_forgets_the_easy():
    outputs, targets = batch()
    torch.testing.assert_close(focal(outputs, targets, gamma=0), F.binary_cross_entropy_with_logits(outputs, targets))
    easy, hard = torch.tensor([[3.0]]), torch.tensor([[-3.0]])
    plain, focused = (focal(easy, torch.ones(1, 1), g) / focal(hard, torch.ones(1, 1), g) for g in (0.0, 2.0))
    assert focused < plain / 100


def test_asymmetric_is_the_published_formula():
    outputs, targets = batch(40)
    values = []
    for p, y in zip(outputs.sigmoid().flatten().tolist(), targets.flatten().tolist(), strict=True):
        shifted = max(p - 0.05, 0)
        values.append(-((1 - p) * math.log(p)) if y else -(shifted**4) * math.log(1 - shifted))
    ours = loss_function(Recipe(loss="asymmetric"))(outputs, targets).item()
    assert ours == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_asymmetric_without_focus_and_clip_is_binary_cross_entropy_of_soft_targets_too():
    outputs, targets = batch(40)
    targets = 0.8 * targets + 0.1
    plain = AsymmetricLossMultiLabel(gamma_neg=0, gamma_pos=0, clip=0, reduction="mean")
    torch.testing.assert_close(plain(outputs, targets), F.binary_cross_entropy_with_logits(outputs, targets))


def test_asymmetric_drops_negatives_below_the_clip_and_has_a_finite_gradient_at_the_worst():
    outputs = torch.tensor([[-3.0, -2.0, 60.0, -60.0]], requires_grad=True)  # p = 0.047, 0.12, 1, 0
    loss_function(Recipe(loss="asymmetric"))(outputs, torch.tensor([[0.0, 0.0, 0.0, 1.0]])).backward()
    assert outputs.grad[0, 0] == 0
    assert outputs.grad[0, 1] > 0
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["bce", "focal", "lovasz", "focal_lovasz", "asymmetric"])
def test_losses_on_independent_labels_fall_as_the_outputs_come_right(loss):
    function, targets = loss_function(Recipe(loss=loss, label_smoothing=0.02)), batch()[1]
    signs = 2 * targets - 1
    values = [function(scale * signs, targets).item() for scale in (-2.0, -1.0, 0.0, 0.9)]
    assert values == sorted(values, reverse=True)


def test_arcface_without_margin_is_softmax_cross_entropy_of_scaled_cosines():
    torch.manual_seed(0)
    loss, embeddings, identities = ArcFace(8, 5, scale=12.0, margin=0.0), torch.randn(7, 8), torch.randint(5, (7, 1))
    cosines = F.cosine_similarity(embeddings[:, None], loss.prototypes[None], dim=2)
    torch.testing.assert_close(loss(embeddings, identities.float()), F.cross_entropy(12 * cosines, identities[:, 0]))


def test_arcface_adds_its_margin_to_the_angle_of_the_true_identity():
    loss = ArcFace(2, 2, scale=10.0, margin=0.5)
    loss.prototypes.data = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    angle = 0.7
    embedding = 4 * torch.tensor([[math.cos(angle), math.sin(angle)]])
    logits = 10 * torch.tensor([[math.cos(angle + 0.5), math.cos(math.pi / 2 - angle)]])
    torch.testing.assert_close(loss(embedding, torch.tensor([[0]])), F.cross_entropy(logits, torch.tensor([0])))


def test_the_margin_makes_the_true_logit_smaller_at_every_angle_and_keeps_it_falling():
    cosine = torch.linspace(1, -1, 2001)
    moved = with_margin(cosine, 0.5)
    assert (moved < cosine).all()
    assert (moved.diff() < 0).all()


def test_arcface_has_finite_gradients_on_and_opposite_a_prototype():
    loss = ArcFace(4, 3)
    embeddings = torch.stack((loss.prototypes[0], -loss.prototypes[0])).detach().requires_grad_()
    value = loss(embeddings, torch.zeros(2, 1))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()
    assert loss.prototypes.grad.isfinite().all()
    assert loss.prototypes.grad.abs().max() < 1e3


def test_a_margin_draws_the_images_of_an_identity_closer_together():
    def similarity_within(margin: float) -> float:
        torch.manual_seed(0)
        loss, identities = ArcFace(8, 4, margin=margin), torch.arange(20)[:, None] % 4
        embeddings = torch.randn(20, 8, requires_grad=True)
        optimizer = torch.optim.Adam([embeddings, *loss.parameters()], 0.05)
        for _ in range(100):
            optimizer.zero_grad()
            loss(embeddings, identities).backward()
            optimizer.step()
        directions = F.normalize(embeddings.detach())
        return (directions @ directions.T)[identities == identities.T].mean().item()

    assert similarity_within(0.5) > similarity_within(0.0) + 0.1
