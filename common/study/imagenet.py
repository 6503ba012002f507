"""ImageNet top-1 and size of a backbone: as the paper prints it, as timm measured it, or as torchvision tells it.

timm_imagenet.csv holds four columns of results/results-imagenet.csv of timm's repository (Apache-2.0), as of August
2026: accuracies in percent on ImageNet's validation set, of some models at several sizes, and millions of parameters.
"""

import csv
from dataclasses import dataclass
from functools import cache
from math import nan
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.models.zoo import find
from common.study.tables import IMAGENET
from common.tables import read_csv

TABLE = Path(__file__).with_name("timm_imagenet.csv")
USUAL = 224


@dataclass(frozen=True)
class Known:
    """`top1` is a fraction; NaN where something is not known."""

    top1: float = nan
    parameters: float = nan


def known(backbone: str) -> Known:
    """What is known of a backbone with its usual weights, or of `backbone:file` with others. The libraries are asked
    about names alone that are in neither table."""
    backbone, _, weights = backbone.partition(":")
    if weights:
        return Known(parameters=known(backbone).parameters)
    if model := find(backbone):
        return Known(model.published_top1 / 100, model.parameters)
    if backbone in measured_by_timm():
        return measured_by_timm()[backbone]
    from common.models.registry import source_of

    try:
        source = source_of(backbone)
    except UserError:
        return Known()
    if source.torchvision_weights:
        import torchvision

        about = torchvision.models.get_weight(source.weights).meta
        return Known(about["_metrics"]["ImageNet-1K"]["acc@1"] / 100, about["num_params"])
    return measured_by_timm().get(source.weights, Known())


@cache
def measured_by_timm() -> dict[str, Known]:
    """By model, at 224 pixels, or the size nearest above that, or the largest below."""
    found: dict[str, tuple[tuple[bool, int], Known]] = {}
    with open(TABLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            size = int(row["img_size"])
            order = (size < USUAL, abs(size - USUAL))
            if row["model"] not in found or order < found[row["model"]][0]:
                about = Known(float(row["top1"]) / 100, 1e6 * float(row["param_count"]))
                found[row["model"]] = (order, about)
    return {model: about for model, (_, about) in found.items()}


def read_top1(path: Path) -> dict[str, float]:
    """Model → top-1, a fraction, from a CSV with the columns `model` and `imagenet_top1` or timm's `top1`, in fractions
    or in percent.

    Raises:
        UserError: there is no such file, it lacks a column, or what it has is no accuracy.
    """
    table = read_csv(path, ["model"], "model", f"model,{IMAGENET}", names=str.isprintable)
    column = next((name for name in (IMAGENET, "top1") if name in table), None)
    if column is None:
        raise UserError(f"{path}: column {IMAGENET} (or top1) is missing")
    values = pd.to_numeric(table[column], errors="coerce")
    values = values / 100 if values.max() > 1 else values
    if not values.between(0, 1).all():
        raise UserError(f"{path}: '{column}' of {table['model'][(~values.between(0, 1)).idxmax()]} is no accuracy")
    return dict(zip(table["model"], values, strict=True))
