"""Optimizers and learning-rate schedules of the paper (appendix C.2, D) and of the competitions."""

import bisect
import math
from collections.abc import Callable

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from common.errors import UserError
from common.recipe import Recipe


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum 0.9; fused, so that a step is one pass over the weights.

    Raises:
        UserError: layer_decay, and the network does not say what its layers are.
    """
    decay = recipe.weight_decay
    if recipe.optimizer == "adamw" and recipe.decay_over_learning_rate:
        decay /= recipe.learning_rate
    weights = network.parameters() if recipe.layer_decay == 1 else by_layer(network, recipe, decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        weights, lr=recipe.learning_rate, weight_decay=decay, momentum=0.9, nesterov=True, fused=True
    )


def by_layer(network: nn.Module, recipe: Recipe, decay: float) -> list[dict]:
    """Parameter groups with an `lr_scale`: layer_decay to the power of a layer's distance from the classifier (Clark et
    al. 2020; BEiT, Bao et al. 2022). What is not the backbone's has 1."""
    if not hasattr(network.backbone, "group_matcher"):
        raise UserError(f"layer_decay: {recipe.backbone} does not tell its layers apart; use --layer-decay 1")
    groups = param_groups_layer_decay(
        network.backbone, weight_decay=decay, weight_decay_exclude_1d=False, layer_decay=recipe.layer_decay
    )
    beside = [value for name, value in network.named_parameters() if not name.startswith("backbone.")]
    return groups + ([{"params": beside, "lr_scale": 1.0}] if beside else [])


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """`rate` for every group, times its own `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def learning_rate_at(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate as a pure function of the step, so that a resumed run needs no scheduler state.

    Cosine falls to zero over the epochs (per step); 'step' divides by 10 at each of `step_epochs`; 'onecycle' rises
    from 1/25 over 30% of the steps and falls to 1/10,000 of that, both along a cosine (Smith and Topin 2018).
    """
    total = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)

    def cosine(start: float, end: float, share: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2

    def factor(step: int) -> float:
        if recipe.schedule == "onecycle":
            rise = 0.3 * total
            if step < rise:
                return cosine(1 / 25, 1, step / rise)
            return cosine(1, 1 / 250_000, (step - rise) / (total - rise))
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if recipe.schedule == "cosine":
            return cosine(1, 0, (step - warmup) / max(total - warmup, 1))
        if recipe.schedule == "step":
            return 0.1 ** bisect.bisect_right(sorted(recipe.step_epochs), step // steps_per_epoch)
        return 1.0

    return lambda step: recipe.learning_rate * factor(step)
