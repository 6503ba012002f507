"""What the outputs of a network mean for a task: how many there are, what they are trained towards, what is stored.

Targets are float tensors (n, outputs) for every loss, so that mixing, smoothing and soft labels are one operation. An
auxiliary target is further columns of both.
"""

import numpy as np
import torch
from torch.nn import functional as F

from common.competition import Competition, Task
from common.errors import UserError
from common.neighbours import nearest_labels
from common.recipe import Recipe

SIGMOID = ("bce", "focal", "lovasz", "focal_lovasz", "asymmetric")
EMBEDDING = 512
"""Dimensions in which ArcFace tells images apart."""
Gallery = dict[str, torch.Tensor]
"""`gallery.embeddings` (m, EMBEDDING) and `gallery.labels` (m, K) of the training images; empty for other losses."""


def check_loss(recipe: Recipe, task: Task) -> None:
    """Raises UserError where the loss cannot answer the task."""
    if task == "multilabel" and recipe.loss not in (*SIGMOID, "arcface"):
        losses = ", ".join(SIGMOID)
        raise UserError(f"loss '{recipe.loss}' names one class a row, but the task is multilabel; use {losses}")
    if recipe.regression and task != "ordinal":
        raise UserError(f"loss '{recipe.loss}' regresses a grade, but the task is {task}; use cross_entropy or bce")


def check_beside(recipe: Recipe, competition: Competition) -> None:
    """Raises UserError where the recipe wants metadata or an auxiliary target that the competition does not have."""
    if recipe.metadata and competition.read_metadata is None:
        raise UserError(f"metadata: {competition.name} knows nothing beside its images; use --metadata False")
    if recipe.auxiliary and competition.read_auxiliary is None:
        raise UserError(f"auxiliary: {competition.name} has no auxiliary target; use --auxiliary 0")


def outputs_of(recipe: Recipe, task: Task, classes: int) -> int:
    """Number of the outputs that a prediction is made of: one grade, one logit for a binary task under a sigmoid, one a
    class, or the dimensions of an embedding."""
    if recipe.loss == "arcface":
        return EMBEDDING
    if recipe.regression or (task == "binary" and recipe.loss in SIGMOID):
        return 1
    return classes


def all_outputs_of(recipe: Recipe, competition: Competition) -> int:
    """The same with those of the auxiliary target behind them."""
    extra = len(competition.auxiliary_classes) if recipe.auxiliary else 0
    return outputs_of(recipe, competition.task, len(competition.classes)) + extra


def targets_of(labels: np.ndarray, recipe: Recipe, task: Task, classes: int) -> torch.Tensor:
    """Labels → float32 targets (n, outputs): from int (n,) the grade, the positive class, or one-hot rows; indicator
    rows (n, K) are targets as they are. ArcFace's are `identities`."""
    if task == "multilabel":
        return torch.from_numpy(np.array(labels, dtype=np.float32))
    labels = torch.from_numpy(np.array(labels, dtype=np.int64))
    if outputs_of(recipe, task, classes) == 1:
        return labels.float()[:, None]
    return F.one_hot(labels, classes).float()


def auxiliary_targets(labels: np.ndarray, classes: int) -> torch.Tensor:
    """int (n,) → one-hot rows float32 (n, classes); a row of zeros, which no loss comes from, where it is -1."""
    labels = torch.from_numpy(np.array(labels, dtype=np.int64))
    return F.one_hot(labels.clamp(min=0), classes).float() * (labels >= 0)[:, None]


def targets_of_predictions(predictions: np.ndarray, recipe: Recipe, task: Task, classes: int) -> torch.Tensor:
    """Stored predictions of any run of the task, (n,) or (n, K), → soft float32 targets (n, outputs) for this recipe.

    A grade between two classes is shared by the two; probabilities of grades become the expected grade.
    """
    values = torch.from_numpy(np.array(predictions, dtype=np.float32))
    if task == "ordinal":
        if recipe.regression:
            return (values if values.ndim == 1 else values @ torch.arange(classes).float())[:, None]
        if values.ndim == 1:
            grade = values.clamp(0, classes - 1)[:, None]
            return (1 - (grade - torch.arange(classes)).abs()).clamp(min=0)
    if task == "binary":
        return values[:, None] if outputs_of(recipe, task, classes) == 1 else torch.stack((1 - values, values), 1)
    return values


def plain_labels(predictions: np.ndarray, task: Task, classes: int) -> np.ndarray:
    """Stored predictions → labels by the rule that needs no fitting, int64 (n,): the nearest grade, the likelier class.
    In a multi-label task indicator rows (n, K): classes from ½ on, or the likeliest."""
    predictions = np.asarray(predictions)
    if task == "multilabel":
        likeliest = predictions == predictions.max(axis=1, keepdims=True)
        return np.where((predictions >= 0.5).any(axis=1, keepdims=True), predictions >= 0.5, likeliest).astype(np.int64)
    if predictions.ndim == 2:
        return predictions.argmax(axis=1)
    return np.clip(np.floor(predictions + 0.5), 0, classes - 1).astype(np.int64)


def activate(outputs: torch.Tensor, recipe: Recipe, task: Task, classes: int, gallery: Gallery) -> torch.Tensor:
    """All outputs (n, …) → what is stored as a prediction: grades (n,), P(positive) (n,), or probabilities (n, K)."""
    outputs = outputs.float()[:, : outputs_of(recipe, task, classes)]
    if recipe.regression:
        return outputs[:, 0]
    if recipe.loss == "arcface":
        probabilities = nearest_labels(outputs, gallery["gallery.embeddings"], gallery["gallery.labels"])
    else:
        probabilities = outputs.sigmoid() if recipe.loss in SIGMOID else outputs.softmax(1)
    if task == "binary":
        return probabilities[:, -1]
    if task != "multilabel" and recipe.loss in SIGMOID:
        return probabilities / probabilities.sum(1, keepdim=True)
    return probabilities
