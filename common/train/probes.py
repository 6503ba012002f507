"""The grid of linear probes on the features that `common.embed` wrote, scored on held-out rows: the first half of the
paper's figures of linear probes against fine-tuning, in seconds."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from common.competition import Competition
from common.data import LEFT_OUT
from common.embed import features_of
from common.errors import UserError
from common.labels import label_array
from common.options import Options
from common.outputs import activate, outputs_of, targets_of
from common.predict import to_table
from common.recipe import Recipe
from common.train.feeds import training_feed
from common.train.losses import loss_function
from common.train.probe import grid, train_head
from common.train.score import score_out_of_fold


def probe_grid(competition: Competition, recipe: Recipe, table: pd.DataFrame, options: Options) -> pd.DataFrame:
    """One row a cell of the recipe's grid, the best first: `learning_rate`, `weight_decay`, `score`, `low`, `high` (the
    95% interval), each probe trained for the recipe's epochs, fold by fold. A probe that diverged has no score.

    Args:
        table: `train.parquet` of `common.embed.embedded`.

    Raises:
        UserError: nothing is held out, or the loss learns no classifier.
    """
    folds = [fold for fold in sorted(table["fold"].unique()) if fold >= 0]
    if not folds or recipe.loss == "arcface":
        what = f"split '{recipe.split}' holds out no row" if not folds else "loss 'arcface' learns no classifier"
        raise UserError(f"probe: {what}; choose another")
    rows = []
    for cell in grid(recipe, recipe.epochs):
        about = {"learning_rate": cell.learning_rate, "weight_decay": cell.weight_decay}
        held_out = pd.concat([probed(competition, cell, table, fold, options) for fold in folds])
        if np.isfinite(held_out.select_dtypes("number")).all(axis=None):
            metrics = score_out_of_fold(competition, recipe, held_out)
            low, high = metrics["interval"]
            about |= {"score": metrics["score"], "low": low, "high": high}
        rows.append(about)
    columns = ["learning_rate", "weight_decay", "score", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values("score", ascending=False, kind="stable", ignore_index=True)


def probed(competition: Competition, cell: Recipe, table: pd.DataFrame, fold: int, options: Options) -> pd.DataFrame:
    """The held-out predictions of one fold's probe, in the layout of `out_of_fold.parquet`."""
    device, classes = options.torch_device(), len(competition.classes)
    labels = label_array(table["label"], competition.task, classes)
    features = torch.from_numpy(features_of(table)).to(device)
    of_row = table["fold"].to_numpy()
    train_rows, rows = np.flatnonzero((of_row != fold) & (of_row != LEFT_OUT)), np.flatnonzero(of_row == fold)
    torch.manual_seed(cell.seed)
    head = nn.Linear(features.shape[1], outputs_of(cell, competition.task, classes)).to(device)
    targets = targets_of(labels, cell, competition.task, classes).to(device)
    feed = training_feed(features, train_rows, labels, cell, options)
    head = train_head(head, features, targets, feed, cell, loss_function(cell))
    with torch.no_grad():
        outputs = activate(head(features[rows]), cell, competition.task, classes, {}).cpu().numpy()
    kept = {name: table[name].to_numpy()[rows] for name in ("label", "group") if name in table}
    return to_table(table["id"].to_numpy()[rows], outputs, fold=fold, **kept)
