"""CCT-20: real annotation files are read, sequences stay whole, and the sample data can be learned in part."""

import json
from pathlib import Path
from types import SimpleNamespace

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
from common.splits import grouped_folds
from competitions.cct20 import data, sample

CCT20 = competitions.load("cct20")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not beside this checkout")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A small part of the sample data, and the truth of its test set."""
    monkeypatch.setattr(
        sample, "SEQUENCES", {"train": 24, "cis_val": 8, "cis_test": 8, "trans_val": 8, "trans_test": 8}
    )
    folder = tmp_path / "cct20"
    return folder, CCT20.make_sample(folder, 3)


def image(id, place=1, sequence="s1"):
    return {"id": id, "file_name": f"{id}.jpg", "location": place, "seq_id": sequence}


def annotation(image_id, category):
    return {"id": f"a-{image_id}-{category}", "image_id": image_id, "category_id": category}


def write_part(folder, part, images, annotations):
    (folder / data.IMAGES).mkdir(parents=True, exist_ok=True)
    path = folder / data.ANNOTATIONS / f"{part}_annotations.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def write_places(folder, places):
    """Three sequences of two frames at each place, one of them in cis_val."""
    for part, numbers in (("train", (0, 1)), ("cis_val", (2,))):
        images = [
            image(f"{place}-{number}-{frame}", place, f"{place}-{number}")
            for place in range(places)
            for number in numbers
            for frame in (1, 2)
        ]
        write_part(folder, part, images, [annotation(row["id"], 1 + 2 * (i % 2)) for i, row in enumerate(images)])
    return folder


@needs_shared
def test_the_real_annotation_file_is_read(tmp_path):
    content = json.loads((SHARED / "labels" / "cct20_cis_val.json").read_text())
    write_part(tmp_path, "cis_val", content["images"], content["annotations"])
    table = data.read_part(tmp_path, "cis_val")
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert [names[category] for category in data.CATEGORIES] == list(CCT20.classes)
    assert (len(content["images"]), len(content["annotations"]), len(table)) == (3484, 3582, 2489)
    counts = np.bincount(table["label"], minlength=15).tolist()
    assert counts == [490, 169, 222, 154, 43, 139, 285, 493, 114, 192, 1, 41, 3, 0, 143]
    assert table["annotations"].sum() == 2587
    assert (table["location"].nunique(), table["sequence"].nunique()) == (10, 1017)
    categories = pd.DataFrame(content["annotations"]).groupby("image_id")["category_id"].nunique()
    assert categories.max() == 1, "no image has annotations of two categories, so which one counts changes nothing"


@needs_shared
def test_real_images_are_read_with_the_split_of_the_data_set():
    train, test = CCT20.read_train(SHARED / "cct20"), CCT20.read_test(SHARED / "cct20")
    validates = CCT20.paper_split(train)
    assert (len(train), (~validates).sum(), validates.sum(), len(test)) == (635, 489, 146, 159)
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert sorted({CCT20.classes[label] for label in train["label"]}) == sorted(
        ["squirrel", "bobcat", "skunk", "car", "deer", "fox"]
    )
    assert not set(train["id"]) & set(test["id"])


@needs_shared
def test_the_frames_of_one_real_camera_are_folded_by_sequence():
    train = CCT20.read_train(SHARED / "cct20")
    assert train["group"].nunique() == 115
    folds = grouped_folds(train["label"].to_numpy(), train["group"].to_numpy(), 5, seed=0)
    assert pd.Series(folds).groupby(train["group"]).nunique().max() == 1


def test_rows_are_grouped_by_place_where_there_are_five_and_by_sequence_where_there_are_fewer(tmp_path):
    many = CCT20.read_train(write_places(tmp_path / "many", 5))
    assert sorted(set(many["group"])) == ["0", "1", "2", "3", "4"]
    few = CCT20.read_train(write_places(tmp_path / "few", 4))
    assert few["group"].nunique() == 12
    assert few["group"].tolist() == [id.rpartition("-")[0] for id in few["id"]]


def test_a_sequence_that_names_two_places_is_not_split(tmp_path):
    write_places(tmp_path, 6)
    images = [image("x1", 0, "moved"), image("x2", 5, "moved")]
    write_part(tmp_path, "cis_val", images, [annotation("x1", 1), annotation("x2", 1)])
    train = CCT20.read_train(tmp_path).set_index("id")
    assert train.loc["x1", "group"] == train.loc["x2", "group"] == "0"


def test_empty_and_unannotated_images_are_left_out_and_the_first_category_counts(tmp_path):
    images = [image(name) for name in ("boxes", "empty", "nothing", "mixed", "two")]
    annotations = [
        *(annotation("mixed", 30), annotation("two", 99), annotation("boxes", 34), annotation("empty", 30)),
        *(annotation("boxes", 34), annotation("boxes", 34), annotation("mixed", 16), annotation("two", 1)),
    ]
    write_part(tmp_path, "cis_test", images, annotations)
    table = data.read_part(tmp_path, "cis_test")
    assert table["id"].tolist() == ["boxes", "mixed", "two"]
    assert [CCT20.classes[label] for label in table["label"]] == ["deer", "cat", "rodent"]
    assert table["annotations"].tolist() == [3, 1, 2]
    assert list(CCT20.read_test(tmp_path)) == ["id", "path", "label"]


def test_an_annotation_without_an_image_is_named(tmp_path):
    write_part(tmp_path, "cis_test", [image("here")], [annotation("here", 1), annotation("gone", 1)])
    with pytest.raises(UserError, match=r"cis_test_annotations\.json: annotations name images that are not .*: gone$"):
        CCT20.read_test(tmp_path)


def test_an_unknown_category_is_named_with_its_image(tmp_path):
    write_part(tmp_path, "cis_test", [image("here")], [annotation("here", 2)])
    with pytest.raises(UserError, match=r"unknown category_id 2 of image here; CCT-20 has 1, 3, 5"):
        CCT20.read_test(tmp_path)


def test_images_that_stand_twice_or_lack_a_field_are_named(tmp_path):
    write_part(tmp_path, "cis_test", [image("a"), image("a")], [annotation("a", 1)])
    with pytest.raises(UserError, match=r"cis_test_annotations\.json: 'id' a stands there more than once"):
        CCT20.read_test(tmp_path)
    write_part(tmp_path, "cis_test", [image("a"), {"id": "b", "file_name": "b.jpg", "location": 3}], [])
    with pytest.raises(UserError, match=r"'images' lacks 'seq_id' in entry 1"):
        CCT20.read_test(tmp_path)


def test_an_image_in_train_and_in_cis_val_is_named(tmp_path):
    write_places(tmp_path, 5)
    write_part(tmp_path, "cis_val", [image("0-0-1")], [annotation("0-0-1", 1)])
    with pytest.raises(UserError, match="'id' 0-0-1 stands there more than once"):
        CCT20.read_train(tmp_path)


def test_files_that_are_missing_broken_or_empty_are_one_line_errors(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*cis_test_annotations\.json; the data folder should hold"):
        CCT20.read_test(tmp_path)
    path = write_part(tmp_path, "cis_test", [image("a")], [annotation("a", 30)])
    with pytest.raises(UserError, match=r"no image shows anything but category 30 \(empty\)"):
        CCT20.read_test(tmp_path)
    path.write_text('{"images": [')
    with pytest.raises(UserError, match=r"cannot read .* as JSON.*download it again"):
        CCT20.read_test(tmp_path)
    path.write_text('{"images": {}}')
    with pytest.raises(UserError, match="no list 'images' of objects"):
        CCT20.read_test(tmp_path)


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder, truth = drawn
    train, test = CCT20.read_train(folder), CCT20.read_test(folder)
    assert list(train) == ["id", "path", "label", "group", "part", "annotations"]
    assert set(train["part"]) == {"train", "cis_val"}
    assert all(Path(path).is_file() for path in [*train["path"], *test["path"]])
    assert test[["id", "label"]].equals(truth)
    content = json.loads((folder / data.ANNOTATIONS / "train_annotations.json").read_text())
    assert len({category["id"] for category in content["categories"]}) == 16
    frames = pd.DataFrame(content["images"])
    assert (frames.groupby("seq_id")["id"].size() == frames.groupby("seq_id")["seq_num_frames"].first()).all()
    assert frames.groupby("seq_id")["location"].nunique().max() == 1
    drawn_images = sorted(path.name for path in (folder / data.IMAGES).iterdir())
    files = [json.loads(path.read_text()) for path in (folder / data.ANNOTATIONS).iterdir()]
    assert drawn_images == sorted(image["file_name"] for content in files for image in content["images"])


def test_unseen_places_are_read_where_their_files_are(tmp_path):
    read = CCT20.labelled_parts["trans_test"]
    assert read(tmp_path).empty
    images = [image(f"{place}-{frame}", place, f"s{place}") for place in range(5) for frame in (1, 2)]
    path = write_part(tmp_path, "trans_test", images, [annotation(row["id"], 3) for row in images])
    table = read(tmp_path)
    assert list(table) == ["id", "path", "label", "group"]
    assert set(table["label"]) == {1}
    assert table["group"].nunique() == 5
    path.write_text("{}")
    with pytest.raises(UserError, match=r"trans_test_annotations\.json has no list 'images'"):
        read(tmp_path)


def test_the_sample_data_have_unseen_places(drawn):
    folder, _ = drawn
    places = {}
    for part in ("train", "cis_val", "cis_test", "trans_val", "trans_test"):
        table = data.read_part(folder, part)
        places[part] = set(table["location"])
        assert all(Path(path).is_file() for path in table["path"])
    assert not (places["trans_val"] | places["trans_test"]) & (places["train"] | places["cis_val"] | places["cis_test"])
    assert all(set(read(folder)["id"]) for read in CCT20.labelled_parts.values())


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn, tmp_path):
    folder, truth = drawn
    assert CCT20.make_sample(tmp_path / "again", 3).equals(truth)
    files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert not CCT20.make_sample(tmp_path / "other", 4).equals(truth)


def test_annotation_files_lost_to_an_interruption_are_written_by_the_next_start(drawn):
    folder, truth = drawn
    lost = folder / data.ANNOTATIONS / "cis_val_annotations.json"
    before = lost.read_bytes()
    lost.unlink()
    assert CCT20.make_sample(folder, 3).equals(truth)
    assert lost.read_bytes() == before


def test_one_place_looks_alike_in_all_its_pictures_and_unlike_another(drawn):
    train = CCT20.read_train(drawn[0])
    grey = np.array([cv2.imread(path, cv2.IMREAD_GRAYSCALE).ravel() for path in train["path"]], np.float32)
    alike = np.corrcoef(grey)
    same = train["group"].to_numpy()[:, None] == train["group"].to_numpy()
    apart = ~np.eye(len(train), dtype=bool)
    assert alike[same & apart].mean() > alike[~same].mean() + 0.1


def test_the_drawn_animals_differ_in_size_and_are_seen():
    heights = {}
    for name in ("rodent", "fox", "deer"):
        layer = np.zeros((sample.HEIGHT, sample.WIDTH, 4), np.uint8)
        sample.draw_animal(layer, name, np.array([96.0, 130.0]), 1.0, 1, np.random.default_rng(0))
        heights[name] = cv2.boundingRect(layer[..., 3])[3]
    assert 5 < heights["rodent"] < heights["fox"] < heights["deer"] < sample.HEIGHT


def seen_before(picture: np.ndarray, background: np.ndarray) -> np.ndarray:
    """What differs from the empty place: its extent, shape, place and colour."""
    gain = np.median(picture / np.maximum(background, 1), axis=(0, 1))
    residual = cv2.GaussianBlur(picture - background * gain, (0, 0), 1.5)
    far = np.linalg.norm(residual, axis=2)
    weight = np.where(far > np.quantile(far, 0.9), far, 0)
    y, x = np.mgrid[: far.shape[0], : far.shape[1]]
    mean_y, mean_x = np.average(y, weights=weight), np.average(x, weights=weight)
    spread = np.sqrt([np.average((y - mean_y) ** 2, weights=weight), np.average((x - mean_x) ** 2, weights=weight)])
    color = (residual * weight[..., None]).sum((0, 1)) / weight.sum()
    return np.array([mean_y, *spread, *color, far.std(), *np.quantile(far, [0.9, 0.95, 0.99])])


def test_sample_animals_can_be_learned_in_part_and_not_to_perfection():
    labels = np.arange(300) % 15
    features = []
    for number, label in enumerate(labels):
        category = data.CATEGORIES[label]
        frame = SimpleNamespace(walk=number, frame_num=1, location=33, category_id=category, animals=1, night=False)
        picture = sample.draw_picture(0, frame).astype(np.float32)
        features.append(seen_before(picture, sample.make_place(0, 33).background))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    accuracy = cross_val_score(model, np.array(features), labels, cv=3).mean()
    assert 0.14 < accuracy < 0.8, "chance is 0.07"


def test_the_paper_recipe_is_the_published_protocol():
    paper = CCT20.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (256, 128, 30, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("bgr", True, "horizontal")
    others = [recipe for name, recipe in CCT20.recipes.items() if name != "paper"]
    assert all(recipe.color_order == "rgb" and not recipe.decay_over_learning_rate for recipe in others)
