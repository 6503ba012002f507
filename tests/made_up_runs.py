"""Run folders with everything a finished run has, in which nothing was trained: outputs are labels and noise."""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from common.competition import Competition
from common.files import write_json, write_text
from common.labels import label_array
from common.outputs import all_outputs_of
from common.predict import to_table
from common.recipe import Recipe
from common.run import Run, identity
from common.train.score import score_out_of_fold


def made_up_run(
    root: Path,
    competition: Competition,
    recipe: Recipe,
    train: pd.DataFrame,
    noise: float,
    mark: str = "sample data",
    weights: bool = False,
) -> Run:
    """A run whose held-out rows are `train` (`id`, `label`), in two folds; the less `noise`, the better."""
    run = Run(root / competition.name / identity(competition, recipe, "made up"))
    folds = np.arange(len(train)) // len(competition.classes) % 2
    write_json(run.folder / "run.json", about(competition, recipe, mark))
    environment = {"python": "3.11", "platform": "paper", "packages": {"torch": "2.13"}, "commit": None, "cores": 2}
    write_json(run.folder / "environment.json", environment | {"device": "cpu"})
    columns = {"label": train["label"].to_numpy(), "fold": folds}
    table = to_table(train["id"], outputs(competition, recipe, train, noise), **columns)
    table.to_parquet(run.folder / "out_of_fold.parquet", index=False)
    for fold in range(2):
        write_fold(run.folder / f"fold-{fold}", competition, recipe, fold, weights)
    scored = score_out_of_fold(competition, recipe, table)
    write_json(run.folder / "metrics.json", {"metric": competition.metric, **scored})
    return run


def about(competition: Competition, recipe: Recipe, mark: str) -> dict:
    times = {"started": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T04:04:05+00:00"}
    whose = {"competition": competition.name, "data": "made up", "source": "made up", "mark": mark, "skipped": []}
    return {**whose, "recipe": recipe.to_dict(), **times}


def outputs(competition: Competition, recipe: Recipe, train: pd.DataFrame, noise: float) -> np.ndarray:
    """Labels and noise in the form that the task stores."""
    random, classes = np.random.default_rng(recipe.seed), len(competition.classes)
    labels = label_array(train["label"], competition.task, classes)
    if recipe.regression:
        return labels + random.normal(0, 2 * noise, len(labels))
    if competition.task == "multilabel":
        return (0.1 + 0.8 * labels + random.normal(0, noise, labels.shape)).clip(0, 1)
    logits = 4 * np.eye(classes)[labels] + random.normal(0, 4 * noise, (len(labels), classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares[:, 1] if competition.task == "binary" else shares


def write_fold(folder: Path, competition: Competition, recipe: Recipe, fold: int, weights: bool) -> None:
    curve = [
        {"epoch": epoch, "learning_rate": 1e-3, "train_loss": 1 / epoch, "score": 0.8 - 0.5 / (epoch + fold)}
        | {"seconds": 2.0, "images_per_second": 40.0}
        for epoch in range(1, 6)
    ]
    write_text(folder / "curve.csv", pd.DataFrame(curve).to_csv(index=False))
    if weights:
        import torch

        from common.models.build import build

        torch.manual_seed(fold)
        network = build(recipe, all_outputs_of(recipe, competition), weights=False)
        save_file(network.weights(), folder / "weights-005.safetensors")
        write_json(folder / "done", {"weights": ["weights-005.safetensors"]})
