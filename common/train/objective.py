"""What a training step minimizes: the recipe's loss, ArcFace's on identities, and the loss of an auxiliary target."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from common.competition import Competition
from common.models.build import Network
from common.outputs import outputs_of
from common.recipe import Recipe
from common.train.arcface import ArcFace
from common.train.losses import loss_function


def objective(
    network: Network, recipe: Recipe, competition: Competition
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """`loss(outputs, targets)` → scalar, on float (n, outputs) and the targets that `Session.targets` makes.

    An auxiliary target is the last columns of both; its cross-entropy counts `recipe.auxiliary` times. Rows of zeros,
    whose auxiliary class is not known, add nothing.
    """
    main = network.margin if isinstance(getattr(network, "margin", None), ArcFace) else loss_function(recipe)
    if not recipe.auxiliary:
        return main
    outputs, extra = outputs_of(recipe, competition.task, len(competition.classes)), len(competition.auxiliary_classes)

    def both(answer: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        beside = F.cross_entropy(answer[:, outputs:], targets[:, -extra:])
        return main(answer[:, :outputs], targets[:, :-extra]) + recipe.auxiliary * beside

    return both
