"""Several small trainings as one program: the same networks as one after the other."""

import pytest
import torch
from torch import nn

from common.recipe import Recipe
from common.train.losses import loss_function
from common.train.together import train_together

IMAGES = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
LABELS = torch.eye(3)[torch.arange(12) % 3].double()
"""In double precision: AdamW makes much of the rounding of a gradient that is nearly zero."""
BATCHES = [(IMAGES[i : i + 4], LABELS[i : i + 4]) for i in (0, 4, 8, 4, 0, 8)]
GRID = [(rate, decay) for rate in (1e-3, 1e-2, 3e-2) for decay in (0.0, 0.1)]


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()


def cells(**fields) -> list[Recipe]:
    return [Recipe(learning_rate=rate, weight_decay=decay, epochs=2, **fields) for rate, decay in GRID]


@pytest.mark.parametrize(
    "fields",
    [{"optimizer": "adamw"}, {"optimizer": "sgd", "clip_gradient": 0.1, "schedule": "onecycle"}],
)
def test_together_they_become_what_each_becomes_alone(fields):
    together = train_together(small_network(), cells(**fields), BATCHES, 3, nn.CrossEntropyLoss())
    assert len(together) == len(GRID)
    for cell, one in zip(cells(**fields), together, strict=True):
        (alone,) = train_together(small_network(), [cell], BATCHES, 3, nn.CrossEntropyLoss())
        one_after_the_other = trained_alone(cell)
        for name, value in one_after_the_other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[name], value)
            torch.testing.assert_close(alone.state_dict()[name], value)


def trained_alone(cell: Recipe) -> nn.Module:
    from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate

    network, loss = small_network(), nn.CrossEntropyLoss()
    optimizer, rate = optimizer_of(network, cell), learning_rate_at(cell, 3)
    for step, (images, labels) in enumerate(BATCHES):
        set_learning_rate(optimizer, rate(step))
        optimizer.zero_grad()
        loss(network(images), labels).backward()
        if cell.clip_gradient:
            nn.utils.clip_grad_norm_(network.parameters(), cell.clip_gradient)
        optimizer.step()
    return network


def test_the_network_that_they_start_from_is_left_as_it_is():
    network, before = small_network(), small_network().state_dict()
    train_together(network, cells(), BATCHES, 3, nn.CrossEntropyLoss())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("other", [{"optimizer": "sgd"}, {"epochs": 3}, {"batch_size": 64}])
def test_what_differs_in_more_is_refused(other):
    with pytest.raises(ValueError, match="learning rate and weight decay alone"):
        train_together(small_network(), [Recipe(), Recipe().with_fields(**other)], BATCHES, 3, nn.CrossEntropyLoss())


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "focal", "lovasz", "focal_lovasz", "asymmetric", "smooth_l1"])
def test_every_loss_can_be_stacked(loss):
    head, batches = nn.Linear(6, 3).double(), [(torch.randn(4, 6).double(), LABELS[:4])] * 2
    decision = "round" if loss == "smooth_l1" else "argmax"
    recipes = [Recipe(loss=loss, decision=decision, learning_rate=rate) for rate in (1e-3, 1e-2)]
    together = train_together(head, recipes, batches, 1, loss_function(recipes[0]))
    for recipe, one in zip(recipes, together, strict=True):
        (alone,) = train_together(head, [recipe], batches, 1, loss_function(recipe))
        torch.testing.assert_close(one.weight, alone.weight)
        assert not torch.equal(one.weight, head.weight)
