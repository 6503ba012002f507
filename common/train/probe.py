"""A linear probe: the classifier alone, trained on what the frozen network makes of the images.

The images are seen as in evaluation, each once, so that a step is one small matrix product and a grid of learning rates
and decays costs seconds. Fine-tuning that starts from the probe keeps more of the pre-trained features than one that
starts from a random classifier (LP-FT; Kumar et al. 2022, and the paper's protocol for CLIP).
"""

import copy
import math
from collections.abc import Callable
from itertools import product

import pandas as pd
import torch
from torch import nn

from common.errors import UserError
from common.feed import Feed
from common.recipe import Recipe
from common.train.optim import learning_rate_at, optimizer_of, set_learning_rate
from common.train.together import train_together

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def grid(recipe: Recipe, epochs: int) -> list[Recipe]:
    """One recipe a cell of the recipe's grid of probes, each over `epochs` epochs."""
    return [
        recipe.with_fields(learning_rate=rate, weight_decay=decay, epochs=epochs, layer_decay=1.0, probe_share=0.0)
        for rate, decay in product(recipe.probe_learning_rate, recipe.probe_weight_decay)
    ]


def train_head(
    head: nn.Linear, embeddings: torch.Tensor, targets: torch.Tensor, feed: Feed, recipe: Recipe, loss: Loss
) -> nn.Linear:
    """A copy of `head`, trained with the recipe's optimizer and schedule on the batches of `feed`, in their order.

    Equals training with everything below the head frozen in evaluation mode, on evaluation views; dropout and mixing
    are left to the fine-tuning.

    Args:
        embeddings: float32 (rows of the table, D), beside the `targets` (rows of the table, outputs); both and the head
            on one device.
    """
    head = copy.deepcopy(head)
    optimizer, learning_rate = optimizer_of(head, recipe), learning_rate_at(recipe, feed.steps_per_epoch)
    batches = (rows for epoch in range(recipe.epochs) for rows in feed.rows_of(epoch))
    for step, rows in enumerate(batches):
        batch = torch.from_numpy(rows).to(embeddings.device)
        set_learning_rate(optimizer, learning_rate(step))
        optimizer.zero_grad(set_to_none=True)
        loss(head(embeddings[batch]), targets[batch]).backward()
        if recipe.clip_gradient:
            nn.utils.clip_grad_norm_(head.parameters(), recipe.clip_gradient)
        optimizer.step()
    return head


def train_heads(
    head: nn.Linear, embeddings: torch.Tensor, targets: torch.Tensor, feed: Feed, cells: list[Recipe], loss: Loss
) -> list[nn.Linear]:
    """`train_head` for each cell: one after the other on a CPU; as one program on a GPU, which a head leaves idle."""
    if embeddings.device.type != "cuda":
        return [train_head(head, embeddings, targets, feed, cell, loss) for cell in cells]
    order = (torch.from_numpy(rows) for epoch in range(cells[0].epochs) for rows in feed.rows_of(epoch))
    batches = ((embeddings[rows], targets[rows]) for rows in (rows.to(embeddings.device) for rows in order))
    return train_together(head, cells, batches, feed.steps_per_epoch, loss)


def best_head(
    head: nn.Linear,
    embeddings: torch.Tensor,
    targets: torch.Tensor,
    feed: Feed,
    cells: list[Recipe],
    loss: Loss,
    score: Callable[[torch.Tensor], float] | None,
) -> tuple[nn.Linear, pd.DataFrame]:
    """The head of the cell with the best score, the first of equals, and a table of all cells: `learning_rate`,
    `weight_decay`, `score` (NaN where a probe diverged).

    Args:
        score: outputs (rows of the table, outputs) → higher is better; None: there is one cell, and nothing held out.

    Raises:
        UserError: no probe ends with finite outputs.
    """
    heads, rows = {}, []
    all_trained = train_heads(head, embeddings, targets, feed, cells, loss)
    for number, (cell, trained) in enumerate(zip(cells, all_trained, strict=True)):
        with torch.no_grad():
            outputs = trained(embeddings)
        if outputs.isfinite().all():
            heads[number] = trained
        value = score(outputs) if score and number in heads else math.nan
        rows.append({"learning_rate": cell.learning_rate, "weight_decay": cell.weight_decay, "score": value})
    if not heads:
        rates = ", ".join(f"{row['learning_rate']:g}" for row in rows)
        raise UserError(f"no linear probe ended with finite outputs: lower --probe-learning-rate (now {rates})")
    return heads[max(heads, key=lambda number: rows[number]["score"])], pd.DataFrame(rows)
