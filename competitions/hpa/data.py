"""The raw Protein Atlas download, the public pictures of HPA v18, and the published split, as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.labels import class_numbers, wanted
from common.tables import image_paths, read_csv, read_header

LAYOUT = "train.csv, sample_submission.csv, train/ and test/ with {Id}_{red,green,blue,yellow}.png"
EXTERNAL_TABLE = "HPAv18RBGY_wodpl.csv"
EXTERNAL_LAYOUT = f"{EXTERNAL_TABLE} (Id, Target) and {{Id}}_{{red,green,blue,yellow}}.jpg beside it"
SPLIT = "hpa_split.csv"
VALIDATES = {"val": 1, "train": 0, "test_val": -2}
CLASSES = 28


def read_train(raw: Path) -> pd.DataFrame:
    """`train.csv` in its order: id, path (of the green file), label ("0 16": ascending class numbers), and `split`
    where `hpa_split.csv` lies in the folder or beside it. Raises UserError."""
    path = Path(raw) / "train.csv"
    table = read_csv(path, ["Id", "Target"], "Id", LAYOUT)
    paths = image_paths(Path(raw) / "train", table["Id"], "_green.png", LAYOUT)
    rows = pd.DataFrame({"id": table["Id"], "path": paths, "label": label_sets(table, path)})
    split = published_split(Path(raw))
    return rows if split is None else rows.assign(split=rows["id"].map(split))


def read_test(raw: Path) -> pd.DataFrame:
    """The ids of `sample_submission.csv`, which is the only table of the test set: id, path. Raises UserError."""
    ids = read_csv(Path(raw) / "sample_submission.csv", ["Id"], "Id", LAYOUT)["Id"]
    return pd.DataFrame({"id": ids, "path": image_paths(Path(raw) / "test", ids, "_green.png", LAYOUT)})


def read_external(folder: Path) -> pd.DataFrame:
    """HPA v18, 74,606 pictures of the public Atlas: id, path (of the green file), label, and `identity`, which antibody
    it shows: "10005_921_B9_1" is of 10005. An id that stands in the table more than once is read once.

    Raises:
        UserError: from the table; or an id has two rows with different labels.
    """
    path = Path(folder) / EXTERNAL_TABLE
    read_header(path, EXTERNAL_LAYOUT)
    try:
        table = pd.read_csv(path, usecols=["Id", "Target"], dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except ValueError as error:
        raise UserError(f"cannot read {path}: {error}; it should have the columns Id and Target") from error
    table = table.assign(label=label_sets(table, path)).drop_duplicates(["Id", "label"], ignore_index=True)
    if (contradicting := table["Id"].duplicated()).any():
        named = listing(table.loc[contradicting, "Id"].unique())
        raise UserError(f"{path}: 'Id' {named} has two rows with different labels; keep the right one")
    paths = image_paths(Path(folder), table["Id"], "_green.jpg", EXTERNAL_LAYOUT)
    antibody = table["Id"].str.partition("_")[0]
    return pd.DataFrame({"id": table["Id"], "path": paths, "label": table["label"], "identity": antibody})


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The published split that the paper uses (its section 4.3): int8 (n,), 1 where a row validates (val), 0 where it
    trains (train), -2 where it does neither (test_val).

    Raises:
        UserError: there is no such split for these rows.
    """
    if "split" not in train:
        raise UserError(
            f"the paper's split needs {SPLIT} (Id, Target, Split) in the data folder or beside it, and there is none; "
            "it was published by Park with the third place's code; `--split folds` works without"
        )
    if (unknown := ~train["split"].isin(VALIDATES)).any():
        named = listing(train.loc[unknown, "id"], limit=3)
        raise UserError(f"{SPLIT} says neither train, val nor test_val of {named}; it belongs to another train.csv")
    return train["split"].map(VALIDATES).to_numpy(dtype=np.int8)


def published_split(raw: Path) -> pd.Series | None:
    """Id → train, val or test_val, from the folder or from the one it lies in; None where neither has it."""
    path = next((file for file in (raw / SPLIT, raw.absolute().parent / SPLIT) if file.is_file()), None)
    if path is None:
        return None
    table = read_csv(path, ["Id", "Split"], "Id", f"{SPLIT} (Id, Target, Split)")
    return table.set_index("Id")["Split"]


def label_sets(table: pd.DataFrame, path: Path) -> list[str]:
    """`Target` as class numbers in ascending order, separated by blanks: "16 0" → "0 16".

    Raises:
        UserError: a target is empty, is no list of whole numbers, or names a class out of range or twice.
    """
    targets = ["" if pd.isna(target) else str(target) for target in table["Target"]]
    numbers = [class_numbers(target, CLASSES) for target in targets]
    rows = zip(table["Id"], targets, numbers, strict=True)
    if wrong := [f"{name} has {repr(target) if target else 'none'}" for name, target, found in rows if found is None]:
        raise UserError(f"{path}: 'Target' must be {wanted(CLASSES)}, but {listing(wrong, limit=5)}")
    return [" ".join(map(str, sorted(found))) for found in numbers]
