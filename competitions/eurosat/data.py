"""The EuroSAT download, RGB or thirteen bands, as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.folders import class_folders
from common.splits import class_balanced_choice
from competitions.eurosat import COMPETITION

SUFFIXES = (".jpg", ".png", ".tif")


def read_train(raw: Path) -> pd.DataFrame:
    """`2750/<Class>/<Class>_N.jpg` (or the class folders in `raw` itself; .png and .tif too): id (`<Class>/<Class>_N`),
    path, label (0..9), in ImageFolder's order. Raises UserError."""
    below = Path(raw) / "2750"
    return class_folders(below if below.is_dir() else Path(raw), COMPETITION.classes, SUFFIXES)


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The paper's 5,400 validation rows of 27,000: bool (n,). Depends on ImageFolder's order of the tiles."""
    return class_balanced_choice(train["label"].to_numpy(), fraction=0.2, seed=42)
