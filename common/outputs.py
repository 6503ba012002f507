"""What the outputs of a network mean for a task: how many there are, what they are trained towards, what is stored.

Targets are float tensors (n, outputs) for every loss, so that mixing, smoothing and soft labels are one operation.
"""

import numpy as np
import torch
from torch.nn import functional as F

from common.competition import Task
from common.errors import UserError
from common.recipe import Recipe

SIGMOID = ("bce", "focal")


def check_loss(recipe: Recipe, task: Task) -> None:
    """Raises UserError where the loss cannot answer the task."""
    if task == "multilabel" and recipe.loss not in SIGMOID:
        raise UserError(f"loss '{recipe.loss}' names one class a row, but the task is multilabel; use bce or focal")
    if recipe.regression and task != "ordinal":
        raise UserError(f"loss '{recipe.loss}' regresses a grade, but the task is {task}; use cross_entropy or bce")


def outputs_of(recipe: Recipe, task: Task, classes: int) -> int:
    """Number of the network's outputs: one grade, one logit for a binary task under a sigmoid, or one a class."""
    if recipe.regression or (task == "binary" and recipe.loss in SIGMOID):
        return 1
    return classes


def targets_of(labels: np.ndarray, recipe: Recipe, task: Task, classes: int) -> torch.Tensor:
    """Labels → float32 targets (n, outputs): from int (n,) the grade, the positive class, or one-hot rows; indicator
    rows (n, K) are targets as they are."""
    if task == "multilabel":
        return torch.from_numpy(np.array(labels, dtype=np.float32))
    labels = torch.from_numpy(np.array(labels, dtype=np.int64))
    if outputs_of(recipe, task, classes) == 1:
        return labels.float()[:, None]
    return F.one_hot(labels, classes).float()


def activate(outputs: torch.Tensor, recipe: Recipe, task: Task) -> torch.Tensor:
    """Outputs (n, outputs) → what is stored as a prediction: grades (n,), P(positive) (n,), or probabilities (n, K)."""
    outputs = outputs.float()
    if recipe.regression:
        return outputs[:, 0]
    probabilities = outputs.sigmoid() if recipe.loss in SIGMOID else outputs.softmax(1)
    if task == "binary":
        return probabilities[:, -1]
    if task != "multilabel" and recipe.loss in SIGMOID:
        return probabilities / probabilities.sum(1, keepdim=True)
    return probabilities
