"""CIFAR-10 as class folders of images: tables of its train and test part."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.folders import class_folders
from common.splits import class_balanced_choice
from competitions.cifar10 import COMPETITION

SUFFIXES = (".jpg", ".jpeg", ".png")
LAYOUT = "train/<class>/*.jpg and test/<class>/*.jpg"


def read_train(raw: Path) -> pd.DataFrame:
    """The images below `train`, in the order of their paths: id, path, label (0..9). Raises UserError."""
    return read_part(raw, "train")


def read_test(raw: Path) -> pd.DataFrame:
    """The images below `test`, as `read_train`: their labels are known. Raises UserError."""
    return read_part(raw, "test")


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """A fifth of each class, drawn as the paper draws EuroSAT's: bool (n,). The paper tells no split of CIFAR-10."""
    return class_balanced_choice(train["label"].to_numpy(), fraction=0.2, seed=42)


def read_part(raw: Path, part: str) -> pd.DataFrame:
    """One part; its name leads the ids, since both parts number their files from 0. Raises UserError."""
    raw = Path(raw)
    if not (raw / part).is_dir():
        raise UserError(f"there is no folder {raw / part}; the data folder or .zip should hold {LAYOUT}")
    table = class_folders(raw / part, COMPETITION.classes, SUFFIXES)
    return table.assign(id=f"{part}/" + table["id"])
