"""Class folders as a table, in the order that everybody else gives them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from common.errors import UserError
from common.folders import class_folders

CLASSES = ("Forest", "Highway", "River")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for file in ("River/b.png", "River/a.png", "Forest/F_10.png", "Forest/F_2.png", "Highway/deep/x.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / file), np.zeros((4, 4, 3), np.uint8))
    return tmp_path


def test_rows_labels_and_ids_are_those_of_the_folders(root):
    table = class_folders(root, CLASSES, (".png",))
    assert table["id"].tolist() == ["Forest/F_10", "Forest/F_2", "Highway/deep/x", "River/a", "River/b"]
    assert table["label"].tolist() == [0, 0, 1, 2, 2]
    assert all(Path(path).is_absolute() for path in table["path"])
    assert list(zip(table["path"], table["label"], strict=True)) == ImageFolder(str(root)).samples


def test_labels_follow_the_order_of_the_classes_and_rows_that_of_the_folders(root):
    table = class_folders(root, ("River", "Forest", "Highway"), (".png",))
    assert table["label"].tolist() == [1, 1, 2, 0, 0]


def test_of_twins_the_first_suffix_counts_and_hidden_files_do_not(root):
    (root / "River" / "a.TIF").write_bytes(b"13 bands")
    (root / "River" / "c.tif").write_bytes(b"13 bands")
    (root / "River" / ".DS_Store").write_bytes(b"")
    paths = [Path(path).name for path in class_folders(root, CLASSES, (".png", ".tif"))["path"]]
    assert paths[-3:] == ["a.png", "b.png", "c.tif"]
    paths = [Path(path).name for path in class_folders(root, CLASSES, (".tif", ".png"))["path"]]
    assert paths[-3:] == ["a.TIF", "b.png", "c.tif"]


def test_what_does_not_belong_is_named(root):
    with pytest.raises(UserError, match=r"folders of no class: River; the classes are Forest, Highway"):
        class_folders(root, CLASSES[:2], (".png",))
    with pytest.raises(UserError, match="no folder for Lake"):
        class_folders(root, (*CLASSES, "Lake"), (".png",))
    with pytest.raises(UserError, match=r"F_10\.png is no image \(\.gif\)"):
        class_folders(root, CLASSES, (".gif",))
    (root / "River" / "notes.txt").write_text("?")
    with pytest.raises(UserError, match=r"River/notes\.txt is no image \(\.png\); remove it"):
        class_folders(root, CLASSES, (".png",))
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        class_folders(root / "nowhere", CLASSES, (".png",))


def test_folders_without_images_are_said_to_be_empty(tmp_path):
    (tmp_path / "Forest").mkdir()
    with pytest.raises(UserError, match=r"no image \(\.png\) in the class folders of"):
        class_folders(tmp_path, ("Forest",), (".png",))
