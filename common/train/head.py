"""Where the classifier starts, in place of the library's small random numbers."""

import torch
from torch import nn

from common.models.build import Network
from common.outputs import SIGMOID
from common.recipe import Recipe


def start_head(network: Network, recipe: Recipe, mean_target: torch.Tensor, rows: int, auxiliary: int = 0) -> None:
    """The classifier as `recipe.head_init` wants it.

    Without weights and with the prior in the bias, every image is answered with the class frequencies, which is the
    best that can be said before anything is learned: the first steps are not spent on how rare a class is (Lin et al.
    2017, section 3.3).

    Args:
        mean_target: float (outputs,), over the `rows` training rows as often as each is shown.
        auxiliary: how many of the outputs, the last ones, are the auxiliary target's.
    """
    if recipe.head_init == "default":
        return
    classifier = network.classifier
    nn.init.zeros_(classifier.weight)
    with torch.no_grad():
        classifier.bias.zero_()
        if recipe.head_init == "prior":
            main = len(mean_target) - auxiliary
            beside = mean_target[main:] / mean_target[main:].sum().clamp(min=1e-6)  # of the rows where it is known
            classifier.bias[:main] = answer_to_all(mean_target[:main], recipe, rows)
            classifier.bias[main:] = beside.clamp(min=0.5 / rows).log()


def answer_to_all(mean_target: torch.Tensor, recipe: Recipe, rows: int) -> torch.Tensor:
    """The outputs (outputs,) that give every image the mean target. A class without a row counts half of one."""
    if recipe.regression:
        return mean_target
    frequency = mean_target.clamp(0.5 / rows, 1 - 0.5 / rows)
    return frequency.logit() if recipe.loss in SIGMOID else frequency.log()
