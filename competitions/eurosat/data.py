"""The EuroSAT download, RGB or thirteen bands, as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.folders import class_folders
from common.splits import class_balanced_choice
from competitions.eurosat import COMPETITION

SUFFIXES = (".jpg", ".png", ".tif")


def read_train(raw: Path) -> pd.DataFrame:
    """`2750/<Class>/<Class>_N.jpg` (or the class folders in `raw` itself; .png and .tif too): id (`<Class>/<Class>_N`),
    path, label (0..9), in ImageFolder's order. Raises UserError."""
    below = Path(raw) / "2750"
    return class_folders(below if below.is_dir() else Path(raw), COMPETITION.classes, SUFFIXES)


def read_test(raw: Path) -> pd.DataFrame:
    """The tiles of `test/<Class>/`, as the sample data has them beside `2750`: id, path, label.

    Raises:
        UserError: there is no such folder, as in the download: EuroSAT has no test set.
    """
    folder = Path(raw) / "test"
    if not folder.is_dir():
        raise UserError(
            f"EuroSAT has no test set, and {raw} no folder test/ with tiles of your own in class folders; "
            "put some there, or compare runs by their folds"
        )
    return class_folders(folder, COMPETITION.classes, SUFFIXES)


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The paper's 5,400 validation rows of 27,000: bool (n,). Depends on ImageFolder's order of the tiles."""
    return class_balanced_choice(train["label"].to_numpy(), fraction=0.2, seed=42)
