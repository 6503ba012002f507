"""CIFAR-10: class folders are read, the control's split is balanced, and the sample data can be learned in part."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import competitions
from common.errors import UserError
from competitions.cifar10 import sample

CIFAR10 = competitions.load("cifar10")
ZIP = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "cifar10.zip"
needs_zip = pytest.mark.skipif(not ZIP.is_file(), reason="cifar10.zip is not beside this checkout")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A small part of the sample data, and the truth of its test part."""
    monkeypatch.setattr(sample, "TRAIN", 5)
    monkeypatch.setattr(sample, "TEST", 2)
    folder = tmp_path / "cifar10"
    return folder, CIFAR10.make_sample(folder, 3)


@needs_zip
def test_the_real_images_are_read_from_the_unpacked_zip(tmp_path):
    with zipfile.ZipFile(ZIP) as packed:
        names = [name for name in packed.namelist() if name.endswith(("0.jpg", "7.jpg")) and int(name[-8:-4]) < 100]
        packed.extractall(tmp_path, names)
    train, test = CIFAR10.read_train(tmp_path), CIFAR10.read_test(tmp_path)
    assert len(train) + len(test) == len(names)
    assert set(train["label"]) == set(test["label"]) == set(range(10))
    assert not set(train["id"]) & set(test["id"]), "both parts number their files from 0"
    assert cv2.imread(train["path"][0]).shape == (32, 32, 3)


def test_readers_return_labels_in_the_order_of_the_folders(drawn):
    folder, truth = drawn
    train, test = CIFAR10.read_train(folder), CIFAR10.read_test(folder)
    assert list(train) == list(test) == ["id", "path", "label"]
    assert train["label"].tolist() == np.repeat(np.arange(10), 5).tolist()
    assert train["id"][0] == "train/airplane/0000"
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert test[["id", "label"]].equals(truth)


def test_the_split_takes_a_fifth_of_each_class():
    labels = np.repeat(np.arange(10), 5000)
    validates = CIFAR10.paper_split(pd.DataFrame({"label": labels}))
    assert np.bincount(labels[validates]).tolist() == [1000] * 10


def test_a_folder_of_no_class_and_a_file_that_is_no_image_are_named(drawn):
    folder, _ = drawn
    (folder / "train" / "cat" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes\.txt is no image"):
        CIFAR10.read_train(folder)
    (folder / "train" / "unicorn").mkdir()
    with pytest.raises(UserError, match="unicorn"):
        CIFAR10.read_train(folder)


def test_a_folder_of_another_layout_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*train; the data folder or \.zip should hold train/"):
        CIFAR10.read_train(tmp_path)


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn, tmp_path):
    folder, truth = drawn
    assert CIFAR10.make_sample(tmp_path / "again", 3).equals(truth)
    assert CIFAR10.make_sample(tmp_path / "other", 4).equals(truth), "ids and labels are those of the layout"
    first = Path("train/cat/0000.jpg")
    assert (folder / first).read_bytes() == (tmp_path / "again" / first).read_bytes()
    assert (folder / first).read_bytes() != (tmp_path / "other" / first).read_bytes()
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def edge_features(picture: np.ndarray) -> np.ndarray:
    """Strength of upright and level edges in 8 × 8 cells."""
    edges = np.abs(cv2.spatialGradient(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))).astype(np.float32)
    return np.stack([cv2.resize(edge, (8, 8), interpolation=cv2.INTER_AREA) for edge in edges]).ravel()


def test_sample_pictures_can_be_learned_in_part_and_not_to_perfection():
    labels = np.arange(400) % 10
    pictures = [sample.draw_picture([0, i], CIFAR10.classes[label]) for i, label in enumerate(labels)]
    assert all(picture.shape == (32, 32, 3) and picture.dtype == np.uint8 for picture in pictures)
    edges = np.array([edge_features(picture) for picture in pictures])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    accuracy = cross_val_score(model, edges, labels, cv=3).mean()
    assert 0.3 < accuracy < 0.9


def test_the_paper_recipe_is_the_grid_of_the_other_data_sets():
    paper, interventions = CIFAR10.recipes["paper"], CIFAR10.recipes["interventions"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 30, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("rgb", True, "horizontal")
    assert (interventions.backbone, interventions.split) == (paper.backbone, paper.split)
