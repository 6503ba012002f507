"""ImageNet top-1 and size of a backbone: as the paper prints it, or as torchvision tells it of its weights.

timm does not carry the accuracies of its weights: for a model that is timm's alone they are told on the command line,
or come from a table such as the results that timm publishes (`read_top1`).
"""

from dataclasses import dataclass
from math import nan
from pathlib import Path

from common.errors import UserError
from common.models.zoo import find
from common.study.results import fractions
from common.study.tables import IMAGENET
from common.tables import read_csv


@dataclass(frozen=True)
class Known:
    """`top1` is a fraction; NaN where something is not known."""

    top1: float = nan
    parameters: float = nan


def known(backbone: str) -> Known:
    """What is known of a backbone with its usual weights, or of `backbone:file` with others. The libraries are asked
    about names alone that the zoo does not have."""
    backbone, _, weights = backbone.partition(":")
    if weights:
        return Known(parameters=known(backbone).parameters)
    if model := find(backbone):
        return Known(model.published_top1 / 100, model.parameters)
    from common.models.registry import source_of

    try:
        source = source_of(backbone)
    except UserError:
        return Known()
    if source.torchvision_weights:
        import torchvision

        about = torchvision.models.get_weight(source.weights).meta
        return Known(about["_metrics"]["ImageNet-1K"]["acc@1"] / 100, about["num_params"])
    return Known(parameters=parameters_of(backbone))


def parameters_of(backbone: str) -> float:
    """Of a model of timm's with its ImageNet classifier, counted without memory for them."""
    import timm
    import torch

    with torch.device("meta"):
        return float(sum(part.numel() for part in timm.create_model(backbone).parameters()))


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
    values = fractions(table.set_index("model")[column], path, least=0)
    if not (values > 0).all():
        raise UserError(f"{path}: '{column}' of {(~(values > 0)).idxmax()} is no accuracy; mend it or leave it out")
    return values.to_dict()
