"""Cassava: the real layout is read, the paper's split is that of its code, and the sample data can be learned."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import competitions
from common.errors import UserError
from common.images import read_rgb
from competitions.cassava import sample

CASSAVA = competitions.load("cassava")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
REAL_TABLE, REAL_IMAGES = SHARED / "labels" / "cassava_train.csv", SHARED / "cassava"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real images and labels lie beside the repository")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A part of the sample data, and the truth of its test set."""
    monkeypatch.setattr(sample, "TRAIN", 60)
    monkeypatch.setattr(sample, "TEST", 20)
    folder = tmp_path / "cassava"
    return folder, CASSAVA.make_sample(folder, 3)


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder, _ = drawn
    train, submission = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "sample_submission.csv")
    assert list(train) == list(submission) == ["image_id", "label"]
    assert all(re.fullmatch(r"\d{1,10}\.jpg", name) for name in [*train["image_id"], *submission["image_id"]])
    assert sorted(file.name for file in (folder / "train_images").iterdir()) == sorted(train["image_id"])
    assert sorted(file.name for file in (folder / "test_images").iterdir()) == sorted(submission["image_id"])
    assert not (folder / "test.csv").exists()
    names = json.loads((folder / "label_num_to_disease_map.json").read_text())
    assert tuple(names.values()) == CASSAVA.classes
    assert read_rgb(folder / "train_images" / train["image_id"][0]).shape == (150, 200, 3)


def test_readers_return_tables_with_labels_and_paths_that_exist(drawn):
    folder, truth = drawn
    train, test = CASSAVA.read_train(folder), CASSAVA.read_test(folder)
    assert list(train) == ["id", "path", "label"]
    assert train["label"].dtype == np.int64
    assert train["label"].value_counts().sort_index().tolist() == [3, 6, 7, 37, 7]
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert list(test) == ["id", "path"]
    assert list(truth) == ["id", "label"]
    assert test["id"].tolist() == truth["id"].tolist()


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn, tmp_path):
    folder, truth = drawn
    assert CASSAVA.make_sample(tmp_path / "again", 3).equals(truth)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 60 + 20 + 4
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert not CASSAVA.make_sample(tmp_path / "other", 4).equals(truth)
    with pytest.raises(UserError, match="does not hold the sample data"):
        CASSAVA.make_sample(folder, 4)


def test_about_one_sample_label_in_twenty_is_wrong():
    labels = np.arange(20000) % 5
    shown = sample.mistaken(labels, np.random.default_rng(0))
    assert 0.045 < (shown != labels).mean() < 0.055
    assert set(shown) == set(range(5))


def leaf_features(image: np.ndarray) -> np.ndarray:
    """How yellow the leaf is, and how much yellow stands out from around at several scales."""
    _, green, red = cv2.split(image.astype(np.float32) + 1)
    around = cv2.medianBlur(image, 21).astype(np.float32) + 1
    leaf = around[..., 1] > 1.25 * around[..., 2]
    yellow = red / green
    spread = [(yellow - cv2.GaussianBlur(yellow, (0, 0), sigma))[leaf].std() for sigma in (1, 3, 9)]
    brown = np.sqrt((yellow[leaf] > 1.2).mean())
    return np.array([*spread, *np.percentile(yellow[leaf], [5, 50, 90, 98]), brown, leaf.mean()])


def test_sample_diseases_can_be_told_apart_in_part_and_not_to_perfection():
    diseases = np.arange(150) % 5
    features = [leaf_features(sample.draw_photograph([0, i], disease)) for i, disease in enumerate(diseases)]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    assert 0.4 < (cross_val_predict(model, features, diseases, cv=5) == diseases).mean() < 0.9


def authors_split(labels: list[int]) -> list[int]:
    """The procedure of the paper's code in plain words: validation rows, class after class."""
    np.random.seed(414)  # noqa: NPY002 (as published)
    chosen = []
    for disease in range(5):
        rows = [row for row, label in enumerate(labels) if label == disease]
        chosen += list(np.random.choice(rows, int(0.2 * len(rows)), replace=False))  # noqa: NPY002
    return chosen


@needs_shared
def test_the_paper_split_is_that_of_the_authors_code_row_by_row():
    train = pd.read_csv(REAL_TABLE)
    validates = CASSAVA.paper_split(train)
    assert (len(train), validates.sum(), (~validates).sum()) == (21397, 4277, 17120)
    assert train["label"].value_counts().sort_index().tolist() == list(sample.CLASS_COUNTS)
    assert np.flatnonzero(validates).tolist() == sorted(authors_split(train["label"].tolist()))


@needs_shared
def test_real_photographs_are_read_through_the_table():
    train = CASSAVA.read_train(REAL_IMAGES)
    assert train["id"].tolist() == ["CBB.jpg", "CBSD.jpg", "CGM.jpg", "CMD.jpg", "Healthy.jpg"]
    assert [read_rgb(path).shape for path in train["path"]] == [(600, 800, 3)] * 5


@needs_shared
def test_the_names_of_the_classes_are_those_of_the_download():
    names = json.loads((SHARED / "labels" / "label_num_to_disease_map.json").read_text())
    assert names == {str(number): name for number, name in enumerate(CASSAVA.classes)}


def test_names_in_another_order_are_refused_for_they_would_turn_every_label(drawn):
    path = drawn[0] / "label_num_to_disease_map.json"
    names = json.loads(path.read_text())
    names["0"], names["4"] = names["4"], names["0"]
    path.write_text(json.dumps(names))
    with pytest.raises(UserError, match=r"calls class 0 'Healthy', not 'Cassava Bacterial Blight \(CBB\)'"):
        CASSAVA.read_train(drawn[0])
    path.write_text('{"0": "Healthy"}')
    with pytest.raises(UserError, match="must name the classes 0 to 4"):
        CASSAVA.read_train(drawn[0])
    path.write_text("{")
    with pytest.raises(UserError, match=r"cannot read .* as JSON"):
        CASSAVA.read_train(drawn[0])
    path.unlink()
    assert len(CASSAVA.read_train(drawn[0])) == 60


def test_a_missing_table_or_folder_and_a_wrong_label_are_named(drawn):
    folder, _ = drawn
    table = pd.read_csv(folder / "train.csv")
    table.assign(label=5).to_csv(folder / "train.csv", index=False)
    with pytest.raises(UserError, match="'label' must be a whole number from 0 to 4"):
        CASSAVA.read_train(folder)
    (folder / "sample_submission.csv").unlink()
    with pytest.raises(UserError, match=r"no .*sample_submission\.csv; the folder should hold train\.csv"):
        CASSAVA.read_test(folder)
    with pytest.raises(UserError, match=r"no .*train\.csv"):
        CASSAVA.read_train(folder / "train_images")


def test_the_paper_recipe_is_the_published_protocol():
    paper = CASSAVA.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 30, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("rgb", True, "both")
    assert {"paper", "interventions", "sample"} <= set(CASSAVA.recipes)
