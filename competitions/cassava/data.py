"""The raw cassava download as tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import read_json
from common.folders import class_folders
from common.splits import class_balanced_choice
from common.tables import image_paths, labels, read_csv
from competitions.cassava import COMPETITION

LAYOUT = "train.csv, sample_submission.csv, train_images/*.jpg and test_images/*.jpg"
NAMES = "label_num_to_disease_map.json"
EXTERNAL_LAYOUT = "train/<class>/*.jpg with the classes cbb, cbsd, cgm, cmd and healthy"
EXTERNAL_CLASSES = ("cbb", "cbsd", "cgm", "cmd", "healthy")
"""The folders of the 2019 competition, in the order of the classes."""


def read_train(raw: Path) -> pd.DataFrame:
    """`train.csv` in its order: id (with its `.jpg`), path, label (0..4). Raises UserError."""
    raw = Path(raw)
    check_names(raw / NAMES)
    path = raw / "train.csv"
    table = read_csv(path, ["image_id", "label"], "image_id", LAYOUT)
    diseases = labels(table, "label", len(COMPETITION.classes), "image_id", path)
    paths = image_paths(raw / "train_images", table["image_id"], "", LAYOUT)
    return pd.DataFrame({"id": table["image_id"], "path": paths, "label": diseases})


def read_test(raw: Path) -> pd.DataFrame:
    """The images of `sample_submission.csv`, in its order: id, path. There is no test.csv. Raises UserError."""
    raw = Path(raw)
    ids = read_csv(raw / COMPETITION.sample_submission, ["image_id"], "image_id", LAYOUT)["image_id"]
    return pd.DataFrame({"id": ids, "path": image_paths(raw / "test_images", ids, "", LAYOUT)})


def read_external(folder: Path) -> pd.DataFrame:
    """The labelled leaves of the 2019 competition: id, path, label; the class folders lie in `train`, however deep the
    archives put it, or in the folder itself. Raises UserError."""
    folder = Path(folder)
    roots = [root for root in (folder, folder / "train", folder / "train" / "train") if (root / "cmd").is_dir()]
    if not roots:
        raise UserError(f"there are no class folders in {folder}; it should hold {EXTERNAL_LAYOUT}")
    return class_folders(roots[0], EXTERNAL_CLASSES, (".jpg",))


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The paper's 4,277 validation rows of 21,397: bool (n,). Depends on the order of `train.csv`."""
    return class_balanced_choice(train["label"].to_numpy(), fraction=0.2, seed=414)


def check_names(path: Path) -> None:
    """Where the download's own names of the classes are there, they must be ours: another order would turn every label
    into another disease. Raises UserError."""
    if not path.is_file():
        return
    try:
        names = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as JSON: {error}; download it again") from error
    ours = {str(number): name for number, name in enumerate(COMPETITION.classes)}
    if not isinstance(names, dict) or names.keys() != ours.keys():
        raise UserError(f"{path} must name the classes 0 to {len(ours) - 1}; download it again")
    for number, name in ours.items():
        if names[number] != name:
            raise UserError(f"{path} calls class {number} {names[number]!r}, not {name!r}; download it again")
