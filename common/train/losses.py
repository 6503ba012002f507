"""Losses, all of the form `loss(outputs, targets)` on float (n, outputs). ArcFace, which learns, is in `arcface`."""

from collections.abc import Callable

import torch
from timm.loss import AsymmetricLossMultiLabel
from torch import nn
from torch.nn import functional as F

from common.recipe import Recipe


def loss_function(recipe: Recipe) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """`loss(outputs, targets)`, both (n, outputs) → scalar mean; of every loss but 'arcface'.

    'asymmetric' is timm's, with its defaults (Ridnik et al. 2021, equation 7: gamma 4 for negatives, 1 for positives,
    negatives below p = 0.05 forgotten); of a soft target, gamma lies between the two.
    """
    smoothing = recipe.label_smoothing

    def smoothed(loss):
        """`loss` on independent targets that are moved towards ½."""
        return lambda outputs, targets: loss(outputs, targets * (1 - smoothing) + smoothing / 2)

    return {
        "cross_entropy": nn.CrossEntropyLoss(label_smoothing=smoothing),
        "bce": smoothed(F.binary_cross_entropy_with_logits),
        "focal": smoothed(focal),
        "lovasz": lovasz,
        "focal_lovasz": lambda outputs, targets: smoothed(focal)(outputs, targets) + lovasz(outputs, targets),
        "asymmetric": smoothed(AsymmetricLossMultiLabel(reduction="mean")),
        "l1": F.l1_loss,
        "smooth_l1": F.smooth_l1_loss,
        "mse": F.mse_loss,
    }[recipe.loss]


def focal(outputs: torch.Tensor, targets: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Binary cross-entropy weighted by (1 - p of the truth)^gamma, which quietens easy examples (Lin et al. 2017).

    Of a soft target, p of the truth is the expected one: p·y + (1 - p)·(1 - y).
    """
    likelihood = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    probability = outputs.sigmoid()
    distance = probability * (1 - targets) + (1 - probability) * targets
    return (distance**gamma * likelihood).mean()


def lovasz(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Lovász hinge: for each class 1 - the Jaccard index of predicted and true rows of the batch, made convex by the
    Lovász extension over the hinge errors, and averaged over the classes.

    Berman, Rannen Triki and Blaschko 2018, equations 8, 9 and 12. A set has no soft members: targets of ½ and more are
    in it. A class without a true row costs its largest error.
    """
    true = (targets >= 0.5).to(outputs.dtype)
    errors, order = (1 - outputs * (2 * true - 1)).sort(dim=0, descending=True)
    true = true.gather(0, order)
    missed, wrong = true.cumsum(0), (1 - true).cumsum(0)
    jaccard = 1 - (true.sum(0) - missed) / (true.sum(0) + wrong)
    steps = torch.cat((jaccard[:1], jaccard.diff(dim=0)))
    return (errors.relu() * steps).sum(0).mean()
