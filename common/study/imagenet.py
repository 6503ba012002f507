"""ImageNet top-1 of a backbone: as the paper prints it, as timm measured it, or as torchvision tells it.

timm_imagenet.csv holds three columns of results/results-imagenet.csv of timm's repository (Apache-2.0), as of August
2026: accuracies in percent on ImageNet's validation set, of some models at several sizes.
"""

import csv
from functools import cache
from pathlib import Path

import pandas as pd

from common.errors import UserError
from common.models.zoo import find
from common.study.tables import IMAGENET
from common.tables import read_csv

TABLE = Path(__file__).with_name("timm_imagenet.csv")
USUAL = 224


def known_top1(backbone: str) -> float:
    """ImageNet top-1 of a backbone with its usual weights, a fraction; NaN where it is not known. The libraries are
    asked only about names that are in neither table."""
    if model := find(backbone):
        return model.published_top1 / 100
    if backbone in measured_by_timm():
        return measured_by_timm()[backbone]
    from common.models.registry import source_of

    try:
        source = source_of(backbone)
    except UserError:
        return float("nan")
    if source.torchvision_weights:
        import torchvision

        return torchvision.models.get_weight(source.weights).meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100
    return measured_by_timm().get(source.weights, float("nan"))


@cache
def measured_by_timm() -> dict[str, float]:
    """Model → top-1, a fraction: at 224 pixels, or the size nearest above it, or the largest below."""
    found: dict[str, tuple[tuple[bool, int], float]] = {}
    with open(TABLE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            size = int(row["img_size"])
            order = (size < USUAL, abs(size - USUAL))
            if row["model"] not in found or order < found[row["model"]][0]:
                found[row["model"]] = (order, float(row["top1"]) / 100)
    return {model: top1 for model, (_, top1) in found.items()}


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
