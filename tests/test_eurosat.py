"""EuroSAT: class folders in RGB or thirteen bands are read, on one scale, and the sample data can be learned."""

import pickle
import struct
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
from common.images import BadImage
from competitions.eurosat import sample
from competitions.eurosat.bands import WHITE, files, read_bands, read_image, to_bytes
from competitions.sources import Source

EUROSAT = competitions.load("eurosat")
REAL = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "eurosat100"
needs_shared = pytest.mark.skipif(not REAL.is_dir(), reason="the real tiles lie beside the repository")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A part of the sample data."""
    monkeypatch.setattr(sample, "TILES", 81)
    folder = tmp_path / "eurosat"
    assert EUROSAT.make_sample(folder, 3).empty, "there is no test set"
    return folder


def write_tiff(path: Path, pixels: np.ndarray, **changed: int) -> Path:
    """An uncompressed TIFF of one strip, little-endian: pixels (H, W, bands) of 16 bits."""
    height, width, bands = pixels.shape
    data = pixels.astype("<u2").tobytes()
    known = {"width": (256, 4, width), "height": (257, 4, height), "compression": (259, 3, 1), "start": (273, 4, 8)}
    known |= {"bands": (277, 3, bands), "length": (279, 4, len(data)), "planes": (284, 3, 1)}
    tags = sorted((tag, kind, changed.get(name, value)) for name, (tag, kind, value) in known.items())
    bits_at = 8 + len(data)
    entries = [(258, 3, bands, bits_at), *((tag, kind, 1, value) for tag, kind, value in tags)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    body = data + struct.pack(f"<{bands}H", *[16] * bands)
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(entries)) + directory + bytes(4)
    )
    return path


def some_bands(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 7000, (20, 30, 13), dtype=np.uint16)


def test_the_sample_data_has_the_layout_of_the_download(drawn):
    folder = drawn
    tiles = sorted((folder / "2750").rglob("*.jpg"))
    assert len(tiles) == 81
    assert all(tile.stem.startswith(tile.parent.name + "_") for tile in tiles)
    assert {tile.parent.name for tile in tiles} == set(EUROSAT.classes)
    assert {cv2.imread(str(tile)).shape for tile in tiles} == {(64, 64, 3)}


def test_a_tile_of_the_sample_data_is_read_in_rgb_or_in_bands(drawn):
    train = EUROSAT.read_train(drawn)
    tile = train["path"][0]
    assert read_image(tile, None, 3).shape == (64, 64, 3)
    assert [file.suffix for file in files(tile)] == [".jpg", ".tif"]

    def red_and_near_infrared(name: str) -> np.ndarray:
        paths = train.loc[train["label"] == EUROSAT.classes.index(name), "path"]
        return np.mean([read_image(path, None, 13)[..., [3, 7]] for path in paths], axis=(0, 1, 2))

    red, near = red_and_near_infrared("Forest")
    assert near > 1.5 * red
    assert red_and_near_infrared("SeaLake")[1] < 0.5 * near


def test_readers_return_tables_with_labels_and_paths_that_exist(drawn):
    folder = drawn
    train = EUROSAT.read_train(folder)
    assert list(train) == ["id", "path", "label"]
    assert np.abs(np.bincount(train["label"]) - 81 * np.array(sample.CLASS_COUNTS) / 27000).max() <= 1
    assert all(Path(path).is_file() for path in train["path"])
    assert train["id"].is_unique


def test_the_same_seed_draws_the_same_data_and_another_seed_other_data(drawn, tmp_path):
    folder = drawn
    EUROSAT.make_sample(tmp_path / "again", 3)
    files = [file.relative_to(folder) for file in folder.rglob("*.jpg")]
    assert all((folder / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    EUROSAT.make_sample(tmp_path / "other", 4)
    other = {file.relative_to(tmp_path / "other") for file in (tmp_path / "other").rglob("*.jpg")}
    assert other != set(files)


def test_the_download_has_no_test_set_and_says_so(drawn):
    raw = Source(EUROSAT, drawn)
    assert not raw.has_test
    with pytest.raises(UserError, match="eurosat has no test set to predict in"):
        raw.test()


def test_class_folders_may_lie_in_the_raw_folder_itself(drawn):
    folder = drawn
    assert EUROSAT.read_train(folder / "2750").equals(EUROSAT.read_train(folder))


def test_an_unknown_class_folder_and_a_file_that_is_no_image_are_named(drawn):
    folder = drawn
    (folder / "2750" / "Forest" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes\.txt is no image"):
        EUROSAT.read_train(folder)
    (folder / "2750" / "Desert").mkdir()
    with pytest.raises(UserError, match="folders of no class: Desert"):
        EUROSAT.read_train(folder)


def test_rows_stand_in_the_order_of_an_image_folder(drawn):
    folder = drawn
    classes = sorted(entry.name for entry in (folder / "2750").iterdir())
    files = [sorted(file.name for file in (folder / "2750" / name).glob("*.jpg")) for name in classes]
    expected = [(label, file) for label, names in enumerate(files) for file in names]
    train = EUROSAT.read_train(folder)
    assert [(label, Path(path).name) for label, path in zip(train["label"], train["path"], strict=True)] == expected


def test_the_paper_split_is_that_of_the_authors_code_and_has_its_counts():
    labels = np.repeat(np.arange(10), sample.CLASS_COUNTS)
    np.random.seed(42)  # noqa: NPY002 (as published)
    expected = [np.random.choice(np.where(labels == c)[0], int(0.2 * n), replace=False)  # noqa: NPY002
                for c, n in enumerate(sample.CLASS_COUNTS)]  # fmt: skip
    validates = EUROSAT.paper_split(pd.DataFrame({"label": labels}))
    assert (validates.sum(), (~validates).sum()) == (5400, 21600)
    assert np.flatnonzero(validates).tolist() == sorted(np.concatenate(expected).tolist())


def test_every_band_has_one_scale_for_all_tiles():
    bands = np.zeros((1, 3, 13), np.uint16)
    bands[0, 1], bands[0, 2] = [white // 2 for white in WHITE.values()], list(WHITE.values())
    assert to_bytes(bands)[0, 1].tolist() == [128] * 13
    assert to_bytes(bands)[0, 2].tolist() == [255] * 13
    assert to_bytes(np.full((1, 1, 13), 65535, np.uint16)).max() == 255
    brighter = to_bytes(bands)[0].astype(int)
    assert (np.diff(brighter, axis=0) > 0).all()


def test_thirteen_bands_are_read_as_they_were_written(tmp_path):
    bands = some_bands()
    path = write_tiff(tmp_path / "Forest_1.tif", bands)
    assert (read_bands(path) == bands).all()
    read = EUROSAT.read_image(str(path), None, 13)
    assert (read.shape, read.dtype) == ((20, 30, 13), np.uint8)
    assert (read == to_bytes(bands)).all()


def test_the_reader_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(EUROSAT.read_image)).args == EUROSAT.read_image.args


def test_another_number_of_channels_than_the_file_has_is_an_error_that_says_what_to_do(drawn, tmp_path):
    path = write_tiff(tmp_path / "Forest_1.tif", some_bands())
    with pytest.raises(UserError, match=r"Forest_1\.tif has 13 bands and not 3 channels: use --channels 13"):
        EUROSAT.read_image(str(path), None, 3)
    tile = EUROSAT.read_train(drawn)["path"][0]
    assert EUROSAT.read_image(tile, 64, 3).shape == (64, 64, 3)
    Path(tile).with_suffix(".tif").unlink()
    with pytest.raises(UserError, match="is RGB and not of 13 channels: use --channels 3"):
        EUROSAT.read_image(tile, None, 13)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"compression": 5}, "is compressed, tiled or in planes"),
        ({"planes": 2}, "is compressed, tiled or in planes"),
        ({"bands": 12}, "has 12 bands of 16 bits, not 13 of 16"),
        ({"length": 100}, "is truncated"),
    ],
)
def test_a_tiff_of_another_kind_is_a_bad_image_with_a_reason(tmp_path, changed, reason):
    path = write_tiff(tmp_path / "Forest_1.tif", some_bands(), **changed)
    with pytest.raises(BadImage, match=reason):
        EUROSAT.read_image(str(path), None, 13)


def test_a_file_that_is_no_tiff_or_broken_off_or_missing_is_a_bad_image(tmp_path):
    path = write_tiff(tmp_path / "Forest_1.tif", some_bands())
    data = path.read_bytes()
    for broken in (b"", b"no tiff at all", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(BadImage, match=r"Forest_1\.tif"):
            EUROSAT.read_image(str(path), None, 13)
    path.unlink()
    with pytest.raises(BadImage, match="no such file"):
        EUROSAT.read_image(str(path), None, 13)


@needs_shared
def test_the_same_real_tiles_are_found_in_rgb_and_in_bands():
    rgb, bands = EUROSAT.read_train(REAL / "rgb"), EUROSAT.read_train(REAL / "bands")
    assert rgb["id"].tolist() == bands["id"].tolist()
    assert rgb["label"].value_counts().tolist() == [10] * 10
    assert EUROSAT.paper_split(rgb).sum() == 20


@needs_shared
def test_red_green_and_blue_of_the_real_bands_are_those_of_the_rgb_rendering():
    rgb, bands = EUROSAT.read_train(REAL / "rgb"), EUROSAT.read_train(REAL / "bands")
    names = list(WHITE)
    red_green_blue = [names.index(name) for name in ("B04", "B03", "B02")]
    for seen, measured in zip(rgb["path"][::17], bands["path"][::17], strict=True):
        seen = EUROSAT.read_image(seen, None, 3).reshape(-1, 3).astype(float)
        measured = EUROSAT.read_image(measured, None, 13).reshape(-1, 13)[:, red_green_blue].astype(float)
        assert all(np.corrcoef(seen[:, c], measured[:, c])[0, 1] > 0.9 for c in range(3) if seen[:, c].std() > 2)


@needs_shared
def test_no_band_of_the_real_tiles_is_crushed_by_its_scale():
    bands = np.stack([read_bands(path) for path in EUROSAT.read_train(REAL / "bands")["path"]])
    assert ((bands > list(WHITE.values())).mean(axis=(0, 1, 2)) < 0.001).all()
    assert (to_bytes(bands.reshape(-1, 64, 13)).std(axis=(0, 1)) > 10).all()


def tile_features(tile: np.ndarray) -> np.ndarray:
    """Means and spreads of the colours, coarse and fine."""
    tile = tile.astype(np.float32)
    fine = tile - cv2.GaussianBlur(tile, (0, 0), 2)
    return np.array([*tile.mean((0, 1)), *tile.std((0, 1)), *fine.std((0, 1)), *np.percentile(tile[..., 2], [2, 98])])


def test_sample_tiles_can_be_told_apart_in_part_and_not_to_perfection():
    labels = np.arange(300) % 10
    features = [tile_features(sample.draw_tile([0, i], label)) for i, label in enumerate(labels)]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    assert 0.5 < (cross_val_predict(model, features, labels, cv=5) == labels).mean() < 0.95


def test_the_paper_recipe_is_the_published_protocol():
    paper = EUROSAT.recipes["paper"]
    assert (paper.input_size, paper.batch_size, paper.epochs, paper.split) == (224, 128, 30, "paper")
    assert (paper.color_order, paper.decay_over_learning_rate, paper.flips) == ("rgb", True, "none")
    assert EUROSAT.recipes["bands"] == EUROSAT.recipes["interventions"].with_fields(channels=13)
