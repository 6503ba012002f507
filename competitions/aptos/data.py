"""The raw APTOS download, and the 2015 photographs, as tables."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.splits import class_balanced_choice
from common.tables import image_paths, in_sample_order, labels, read_csv

LAYOUT = "train.csv, test.csv, sample_submission.csv, train_images/*.png and test_images/*.png"
EXTERNAL_LAYOUT = "trainLabels.csv (image, level) and the images, in the folder itself or in one below"
GRADES = 5


def read_train(raw: Path) -> pd.DataFrame:
    """`train.csv` in its order: id, path, label (grade 0..4). Raises UserError."""
    path = Path(raw) / "train.csv"
    table = read_csv(path, ["id_code", "diagnosis"], "id_code", LAYOUT)
    grades = labels(table, "diagnosis", GRADES, "id_code", path)
    paths = image_paths(Path(raw) / "train_images", table["id_code"], ".png", LAYOUT)
    return pd.DataFrame({"id": table["id_code"], "path": paths, "label": grades})


def read_test(raw: Path) -> pd.DataFrame:
    """`test.csv` in the order of `sample_submission.csv`: id, path. Raises UserError."""
    ids = read_csv(Path(raw) / "test.csv", ["id_code"], "id_code", LAYOUT)["id_code"]
    paths = image_paths(Path(raw) / "test_images", ids, ".png", LAYOUT)
    table = pd.DataFrame({"id": ids, "path": paths})
    return in_sample_order(table, Path(raw) / "sample_submission.csv", "id_code", LAYOUT)


def read_external(folder: Path) -> pd.DataFrame:
    """The 2015 competition's photographs: id, path, label. Same scale of grades, other cameras and graders.

    `trainLabels.csv` (35,126 rows) and, where it is there, `retinopathy_solution.csv` (the 53,576 of its test set);
    images are found by name in the folder or anywhere below it. Raises UserError.
    """
    folder = Path(folder)
    tables = [_external_labels(folder / "trainLabels.csv")]
    if (solution := folder / "retinopathy_solution.csv").is_file():
        tables.append(_external_labels(solution))
    table = pd.concat(tables, ignore_index=True)
    found = _images_below(folder)
    if not found:
        raise UserError(f"no .jpeg, .jpg or .png image in {folder} or below it; it should hold {EXTERNAL_LAYOUT}")
    # An image that is not there keeps the path it should have, and is named with the bad ones when it is prepared.
    table["path"] = [found.get(name, f"{folder.absolute()}/{name}.jpeg") for name in table["id"]]
    return table[["id", "path", "label"]]


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The paper's 731 validation rows of 3,662: bool (n,). Depends on the order of `train.csv`."""
    return class_balanced_choice(train["label"].to_numpy(), fraction=0.2, seed=414)


def _external_labels(path: Path) -> pd.DataFrame:
    table = read_csv(path, ["image", "level"], "image", EXTERNAL_LAYOUT)
    return pd.DataFrame({"id": table["image"], "label": labels(table, "level", GRADES, "image", path)})


def _images_below(folder: Path) -> dict[str, str]:
    """Name without suffix → absolute path. Where resized copies share a name, the first folder in order wins."""
    found: dict[str, str] = {}
    for where, folders, files in os.walk(folder.absolute()):
        folders.sort()
        for file in sorted(files):
            name, suffix = os.path.splitext(file)  # noqa: PTH122 (88,702 of them: plain strings are quick)
            if suffix.lower() in (".jpeg", ".jpg", ".png"):
                found.setdefault(name, f"{where}/{file}")
    return found
