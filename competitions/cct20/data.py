"""The raw CCT-20 download (COCO camera traps: images with place and sequence, annotations with category) as tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError, listing
from common.files import read_json
from common.tables import check_ids, check_names, image_paths

IMAGES, ANNOTATIONS = "eccv_18_all_images_sm", "eccv_18_annotation_files"
LAYOUT = f"{IMAGES}/*.jpg and {ANNOTATIONS}/{{train,cis_val,cis_test}}_annotations.json"
CATEGORIES = (1, 3, 5, 6, 7, 8, 9, 10, 11, 16, 21, 33, 34, 51, 99)
"""Category ids of the files in the order of the classes, 0 to 14."""
EMPTY = 30
PLACES_FOR_FOLDS = 5
"""With at least so many places, rows are grouped by place; with fewer, by sequence."""


def read_train(raw: Path) -> pd.DataFrame:
    """The images of train and then of cis_val that show something: id, path, label (0..14), group, part, annotations.

    `part` is "train" or "cis_val". `group` is the place of the camera, or the sequence of frames where there are fewer
    than five places. `annotations` counts the boxes of an image, which the paper counts as samples; nothing uses it.
    Raises UserError.
    """
    parts = [read_part(raw, part) for part in ("train", "cis_val")]
    table = pd.concat(parts, ignore_index=True)
    check_ids(table["id"], Path(raw) / ANNOTATIONS)
    table["group"] = groups(table)
    return table[["id", "path", "label", "group", "part", "annotations"]]


def read_test(raw: Path) -> pd.DataFrame:
    """The images of cis_test that show something, in the order of its file: id, path, label. Raises UserError."""
    return read_part(raw, "cis_test")[["id", "path", "label"]]


def read_unseen(part: str, raw: Path) -> pd.DataFrame:
    """The images of trans_val or trans_test, from places that no training image shows: id, path, label, group; no rows
    where its file is not there. Raises UserError."""
    if not annotation_file(raw, part).is_file():
        return pd.DataFrame(columns=["id", "path", "label", "group"])
    table = read_part(raw, part)
    return table.assign(group=groups(table))[["id", "path", "label", "group"]]


def paper_split(train: pd.DataFrame) -> np.ndarray:
    """The data set's own split, as the paper takes it: bool (n,), True for the rows of cis_val."""
    return (train["part"] == "cis_val").to_numpy()


def read_part(raw: Path, part: str) -> pd.DataFrame:
    """The images of one annotation file, in its order: id, path, label, location, sequence, part, annotations.

    Annotations of the category "empty" are dropped, and so are images that have no other: empty ones and unannotated
    ones. An image with several annotations is one row with the category of the first.

    Raises:
        UserError: the file is missing or not in the format, repeats an image, names an unknown image or category.
    """
    path = annotation_file(raw, part)
    images, annotations = read_annotations(path)
    shown = annotations[annotations["category_id"] != EMPTY]
    by_image = shown.groupby("image_id", sort=False)["category_id"].agg(["first", "size"])
    table = images.join(by_image, on="id", how="inner", validate="one_to_one")
    if table.empty:
        raise UserError(f"{path}: no image shows anything but category {EMPTY} (empty); download it again")
    return pd.DataFrame(
        {
            "id": table["id"],
            "path": image_paths(Path(raw) / IMAGES, table["file_name"], "", LAYOUT),
            "label": table["first"].map(CATEGORIES.index).astype(np.int64),
            "location": table["location"].astype(str),
            "sequence": table["seq_id"].astype(str),
            "part": part,
            "annotations": table["size"].astype(np.int64),
        }
    ).reset_index(drop=True)


def annotation_file(raw: Path, part: str) -> Path:
    return Path(raw) / ANNOTATIONS / f"{part}_annotations.json"


def read_annotations(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `images` and `annotations` of one file, every annotation with a known image and a known category."""
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(f"there is no {path}; the data folder should hold {LAYOUT}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} as JSON: {error}; download it again") from error
    images = _rows(content, "images", ["id", "file_name", "location", "seq_id"], path)
    annotations = _rows(content, "annotations", ["image_id", "category_id"], path)
    images["id"], annotations["image_id"] = images["id"].astype(str), annotations["image_id"].astype(str)
    check_ids(images["id"], path)
    check_names(images["file_name"], path)
    orphans = annotations.loc[~annotations["image_id"].isin(images["id"]), "image_id"].unique()
    if len(orphans):
        raise UserError(f"{path}: annotations name images that are not in its 'images': {listing(orphans)}")
    unknown = annotations[~annotations["category_id"].isin([*CATEGORIES, EMPTY])]
    if len(unknown):
        named = (f"{row.category_id} of image {row.image_id}" for row in unknown.itertuples())
        raise UserError(f"{path}: unknown category_id {listing(named, limit=5)}; CCT-20 has {listing(CATEGORIES, 15)}")
    return images, annotations


def groups(table: pd.DataFrame) -> pd.Series:
    """The place of each row, or its sequence where there are too few places for folds. A sequence is never split: it
    counts for the place of its first row."""
    if table["location"].nunique() < PLACES_FOR_FOLDS:
        return table["sequence"]
    return table.groupby("sequence")["location"].transform("first")


def _rows(content, name: str, fields: list[str], path: Path) -> pd.DataFrame:
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path} has no list '{name}' of objects: it is no COCO camera traps file; download it again")
    lacking = [(i, field) for i, entry in enumerate(entries) for field in fields if entry.get(field) is None]
    if lacking:
        named = listing((f"'{field}' in entry {i}" for i, field in lacking), limit=5)
        raise UserError(f"{path}: '{name}' lacks {named}; download it again")
    return pd.DataFrame(entries, columns=fields)
