"""APTOS: the real layout is read, the paper's split has its counts, and the sample data can be learned in part."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import competitions
from common.errors import UserError
from common.splits import grouped_folds
from competitions.aptos import sample

APTOS = competitions.load("aptos")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A tenth of the sample data, and the truth of its test set."""
    monkeypatch.setattr(sample, "TRAIN", 60)
    monkeypatch.setattr(sample, "TEST", 20)
    folder = tmp_path / "aptos"
    return folder, APTOS.make_sample(folder, 3)


def test_competitions_are_found_by_their_folders():
    assert {"aptos", "melanoma"} <= set(competitions.names())
    assert all(competitions.load(name).name == name for name in competitions.names())


def test_an_unknown_competition_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no competition 'aptoss' \(did you mean 'aptos'\?\)"):
        competitions.load("aptoss")


def test_declaring_a_competition_imports_neither_pandas_nor_torch():
    code = (
        "import sys, competitions; competitions.names(); early = set(sys.modules); competitions.load('aptos');"
        "print({'pydantic', 'pandas', 'torch'} & early, {'pandas', 'torch', 'cv2', 'sklearn'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[1]
    assert subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True).strip() == "set() set()"


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder, _ = drawn
    train = pd.read_csv(folder / "train.csv")
    submission = pd.read_csv(folder / "sample_submission.csv")
    assert list(train) == ["id_code", "diagnosis"]
    assert list(pd.read_csv(folder / "test.csv")) == ["id_code"]
    assert list(submission) == ["id_code", "diagnosis"]
    assert (submission["diagnosis"] == 0).all()
    assert all(re.fullmatch("[0-9a-f]{12}", name) for name in train["id_code"])
    assert sorted(file.stem for file in (folder / "train_images").glob("*.png")) == sorted(train["id_code"])
    assert sorted(file.stem for file in (folder / "test_images").glob("*.png")) == sorted(submission["id_code"])


def test_sample_photographs_vary_in_shape_and_lie_on_black(drawn):
    images = [cv2.imread(str(file)) for file in (drawn[0] / "train_images").iterdir()]
    shapes = [image.shape[1] / image.shape[0] for image in images]
    assert min(shapes) < 1.1
    assert max(shapes) > 1.4
    assert all(image[0, 0].max() < 5 and image[-1, -1].max() < 5 for image in images)
    assert all(image.mean() > 10 for image in images)


def test_readers_return_tables_with_labels_and_paths_that_exist(drawn):
    folder, truth = drawn
    train, test = APTOS.read_train(folder), APTOS.read_test(folder)
    assert list(train) == ["id", "path", "label"]
    assert train["label"].dtype == np.int64
    assert train["label"].value_counts().sort_index().tolist() == [30, 6, 16, 3, 5]
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert list(test) == ["id", "path"]
    assert test["id"].tolist() == truth["id"].tolist()
    assert truth["label"].between(0, 4).all()


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn, tmp_path):
    folder, truth = drawn
    assert APTOS.make_sample(tmp_path / "again", 3).equals(truth)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 60 + 20 + 4
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert not APTOS.make_sample(tmp_path / "other", 4).equals(truth)


def test_an_interrupted_drawing_is_not_taken_for_a_finished_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "TRAIN", 10)
    monkeypatch.setattr(sample, "TEST", 5)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sample, "photograph", interrupted)
        with pytest.raises(KeyboardInterrupt):
            APTOS.make_sample(tmp_path / "aptos", 0)
    assert list(tmp_path.iterdir()) == []
    APTOS.make_sample(tmp_path / "aptos", 0)
    assert len(APTOS.read_train(tmp_path / "aptos")) == 10


def test_sample_data_never_replaces_what_is_in_the_folder(drawn):
    folder, truth = drawn
    before = (folder / "train.csv").read_bytes()
    with pytest.raises(UserError, match="does not hold the sample data"):
        APTOS.make_sample(folder, 4)
    assert APTOS.make_sample(folder, 3).equals(truth)
    assert (folder / "train.csv").read_bytes() == before


def colour_features(image: np.ndarray) -> np.ndarray:
    """Shares of the picture that are yellow specks, much darker than around, and so in a spot wider than a vessel."""
    blue, green, red = cv2.split(image.astype(np.float32))
    _, green_around, red_around = cv2.split(cv2.medianBlur(image, 31).astype(np.float32))
    yellow = (green > 1.3 * green_around) & (green > 1.7 * blue) & (green_around > 10)
    dark = ((red < 0.6 * red_around) & (red_around > 40)).astype(np.uint8)
    spots = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.sqrt([yellow.mean(), dark.mean(), spots.mean()])


def test_sample_grades_can_be_learned_in_part_and_not_to_perfection():
    grades = np.arange(200) % 5
    features = [colour_features(sample.draw_photograph([0, i], grade)) for i, grade in enumerate(grades)]
    model = make_pipeline(StandardScaler(), Ridge())
    guesses = cross_val_predict(model, features, grades, cv=5).round().clip(0, 4).astype(int)
    kappa = cohen_kappa_score(grades, guesses, labels=range(5), weights="quadratic")
    assert 0.6 < kappa < 0.9


def test_the_paper_split_has_the_counts_of_the_authors_code():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), sample.CLASS_COUNTS))
    validates = APTOS.paper_split(pd.DataFrame({"label": labels}))
    assert (len(labels), validates.sum(), (~validates).sum()) == (3662, 731, 2931)
    assert np.bincount(labels[validates]).tolist() == [361, 74, 199, 38, 59]


def test_training_needs_no_test_table(drawn):
    folder, _ = drawn
    (folder / "test.csv").unlink()
    assert len(APTOS.read_train(folder)) == 60
    with pytest.raises(UserError, match=r"there is no .*test\.csv; the folder should hold train\.csv"):
        APTOS.read_test(folder)


def test_a_grade_out_of_range_is_named(drawn):
    path = drawn[0] / "train.csv"
    train = pd.read_csv(path)
    train.loc[7, "diagnosis"] = 5
    train.to_csv(path, index=False)
    with pytest.raises(
        UserError, match=f"'diagnosis' must be a whole number from 0 to 4, but {train.id_code[7]} has 5"
    ):
        APTOS.read_train(drawn[0])


@pytest.fixture
def photographs_2015(tmp_path):
    folder = tmp_path / "2015"
    folder.mkdir()
    (folder / "trainLabels.csv").write_text("image,level\n10_left,0\n10_right,4\n13_left,2\n")
    for name in ("10_left.jpeg", "train/10_right.jpg", "resized_train/13_left.png", "train/13_left.png", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def test_external_images_are_found_in_the_folder_and_below_it(photographs_2015):
    table = APTOS.read_external(photographs_2015)
    assert table["id"].tolist() == ["10_left", "10_right", "13_left"]
    assert table["label"].tolist() == [0, 4, 2]
    below = [str(Path(path).relative_to(photographs_2015)) for path in table["path"]]
    assert below == ["10_left.jpeg", "train/10_right.jpg", "resized_train/13_left.png"]


def test_the_labels_of_the_2015_test_set_are_added_where_they_are(photographs_2015):
    (photographs_2015 / "retinopathy_solution.csv").write_text("image,level,Usage\n1_left,1,Private\n")
    table = APTOS.read_external(photographs_2015)
    assert table["id"].tolist() == ["10_left", "10_right", "13_left", "1_left"]
    assert table["path"].iloc[3] == str(photographs_2015 / "1_left.jpeg")


def test_an_external_folder_without_labels_or_images_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"trainLabels\.csv; the folder should hold"):
        APTOS.read_external(tmp_path)
    (tmp_path / "trainLabels.csv").write_text("image,level\n10_left,0\n")
    with pytest.raises(UserError, match=r"no \.jpeg, \.jpg or \.png image in"):
        APTOS.read_external(tmp_path)


def test_the_paper_recipe_is_the_published_protocol():
    paper = APTOS.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 30, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("bgr", True, "horizontal")
    others = [recipe for name, recipe in APTOS.recipes.items() if name != "paper"]
    assert all(recipe.color_order == "rgb" and not recipe.decay_over_learning_rate for recipe in others)


def test_sample_data_splits_into_the_folds_of_its_recipe(drawn):
    recipe = APTOS.recipes["sample"]
    folds = grouped_folds(APTOS.read_train(drawn[0])["label"], None, recipe.folds, recipe.seed)
    assert np.bincount(folds).tolist() == [30, 30]
