"""The zoo: the paper's backbones as a table, each with the weights that the paper used. Reads a CSV and nothing else.

zoo.csv has one row a model: 19 of the grid (Appendix C.1), two ResNet-50 pre-trained with augmentation (Appendix G) and
six image towers of CLIP (Appendix I). A name is torchvision's where the weights are its first (V1), and timm's with its
tag elsewhere. What the installed libraries say of weights is checked against them by the tests; the accuracies
that timm reports are from results/results-imagenet.csv of its repository, at `input_size`.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("zoo.csv")


@dataclass(frozen=True)
class Model:
    """One row. Accuracies are ImageNet top-1 in percent."""

    name: str
    """What `--backbone` takes."""
    part: Literal["grid", "augmentation", "clip"]
    paper_name: str
    library: Literal["timm", "torchvision"]
    """Whose constructor is built."""
    constructor: str
    weights: str
    """A member of a torchvision enum, or timm's `name.tag`."""
    published_top1: float
    """As the paper prints it."""
    library_top1: float | None
    """As the library that holds the weights reports it."""
    parameters: int
    """Counted, with a classifier of 1000 outputs."""
    printed_parameters: str
    """As the paper prints it; empty where it does not."""
    input_size: int
    """Side in pixels, after resizing to input_size / crop and cropping the centre."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop: float
    augmentation: str
    """In pre-training, as the paper prints it."""
    licence: str
    note: str


@cache
def zoo() -> dict[str, Model]:
    """Every model by name, in the paper's order."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return {row["name"]: _model(row) for row in csv.DictReader(file)}


def find(name: str) -> Model | None:
    """The model of this name, or None: other names are the libraries' own business."""
    return zoo().get(name)


def _model(row: dict[str, str]) -> Model:
    numbers = {
        "published_top1": float(row["published_top1"]),
        "library_top1": float(row["library_top1"]) if row["library_top1"] else None,
        "parameters": int(row["parameters"]),
        "input_size": int(row["input_size"]),
        "mean": tuple(map(float, row["mean"].split())),
        "std": tuple(map(float, row["std"].split())),
        "crop": float(row["crop"]),
    }
    return Model(**{**row, **numbers})
