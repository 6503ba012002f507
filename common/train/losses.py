"""Losses, all of the form `loss(outputs, targets)` on float (n, outputs)."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from common.recipe import Recipe


def loss_function(recipe: Recipe) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """`loss(outputs, targets)`, both (n, outputs) → scalar mean."""
    smoothing = recipe.label_smoothing

    def smooth(targets: torch.Tensor) -> torch.Tensor:
        """Moves independent 0/1 targets towards ½."""
        return targets * (1 - smoothing) + smoothing / 2

    def focal(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy weighted by (1 - p of the truth)², which quietens easy examples (Lin et al. 2017)."""
        targets = smooth(targets)
        likelihood = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
        probability = outputs.sigmoid()
        distance = probability * (1 - targets) + (1 - probability) * targets
        return (distance**2 * likelihood).mean()

    return {
        "cross_entropy": nn.CrossEntropyLoss(label_smoothing=smoothing),
        "bce": lambda outputs, targets: F.binary_cross_entropy_with_logits(outputs, smooth(targets)),
        "focal": focal,
        "l1": F.l1_loss,
        "smooth_l1": F.smooth_l1_loss,
        "mse": F.mse_loss,
    }[recipe.loss]
