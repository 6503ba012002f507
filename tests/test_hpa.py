"""The Protein Atlas: four files are one picture, several classes one label, and the published split leaves rows out."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import competitions
from common.data import fingerprint, read_data
from common.errors import UserError
from common.images import BadImage
from common.labels import indicator
from common.prepare import Source, prepare
from common.reader import reader_of
from competitions.hpa import sample
from competitions.hpa.images import files

HPA = competitions.load("hpa")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
LABELS = SHARED / "labels"
CHANNELS = SHARED / "hpa_channels"
needs_labels = pytest.mark.skipif(not LABELS.is_dir(), reason="needs the real label tables beside the repository")
needs_channels = pytest.mark.skipif(not CHANNELS.is_dir(), reason="needs real channel images beside the repository")


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory):
    """A tenth of the sample data, and the truth of its test set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "TRAIN", 40)
        patch.setattr(sample, "TEST", 12)
        folder = tmp_path_factory.mktemp("drawn") / "hpa"
        yield folder, HPA.make_sample(folder, 3)


@pytest.fixture
def drawn(drawn_once, tmp_path):
    """The same in a folder that the test may change."""
    folder, truth = drawn_once
    return Path(shutil.copytree(folder, tmp_path / "hpa")), truth


def write_picture(folder: Path, name: str, planes: dict[str, np.ndarray], suffix: str = ".png") -> str:
    """A file for each colour; returns the path of the green one, as a table has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for color, plane in planes.items():
        cv2.imwrite(str(folder / f"{name}_{color}{suffix}"), plane)
    return str(folder / f"{name}_green{suffix}")


def four_planes(shape=(20, 24), dtype=np.uint8) -> dict[str, np.ndarray]:
    """Each colour of one value, 10, 20, 30, 40 (times 257 where there are 16 bits)."""
    step = 2570 if dtype == np.uint16 else 10
    colors = ("red", "green", "blue", "yellow")
    return {color: np.full(shape, step * (k + 1), dtype) for k, color in enumerate(colors)}


# The declaration


def test_the_classes_are_the_28_of_the_competition_and_the_submission_lists_them():
    assert len(HPA.classes) == len(set(HPA.classes)) == 28
    assert (HPA.classes[0], HPA.classes[16], HPA.classes[27]) == ("Nucleoplasm", "Cytokinetic bridge", "Rods & rings")
    assert (HPA.task, HPA.metric, HPA.takes) == ("multilabel", "macro_f1", "csv")
    assert (HPA.submission.id_column, HPA.submission.target_column, HPA.submission.kind) == (
        "Id",
        "Predicted",
        "labels",
    )


def test_the_paper_recipe_drops_yellow_and_keeps_opencvs_order_and_no_other_recipe_does():
    paper = HPA.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 30, "paper")
    assert (paper.channels, paper.color_order, paper.flips, paper.decay_over_learning_rate) == (3, "bgr", "both", True)
    others = [recipe for name, recipe in HPA.recipes.items() if name != "paper"]
    assert all(recipe.channels == 4 and recipe.color_order == "rgb" for recipe in others)
    assert all(not recipe.decay_over_learning_rate for recipe in others)


# Images


def test_a_picture_is_its_colours_in_the_order_red_green_blue_yellow(tmp_path):
    path = write_picture(tmp_path, "abc", four_planes())
    image = HPA.read_image(path, None, 4)
    assert (image.shape, image.dtype) == ((20, 24, 4), np.uint8)
    assert image[0, 0].tolist() == [10, 20, 30, 40]
    assert HPA.read_image(path, None, 3)[0, 0].tolist() == [10, 20, 30]


def test_16_bit_planes_are_scaled_and_planes_in_colour_give_their_intensity(tmp_path):
    path = write_picture(tmp_path, "wide", four_planes(dtype=np.uint16))
    assert HPA.read_image(path, None, 4)[0, 0].tolist() == [10, 20, 30, 40]
    in_colour = {color: np.zeros((8, 8, 3), np.uint8) for color in four_planes()}
    for color, places in {"red": [2], "green": [1], "blue": [0], "yellow": [1, 2]}.items():
        in_colour[color][..., places] = 77
    path = write_picture(tmp_path, "colourful", in_colour)
    assert (HPA.read_image(path, None, 4) == 77).all()


@pytest.mark.parametrize("color", ["red", "blue", "yellow"])
def test_a_missing_colour_is_named(tmp_path, color):
    path = write_picture(tmp_path, "abc", four_planes())
    (tmp_path / f"abc_{color}.png").unlink()
    with pytest.raises(BadImage, match=f"abc_{color}.png: no such file"):
        HPA.read_image(path, None, 4)


def test_a_picture_without_yellow_is_whole_for_three_channels(tmp_path):
    path = write_picture(tmp_path, "abc", four_planes())
    (tmp_path / "abc_yellow.png").unlink()
    assert HPA.read_image(path, None, 3).shape == (20, 24, 3)


def test_a_truncated_colour_and_one_of_another_size_are_named(tmp_path):
    random = np.random.default_rng(0)
    noise = {color: random.integers(0, 255, (64, 64), dtype=np.uint8) for color in four_planes()}
    path = write_picture(tmp_path, "cut", noise)
    blue = tmp_path / "cut_blue.png"
    blue.write_bytes(blue.read_bytes()[:2000])
    with pytest.raises(BadImage, match=r"cut_blue\.png: "):
        HPA.read_image(path, None, 4)
    path = write_picture(tmp_path, "odd", four_planes() | {"yellow": np.zeros((20, 20), np.uint8)})
    with pytest.raises(BadImage, match=r"odd_yellow\.png has 20 × 20 pixels, the green file 24 × 20"):
        HPA.read_image(path, None, 4)


def test_other_numbers_of_channels_are_refused(tmp_path):
    path = write_picture(tmp_path, "abc", four_planes())
    with pytest.raises(UserError, match=r"channels: hpa has 3 .* or 4 .*, not 5"):
        HPA.read_image(path, None, 5)


def test_preparing_names_the_file_that_is_missing_and_keeps_yellow_apart_from_transparency(drawn, tmp_path):
    table = HPA.read_train(drawn[0])[:6]
    cache = prepare(table, "hpa", 32, tmp_path / "cache", workers=1, read=reader_of(HPA, 4))
    image = cache[2]
    assert image.shape[2] == 4
    # Were yellow taken for alpha, shrinking would draw the others from where yellow is bright.
    whole = HPA.read_image(table["path"][2], None, 4)
    assert np.allclose(image.mean((0, 1)), whole.mean((0, 1)), atol=1.0)
    missing = Path(table["path"][3].replace("_green", "_yellow"))
    missing.unlink()
    with pytest.raises(UserError, match=f"1 images cannot be read: .*{missing.name}: no such file"):
        prepare(table, "hpa", 48, tmp_path / "cache", workers=1, read=reader_of(HPA, 4))


def test_a_row_is_made_of_four_files(drawn):
    for path in HPA.read_train(drawn[0])["path"][:3]:
        named = [file.name.rpartition("_") for file in files(path)]
        assert [color for *_, color in named] == ["red.png", "green.png", "blue.png", "yellow.png"]
        assert all(file.is_file() for file in files(path))
        assert Path(path) in files(path)


@needs_channels
def test_real_planes_of_every_colour_are_read_value_by_value(tmp_path):
    files = [sorted(CHANNELS.glob(f"*_{color}.png"))[0] for color in four_planes()]
    for color, file in zip(four_planes(), files, strict=True):
        shutil.copy(file, tmp_path / f"abc_{color}.png")
    image = HPA.read_image(str(tmp_path / "abc_green.png"), None, 4)
    assert image.shape == (512, 512, 4)
    planes = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
    assert (image == np.dstack(planes)).all()


# Tables


def test_labels_are_class_numbers_in_ascending_order(drawn):
    folder, truth = drawn
    train, test = HPA.read_train(folder), HPA.read_test(folder)
    raw = pd.read_csv(folder / "train.csv", dtype=str)
    assert list(train) == ["id", "path", "label", "split"]
    assert train["id"].tolist() == raw["Id"].tolist()
    assert [set(label.split()) for label in train["label"]] == [set(target.split()) for target in raw["Target"]]
    assert indicator(train["label"], 28).sum() == raw["Target"].str.split().str.len().sum()
    assert all(list(map(int, label.split())) == sorted(map(int, label.split())) for label in train["label"])
    assert all(Path(path).is_file() and path.endswith("_green.png") for path in [*train["path"], *test["path"]])
    assert test["id"].tolist() == truth["id"].tolist()
    assert indicator(truth["label"], 28).any(axis=1).all()


@pytest.mark.parametrize(
    ("target", "named"),
    [("", "has none"), ("28", "has '28'"), ("3 3", "has '3 3'"), ("0 -1", "has '0 -1'"), ("1.0", "has '1.0'")],
)
def test_a_target_that_is_no_set_of_classes_is_named(drawn, target, named):
    path = drawn[0] / "train.csv"
    train = pd.read_csv(path, dtype=str)
    train.loc[7, "Target"] = target
    train.to_csv(path, index=False)
    with pytest.raises(UserError, match=f"'Target' must be .* in 0..27 .* but {train.Id[7]} {named}"):
        HPA.read_train(drawn[0])


def test_a_download_without_its_tables_or_images_says_what_should_be_there(drawn):
    folder, _ = drawn
    (folder / "test").rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"there is no folder .*/test; the data folder should hold train\.csv"):
        HPA.read_test(folder)
    (folder / "sample_submission.csv").unlink()
    assert len(HPA.read_train(folder)) == 40
    with pytest.raises(UserError, match=r"there is no .*sample_submission\.csv"):
        HPA.read_test(folder)


@pytest.fixture
def atlas(tmp_path):
    folder = tmp_path / "v18"
    for name in ("1_A", "2_B", "3_C"):
        write_picture(folder, name, four_planes(), ".jpg")
    (folder / "HPAv18RBGY_wodpl.csv").write_text("Id,Target\n1_A,16 0\n2_B,5\n1_A,0 16\n3_C,25\n")
    return folder


def test_external_pictures_are_read_with_repeated_ids_once(atlas):
    table = HPA.read_external(atlas)
    assert table["id"].tolist() == ["1_A", "2_B", "3_C"]
    assert table["label"].tolist() == ["0 16", "5", "25"]
    assert table["identity"].tolist() == ["1", "2", "3"]
    image = HPA.read_image(table["path"][0], None, 4)
    assert np.abs(image[0, 0].astype(int) - [10, 20, 30, 40]).max() <= 1


def test_the_identity_of_an_external_picture_is_its_antibody(tmp_path):
    for name in ("10005_921_B9_1", "10005_921_B9_2", "10005_1012_C4_1", "998_A"):
        write_picture(tmp_path, name, four_planes(), ".jpg")
    rows = "10005_921_B9_1,0\n10005_921_B9_2,0\n10005_1012_C4_1,5\n998_A,25\n"
    (tmp_path / "HPAv18RBGY_wodpl.csv").write_text("Id,Target\n" + rows)
    assert HPA.read_external(tmp_path)["identity"].tolist() == ["10005", "10005", "10005", "998"]


def test_an_external_id_with_two_labels_a_table_without_targets_and_none_at_all_are_user_errors(atlas):
    table = atlas / "HPAv18RBGY_wodpl.csv"
    table.write_text("Id,Target\n1_A,0\n1_A,1\n")
    with pytest.raises(UserError, match="'Id' 1_A has two rows with different labels"):
        HPA.read_external(atlas)
    table.write_text("Id,Labels\n1_A,0\n")
    with pytest.raises(UserError, match=r"cannot read .*Target.*it should have the columns Id and Target"):
        HPA.read_external(atlas)
    table.unlink()
    with pytest.raises(UserError, match=r"there is no .*HPAv18RBGY_wodpl\.csv; the folder should hold"):
        HPA.read_external(atlas)


# The published split


@needs_labels
def test_the_paper_split_of_the_real_tables_is_the_published_one_row_by_row(tmp_path):
    raw = tmp_path / "hpa"
    (raw / "train").mkdir(parents=True)
    for name in ("train.csv", "split.csv"):
        (raw / name.replace("split", "hpa_split")).write_bytes((LABELS / f"hpa_{name}").read_bytes())
    train = HPA.read_train(raw)
    published = pd.read_csv(LABELS / "hpa_split.csv", dtype=str).set_index("Id").loc[train["id"]]
    parts = HPA.paper_split(train)
    assert ((parts == 1) == (published["Split"] == "val").to_numpy()).all()
    assert ((parts == 0) == (published["Split"] == "train").to_numpy()).all()
    assert [(parts == part).sum() for part in (0, 1, -2)] == [22_582, 5_664, 2_826]
    assert [set(label.split()) for label in train["label"]] == [set(target.split()) for target in published["Target"]]
    assert indicator(train["label"], 28).sum(axis=0).tolist() == list(sample.CLASS_COUNTS)
    data = read_data(HPA, train, HPA.recipes["paper"])
    assert (len(data.train_rows(0)), len(data.valid_rows(0))) == (22_582, 5_664)
    assert set(data.table["id"]).isdisjoint(published.index[published["Split"] == "test_val"])


def test_rows_of_test_val_neither_train_nor_validate(drawn):
    train = HPA.read_train(drawn[0])
    data = read_data(HPA, train, HPA.recipes["paper"])
    of = train.groupby("split")["id"].apply(set)
    assert set(data.table["id"].iloc[data.valid_rows(0)]) == of["val"]
    assert set(data.table["id"].iloc[data.train_rows(0)]) == of["train"]
    assert set(of["test_val"]).isdisjoint(data.table["id"])
    folds = read_data(HPA, train, HPA.recipes["sample"])
    assert len(folds.table) == len(train)


def test_the_split_is_also_found_beside_the_data_folder(drawn):
    folder, _ = drawn
    inside = HPA.paper_split(HPA.read_train(folder))
    (folder / "hpa_split.csv").rename(folder.parent / "hpa_split.csv")
    assert (HPA.paper_split(HPA.read_train(folder)) == inside).all()


def test_the_paper_split_without_its_table_or_with_another_ones_says_so(drawn):
    folder, _ = drawn
    split = pd.read_csv(folder / "hpa_split.csv")
    split[3:].to_csv(folder / "hpa_split.csv", index=False)
    with pytest.raises(UserError, match=f"neither train, val nor test_val of {split.Id[0]}"):
        HPA.paper_split(HPA.read_train(folder))
    (folder / "hpa_split.csv").unlink()
    train = HPA.read_train(folder)
    assert "split" not in train
    with pytest.raises(UserError, match=r"the paper's split needs hpa_split\.csv .* `--split folds` works without"):
        HPA.paper_split(train)


# Sample data


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder, _ = drawn
    train = pd.read_csv(folder / "train.csv", dtype=str)
    submission = pd.read_csv(folder / "sample_submission.csv")
    assert list(train) == ["Id", "Target"]
    assert list(submission) == ["Id", "Predicted"]
    assert (submission["Predicted"] == 0).all()
    assert all(re.fullmatch("[0-9a-f]{8}-bb[0-9a-f]{2}-11e8-b2b9-[0-9a-f]{12}", name) for name in train["Id"])
    for part, ids in (("train", train["Id"]), ("test", submission["Id"])):
        expected = {f"{name}_{color}.png" for name in ids for color in ("red", "green", "blue", "yellow")}
        assert {file.name for file in (folder / part).iterdir()} == expected
    planes = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (folder / "train").iterdir()]
    assert all(plane.dtype == np.uint8 and plane.ndim == 2 for plane in planes)
    assert all(plane.std() > 3 for plane in planes)


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn_once, tmp_path):
    folder, truth = drawn_once
    assert HPA.make_sample(tmp_path / "again", 3).equals(truth)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) == 4 * (40 + 12) + 4
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert not HPA.make_sample(tmp_path / "other", 4).equals(truth)


def test_sample_tables_are_skewed_have_every_class_and_several_a_picture():
    random = np.random.default_rng(0)
    for n, least in ((400, 4), (120, 1)):
        rows = indicator(sample.make_table(n, random)["Target"], 28)
        counts = rows.sum(axis=0)
        assert counts.min() >= least
        assert counts[0] == counts.max() > 6 * counts.min()
        assert 0.45 < (rows.sum(axis=1) > 1).mean() < 0.58


def test_every_class_leaves_its_own_mark_in_the_green_plane():
    marks = []
    for label in range(28):
        random = np.random.default_rng(5)
        cells = sample.place_cells(random)
        marks.append(sum(sample.LOCATIONS[label](cell, random) for cell in cells))
    assert all(np.isfinite(mark).all() and mark.max() > 0.5 for mark in marks)
    likeness = np.corrcoef([mark.ravel() for mark in marks]) - np.eye(28)
    assert likeness.max() < 0.9


def protein_features(planes: list[np.ndarray]) -> np.ndarray:
    """How much green lies on nucleus, border and cell, how much of it in spots of two sizes, how much it follows the
    other stains."""
    red, green, blue, yellow = (cv2.GaussianBlur(plane, (3, 3), 0).astype(np.float32) for plane in planes)
    nucleus, cell = blue > 60, (yellow > 25) | (blue > 60)
    rim = cv2.morphologyEx(cell.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    spots = [green - cv2.morphologyEx(green, cv2.MORPH_OPEN, np.ones((k, k), np.uint8)) for k in (5, 9)]
    places = [region.astype(bool) for region in (nucleus, cell & ~nucleus, rim)]
    means = [np.log1p(map[place].mean()) for place in places for map in (green, *spots)]
    return np.array([*means, *(np.corrcoef(green[cell], stain[cell])[0, 1] for stain in (red, blue, yellow))])


def test_sample_classes_can_be_learned_in_part_and_not_to_perfection():
    table = sample.make_table(150, np.random.default_rng(0))
    features = [protein_features(sample.draw_picture((0, row.Index), row.Target)) for row in table.itertuples()]
    rows = indicator(table["Target"], 28)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced"))
    areas = []
    for label in np.flatnonzero(rows.sum(axis=0) >= 10):
        scores = cross_val_predict(model, features, rows[:, label], cv=4, method="decision_function")
        areas.append(roc_auc_score(rows[:, label], scores))
    assert len(areas) > 5
    assert 0.65 < np.mean(areas) < 0.95


def test_a_change_in_any_colour_makes_other_data(drawn):
    folder, _ = drawn
    table = HPA.read_train(folder)
    before = fingerprint(HPA, table), Source.of(table, 32, reader_of(HPA, 4)).fingerprint
    yellow = Path(table["path"][0].replace("_green", "_yellow"))
    yellow.write_bytes(yellow.read_bytes() + b"\0")
    after = fingerprint(HPA, table), Source.of(table, 32, reader_of(HPA, 4)).fingerprint
    assert before[0] != after[0]
    assert before[1] != after[1]
