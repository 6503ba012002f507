"""The raw melanoma download, its resized copies with tfrecord folds, and the data of earlier years, as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.tables import check_ids, image_paths, in_sample_order, labels, read_csv

LAYOUT = "train.csv, test.csv, sample_submission.csv, jpeg/train/*.jpg and jpeg/test/*.jpg (or train/ and test/)"
YEARS = ("2020", "2019")


def read_train(raw: Path) -> pd.DataFrame:
    """`train.csv` in its order: id, path, label, group (the patient), year ("2020"), and its other columns.

    Rows of tfrecord -1 are duplicates and left out. Where the folder has a subfolder `2019` with the earlier years in
    the same layout, their rows follow, as in the paper; they then validate too. Raises UserError.
    """
    raw = Path(raw)
    tables = [_read_year(raw, "2020", ["image_name", "patient_id", "target"])]
    if (raw / "2019").is_dir():
        tables.append(read_external(raw / "2019"))
    table = pd.concat(tables, ignore_index=True)
    check_ids(table["id"], raw)
    return table


def read_test(raw: Path) -> pd.DataFrame:
    """`test.csv` in the order of `sample_submission.csv`: id, path, and its other columns. Raises UserError."""
    raw = Path(raw)
    table = read_csv(raw / "test.csv", ["image_name"], "image_name", LAYOUT)
    paths = image_paths(_images(raw, "test"), table["image_name"], ".jpg", LAYOUT)
    table = table.rename(columns={"image_name": "id"}).assign(path=paths)
    return in_sample_order(table, raw / "sample_submission.csv", "image_name", LAYOUT)


def read_external(folder: Path) -> pd.DataFrame:
    """The data of 2017 to 2019, as `read_train` reads those of 2020. Most patients are unknown: each image is its own
    group then. Raises UserError."""
    return _read_year(Path(folder), "2019", ["image_name", "target"])


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The split of the paper's code: bool (n,), True where a row validates.

    Under one seed, 23, for 2020 and then for 2019, int(0.8 * n) of the n tfrecord folds train and the others validate.
    The code walks a set of folds; for whole numbers from 0 that is their sorted order. `RandomState(seed)` gives the
    stream of its `np.random.seed(seed)`.

    Raises:
        UserError: the table has no tfrecord folds.
    """
    if "tfrecord" not in train or train["tfrecord"].isna().any():
        raise UserError(
            "the paper's split needs the column tfrecord, and train.csv has none; the resized copies carry it (`make "
            'melanoma-download ARGS="--set melanoma-512"`, and isic-2019-512); `--split folds` works without'
        )
    stream = np.random.RandomState(23)
    validates = np.zeros(len(train), dtype=bool)
    for year in YEARS:
        of_year = (train["year"] == year).to_numpy()
        folds = np.unique(train.loc[of_year, "tfrecord"])
        trains = stream.choice(folds, int(0.8 * len(folds)), replace=False) if len(folds) else folds
        validates |= of_year & ~train["tfrecord"].isin(trains).to_numpy()
    return validates


def _read_year(folder: Path, year: str, required: list[str]) -> pd.DataFrame:
    path = folder / "train.csv"
    table = read_csv(path, required, "image_name", LAYOUT)
    if "tfrecord" in table:
        table = _without_duplicates(table, path)
    rows = pd.DataFrame(
        {
            "id": table["image_name"],
            "path": image_paths(_images(folder, "train"), table["image_name"], ".jpg", LAYOUT),
            "label": labels(table, "target", 2, "image_name", path),
            "group": _patients(table),
            "year": year,
        }
    )
    others = [column for column in table if column not in (*rows, "image_name", "target", "patient_id")]
    return rows.join(table[others])


def _without_duplicates(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    folds = pd.to_numeric(table["tfrecord"], errors="coerce")
    wrong = table.loc[~(folds % 1 == 0), "image_name"]
    if len(wrong):
        raise UserError(f"{path}: 'tfrecord' must be a whole number, and is not for {listing(wrong)}")
    return table.assign(tfrecord=folds.astype(np.int64))[folds >= 0].reset_index(drop=True)


def _patients(table: pd.DataFrame) -> pd.Series:
    """The patient of each row; where it is unknown (no column, blank, or -1 as in 2019) the image stands for itself."""
    if "patient_id" not in table:
        return table["image_name"]
    patients = table["patient_id"].astype(str).str.strip()
    unknown = table["patient_id"].isna() | patients.isin(["", "-1", "-1.0"])
    return patients.mask(unknown, table["image_name"])


def _images(folder: Path, part: str) -> Path:
    """`jpeg/train` of the download, or `train` of the resized copies."""
    return folder / part if (folder / part).is_dir() else folder / "jpeg" / part
