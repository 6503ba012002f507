"""Melanoma: real tables and images are read, the paper's split is exact, and the sample data can be learned in part."""

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import competitions
from common.errors import UserError
from common.splits import grouped_folds
from competitions.melanoma import sample

MELANOMA = competitions.load("melanoma")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real tables are not beside this checkout")

# Rows a tfrecord fold 0..14 of the public table, its 434 duplicates (fold -1) left out.
ROWS_A_FOLD = [2182, 2185, 2193, 2182, 2167, 2171, 2175, 2174, 2177, 2178, 2174, 2176, 2198, 2186, 2174]


def published_split(years):
    """The authors' procedure in their own terms: global generator, a set of folds, and the names that validate."""
    np.random.seed(23)  # noqa: NPY002
    names = []
    for table in years:
        folds = [fold for fold in set(table["tfrecord"].values) if fold >= 0]
        trains = np.random.choice(folds, size=int(0.8 * len(folds)), replace=False).tolist()  # noqa: NPY002
        validates = [fold for fold in folds if fold not in trains]
        names += table.loc[table["tfrecord"].isin(validates), "image_name"].tolist()
    return names


def folder_of(table, folder, layout="jpeg/train"):
    (folder / layout).mkdir(parents=True)
    table.to_csv(folder / "train.csv", index=False)
    return folder


@pytest.fixture
def siim(tmp_path):
    """The real table of 2020 in the layout of the resized copies."""
    return folder_of(pd.read_csv(SHARED / "labels" / "siim_train.csv"), tmp_path / "melanoma", "train")


def made_2019(rows=25331):
    """A table like that of the earlier years: 30 folds and some duplicates, patients unknown (-1)."""
    rng = np.random.default_rng(0)
    names = [f"ISIC_{i:07d}_2019" for i in range(rows)]
    folds = rng.permutation(np.arange(rows) % 31) - 1
    return pd.DataFrame(
        {"image_name": names, "patient_id": -1, "target": (rng.random(rows) < 0.18).astype(int), "tfrecord": folds}
    )


@needs_shared
def test_the_real_table_is_read_without_its_duplicates(siim):
    train = MELANOMA.read_train(siim)
    assert len(train) == 32692
    assert train.groupby("tfrecord").size().tolist() == ROWS_A_FOLD
    assert train["label"].sum() == 581
    assert train["group"].nunique() == 2056
    assert set(train["year"]) == {"2020"}
    assert train["path"][0] == str(siim / "train" / "ISIC_2637011.jpg")
    assert {"sex", "age_approx", "anatom_site_general_challenge", "diagnosis"} <= set(train)


@needs_shared
def test_the_paper_split_of_the_real_table_is_exact_row_by_row(siim):
    train = MELANOMA.read_train(siim)
    validates = MELANOMA.paper_split(train)
    expected = published_split([pd.read_csv(siim / "train.csv")])
    assert sorted(train.loc[validates, "id"]) == sorted(expected)
    assert validates.sum() == 6534
    assert sorted(set(train.loc[validates, "tfrecord"])) == [3, 6, 8]


@needs_shared
def test_both_years_are_drawn_under_one_seed_in_the_paper_order(siim):
    folder_of(made_2019(), siim / "2019", "train")
    train = MELANOMA.read_train(siim)
    assert train["year"].value_counts().to_dict()["2020"] == 32692
    validates = MELANOMA.paper_split(train)
    expected = published_split([pd.read_csv(siim / "train.csv"), pd.read_csv(siim / "2019" / "train.csv")])
    assert sorted(train.loc[validates, "id"]) == sorted(expected)
    assert train.loc[validates & (train["year"] == "2019"), "tfrecord"].nunique() == 6


@needs_shared
def test_patients_of_the_real_table_lie_in_one_fold_each(siim):
    train = MELANOMA.read_train(siim)
    folds = grouped_folds(train["label"], train["group"], 5, seed=0)
    assert pd.Series(folds).groupby(train["group"]).nunique().max() == 1
    positives = [train["label"][folds == fold].sum() for fold in range(5)]
    assert max(positives) - min(positives) <= 3


@needs_shared
def test_real_images_are_read_with_groups_kept_apart_over_five_folds():
    train = MELANOMA.read_train(SHARED / "melanoma")
    assert (len(train), train["label"].sum()) == (3000, 330)
    assert all(Path(path).is_file() for path in train["path"])
    folds = grouped_folds(train["label"], train["group"], 5, seed=0)
    assert pd.Series(folds).groupby(train["group"]).nunique().max() == 1
    assert [train["label"][folds == fold].sum() for fold in range(5)] == [66] * 5
    with pytest.raises(UserError, match=r"needs the column tfrecord.*--split folds"):
        MELANOMA.paper_split(train)


def test_an_unknown_patient_is_a_group_of_its_own(tmp_path):
    table = pd.DataFrame(
        {"image_name": list("abcdef"), "patient_id": ["p1", "", "p1", None, "-1", " p2"], "target": [0, 1, 0, 1, 0, 1]}
    )
    train = MELANOMA.read_train(folder_of(table, tmp_path))
    assert train["group"].tolist() == ["p1", "b", "p1", "d", "e", "p2"]


def test_external_data_may_lack_patients_and_loses_its_duplicates(tmp_path):
    table = made_2019(310)
    external = MELANOMA.read_external(folder_of(table.drop(columns="patient_id"), tmp_path / "plain"))
    assert len(external) == 300
    assert (external["group"] == external["id"]).all()
    assert set(external["year"]) == {"2019"}
    with_unknown = MELANOMA.read_external(folder_of(table, tmp_path / "unknown", "train"))
    assert with_unknown["group"].tolist() == external["group"].tolist()


def test_training_data_without_patients_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"train\.csv: column patient_id is missing"):
        MELANOMA.read_train(folder_of(made_2019(31).drop(columns="patient_id"), tmp_path))


def test_a_year_given_twice_is_refused(tmp_path):
    folder_of(made_2019(31), tmp_path)
    folder_of(made_2019(31), tmp_path / "2019")
    with pytest.raises(UserError, match="stands there more than once"):
        MELANOMA.read_train(tmp_path)


def test_a_tfrecord_that_is_no_number_is_named(tmp_path):
    table = made_2019(31).astype({"tfrecord": object})
    table.loc[4, "tfrecord"] = "train04"
    with pytest.raises(UserError, match="'tfrecord' must be a whole number, and is not for ISIC_0000004_2019"):
        MELANOMA.read_train(folder_of(table, tmp_path))


# What is known beside the image


def row(**values) -> pd.DataFrame:
    return pd.DataFrame([values])


@needs_shared
def test_the_metadata_of_the_real_table_is_counted_value_by_value(siim):
    metadata = MELANOMA.read_metadata(MELANOMA.read_train(siim))
    assert (metadata.shape, metadata.dtype) == ((32692, 15), np.float32)
    assert (metadata.min(), metadata.max()) == (0, 1)
    age, flags = metadata[:, 0], metadata[:, 1:].sum(axis=0).astype(int)
    assert 90 * age[metadata[:, 1] == 0].mean() == pytest.approx(48.8, abs=0.05)
    assert flags[0] == 44  # without an age
    assert flags[1:4].tolist() == [16868, 15783, 41]  # male, female, unknown
    assert flags[4:].tolist() == [16632, 8318, 4902, 1815, 375, 124, 0, 0, 0, 526]  # SITES, unknown
    assert (metadata[:, 2:5].sum(axis=1) == 1).all()
    assert (metadata[:, 5:].sum(axis=1) == 1).all()


@needs_shared
def test_the_diagnoses_of_the_real_table_are_merged_as_the_first_place_did(siim):
    table = pd.read_csv(siim / "train.csv")
    counts = np.bincount(MELANOMA.read_auxiliary(table), minlength=9)
    # 135 seborrheic and 37 lichenoid keratoses, 44 + 7 lentigines; 27,124 unnamed, 1 macule, 1 proliferation
    expected = {"nevus": 5193, "melanoma": 584, "BKL": 223, "unknown": 27126}
    assert dict(zip(MELANOMA.auxiliary_classes, counts, strict=True)) == {
        name: expected.get(name, 0) for name in MELANOMA.auxiliary_classes
    }
    train = MELANOMA.read_train(siim)
    named = np.array(MELANOMA.auxiliary_classes)[MELANOMA.read_auxiliary(train)]
    assert ((named == "melanoma") == (train["label"] == 1)).all()


def test_metadata_means_the_same_in_every_table():
    known = row(age_approx=45.0, sex="female", anatom_site_general_challenge="head/neck")
    later = pd.concat([row(age_approx=10, sex="male", anatom_site_general_challenge="torso"), known])
    assert (MELANOMA.read_metadata(later)[1] == MELANOMA.read_metadata(known)[0]).all()
    assert MELANOMA.read_metadata(known)[0, :5].tolist() == [0.5, 0, 0, 1, 0]


def test_what_is_not_known_has_a_code_of_its_own_also_where_the_column_is_missing():
    nothing = MELANOMA.read_metadata(row(id="a"))
    assert nothing[0].tolist() == [0, 1] + [0, 0, 1] + 9 * [0] + [1]
    blank = row(age_approx=np.nan, sex=None, anatom_site_general_challenge="elsewhere")
    assert (MELANOMA.read_metadata(blank) == nothing).all()
    newborn = row(age_approx=0, sex="male", anatom_site_general_challenge="torso")
    assert MELANOMA.read_metadata(newborn)[0, :2].tolist() == [0, 0]


def test_sites_of_the_earlier_years_have_codes_of_their_own():
    sites = ["torso", "anterior torso", "lateral torso", "posterior torso"]
    metadata = MELANOMA.read_metadata(pd.DataFrame({"anatom_site_general_challenge": sites}))
    assert len(np.unique(metadata, axis=0)) == 4


def test_diagnoses_of_all_years_meet_in_nine_classes_and_others_are_not_known():
    names = ["MEL", "melanoma", "NV", "nevus", "BKL", "solar lentigo", "BCC", "SCC", "VASC", "DF", "AK", "unknown"]
    found = MELANOMA.read_auxiliary(pd.DataFrame({"diagnosis": [*names, "wart", None]}))
    named = [MELANOMA.auxiliary_classes[position] for position in found[:-2]]
    merged = ["melanoma", "melanoma", "nevus", "nevus", "BKL", "BKL", *names[6:]]
    assert named == merged
    assert found[-2:].tolist() == [-1, -1]
    assert MELANOMA.read_auxiliary(row(id="a")).tolist() == [-1]


def test_metadata_of_the_sample_data_helps_a_little():
    table = pd.concat([sample.make_table(np.random.default_rng([seed, 2020])) for seed in range(4)])
    metadata, patients = MELANOMA.read_metadata(table), table["patient_id"]
    model = LogisticRegression(C=0.3)
    scores = cross_val_predict(
        model, metadata, table["target"], groups=patients, cv=GroupKFold(5), method="predict_proba"
    )
    assert 0.6 < roc_auc_score(table["target"], scores[:, 1]) < 0.8


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A tenth of the sample data, and the truth of its test set."""
    monkeypatch.setattr(sample, "TRAIN", 80)
    monkeypatch.setattr(sample, "TEST", 30)
    folder = tmp_path / "melanoma"
    return folder, MELANOMA.make_sample(folder, 3)


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder, _ = drawn
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    asked = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
    assert list(test) == asked
    assert list(train) == [*asked, "diagnosis", "benign_malignant", "target", "tfrecord"]
    assert train.groupby("patient_id")["tfrecord"].nunique().eq(1).all()
    assert list(pd.read_csv(folder / "sample_submission.csv")) == ["image_name", "target"]
    assert all(re.fullmatch(r"ISIC_\d{7}", name) for name in train["image_name"])
    assert train["patient_id"].nunique() < len(train) / 4
    assert set(train["patient_id"]).isdisjoint(test["patient_id"])
    assert train["target"].mean() == pytest.approx(0.1)
    assert sorted(file.stem for file in (folder / "jpeg" / "train").glob("*.jpg")) == sorted(train["image_name"])
    assert sorted(file.stem for file in (folder / "jpeg" / "test").glob("*.jpg")) == sorted(test["image_name"])


def test_sample_readers_agree_with_the_truth_and_the_order_of_the_submission(drawn):
    folder, truth = drawn
    submission = pd.read_csv(folder / "sample_submission.csv").iloc[::-1]
    submission.to_csv(folder / "sample_submission.csv", index=False)
    train, test = MELANOMA.read_train(folder), MELANOMA.read_test(folder)
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert {"id", "path", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"} <= set(test)
    assert test["id"].tolist() == truth["id"].tolist()[::-1]
    assert truth["label"].sum() == 3


def test_sample_images_are_the_same_for_the_same_seed(drawn, tmp_path):
    folder, truth = drawn
    assert MELANOMA.make_sample(tmp_path / "again", 3).equals(truth)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 80 + 30 + 4
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def lesion_features(image: np.ndarray) -> list[float]:
    """Spread of colours and the middle's darkness: what a look at the histogram gives."""
    small = cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
    middle = small[10:38, 10:38].reshape(-1, 3)
    tint = middle - middle.mean(axis=1, keepdims=True)
    return [*middle.std(axis=0), *middle.mean(axis=0), *tint.std(axis=0), *np.percentile(middle[:, 0], [5, 95])]


def test_sample_lesions_can_be_told_apart_in_part_and_not_to_perfection():
    targets = np.arange(200) % 2
    features = [lesion_features(sample.draw_lesion_photograph([0, i], y, 0.3)) for i, y in enumerate(targets)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    scores = cross_val_predict(model, features, targets, cv=5, method="predict_proba")[:, 1]
    assert 0.6 < roc_auc_score(targets, scores) < 0.97


def test_the_paper_recipe_is_the_published_protocol():
    paper = MELANOMA.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 10, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("bgr", True, "both")
    assert all(recipe.decision == "probability" for recipe in MELANOMA.recipes.values())


def test_an_age_that_nobody_has_is_unknown():
    ages = pd.concat([row(age_approx=age) for age in ("inf", "1e308", "-4", "900", "old")])
    assert (MELANOMA.read_metadata(ages)[:, :2] == (0, 1)).all()
