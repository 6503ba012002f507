"""Preparing: one cache per (data set, size), whole whatever happens on the way."""

import math
import os
import pickle
import resource
import shutil
import signal
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from common import prepare as module
from common.cache import Cache, concatenate
from common.errors import UserError
from common.images import read_rgb, shrink
from common.prepare import prepare, stored_size


def draw(folder: Path, n: int, height: int = 90, width: int = 120) -> pd.DataFrame:
    """`n` smooth random JPEGs and their table."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(n)
    for i in range(n):
        coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(cv2.resize(coarse, (width + i % 3, height))).save(folder / f"{i:03}.jpg", quality=90)
    paths = sorted(folder.glob("*.jpg"))
    return pd.DataFrame({"id": [path.stem for path in paths], "path": [str(path) for path in paths]})


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    return draw(tmp_path / "images", 20)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "cache"


class Other:
    """Another process prepares `table` at 256; no file of its may grow beyond `limit` bytes."""

    def __init__(self, table: pd.DataFrame, root: Path, format: str = "raw", limit: int = 0) -> None:
        self.process = get_context("fork").Process(target=self.work, args=(table, root, format, limit))
        self.stderr = root.with_name(f"stderr-{id(self)}")
        self.process.start()

    def work(self, table: pd.DataFrame, root: Path, format: str, limit: int) -> None:
        sys.stderr = open(self.stderr, "w", buffering=1)  # noqa: SIM115
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            prepare(table, "set", 256, root, format=format, workers=2)
        except UserError as error:
            sys.exit(f"error: {error}")

    def wait_until_begun(self, root: Path) -> None:
        """Until some images are noted as done."""
        while not any(log.stat().st_size > 500 for log in root.glob("*/done.log")):
            assert self.process.is_alive()
            time.sleep(0.005)

    def children(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def said(self) -> str:
        """All it wrote on standard error, once it has ended."""
        self.process.join()
        return self.stderr.read_text()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("size", [(600, 800), (2848, 4288), (480, 480), (700, 2800)])
def test_no_crop_of_the_paper_is_enlarged(size):
    height, width = stored_size(*size, input_size=256)
    assert min(height, width) >= 1.25 * 256
    area = 0.65 * height * width
    for ratio in (3 / 4, 1, 4 / 3):
        assert min(math.sqrt(area * ratio), math.sqrt(area / ratio)) >= 256
    assert height / width == pytest.approx(size[0] / size[1], rel=0.005)
    assert stored_size(100, 120, input_size=256) == (100, 120)


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_a_cache_holds_every_image_shrunk_in_its_own_shape(table, root, format):
    cache = prepare(table, "set", 32, root, format=format, workers=2)
    assert cache.ids == table["id"].tolist()
    assert len(cache) == 20
    for i, path in enumerate(table["path"]):
        full = read_rgb(path)
        expected = shrink(full, *stored_size(*full.shape[:2], 32))
        assert cache[i].dtype == np.uint8
        assert cache[i].shape == expected.shape
        assert np.abs(cache[i].astype(int) - expected).mean() <= (0 if format == "raw" else 2)
    cache.verify()


def test_a_raw_image_is_a_view_that_cannot_be_written(table, root):
    image = prepare(table, "set", 32, root, workers=1)[3]
    assert not image.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


def test_the_jpeg_format_is_much_smaller(tmp_path, root):
    table = draw(tmp_path / "images", 6, 400, 500)
    raw = prepare(table, "raw", 256, root, format="raw", workers=2).folder
    jpeg = prepare(table, "jpeg", 256, root, format="jpeg", workers=2).folder
    assert (jpeg / "pixels.bin").stat().st_size < (raw / "pixels.bin").stat().st_size / 5


def test_it_works_in_a_process_that_has_used_torch(table, root):
    square = torch.ones(500, 500)
    assert float((square @ square).sum()) == 500**3
    prepare(table, "set", 32, root, workers=2).verify()


def test_the_size_and_the_place_are_said_before_it_starts(table, root, capfd):
    cache = prepare(table, "set", 32, root, workers=1)
    said = capfd.readouterr().err
    assert f"cache: 20 images, 0.1 MB at {cache.folder}\n" in said
    assert cache.folder.name == f"set-32-raw-{cache.fingerprint[:8]}"


def test_a_finished_cache_is_opened_and_not_made_again(table, root, capfd):
    first = prepare(table, "set", 32, root, workers=1)
    capfd.readouterr()
    assert prepare(table, "set", 32, root, workers=1).folder == first.folder
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("change", ["content", "time", "order", "id"])
def test_a_changed_source_gets_a_new_cache_and_the_old_one_stays(table, root, change):
    before = prepare(table, "set", 32, root, workers=1)
    other = prepare(table, "set-more", 32, root, workers=1)
    match change:
        case "content":
            Image.new("RGB", (50, 60)).save(table["path"][0])
        case "time":
            os.utime(table["path"][0], ns=(1, 1))
        case "order":
            table = table[::-1].reset_index(drop=True)
        case "id":
            table.loc[0, "id"] = "renamed"
    after = prepare(table, "set", 32, root, workers=1)
    assert after.fingerprint != before.fingerprint
    assert before.folder.exists(), "another run may be reading it"
    assert other.folder.exists()
    before[0]  # who still reads the old one is not disturbed


def spoil(table: pd.DataFrame) -> list[str]:
    """Make three images bad, each in its own way; returns their paths."""
    paths = [table["path"][i] for i in (2, 5, 11)]
    Path(paths[0]).unlink()
    Path(paths[1]).write_bytes(Path(paths[1]).read_bytes()[:900])
    Path(paths[2]).write_text("this is text")
    return paths


def test_all_bad_images_are_named_at_once(table, root):
    paths = spoil(table)
    with pytest.raises(UserError) as caught:
        prepare(table, "set", 32, root, workers=2)
    assert f"{paths[0]} (no such file)" in str(caught.value)
    assert f"{paths[1]} (image file is truncated" in str(caught.value)
    assert f"{paths[2]} (not an image)" in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert len(next(root.glob("*.bad.txt")).read_text().splitlines()) == 3


def test_the_error_stays_short_and_the_whole_list_goes_to_a_file(table, root):
    for path in table["path"][:14]:
        Path(path).unlink()
    with pytest.raises(UserError, match="and 4 more"):
        prepare(table, "set", 32, root, workers=1)
    assert len(next(root.glob("*.bad.txt")).read_text().splitlines()) == 14


def test_skip_bad_leaves_them_out_and_says_so(table, root):
    paths = spoil(table)
    cache = prepare(table, "set", 32, root, workers=2, skip_bad=True)
    assert [path for _, path, _ in cache.skipped] == paths
    assert cache.ids == [id for i, id in enumerate(table["id"]) if i not in (2, 5, 11)]
    full = read_rgb(table["path"][3])
    assert np.array_equal(cache[2], shrink(full, *stored_size(*full.shape[:2], 32)))
    cache.verify()
    with pytest.raises(UserError, match="3 images cannot be read"):
        prepare(table, "set", 32, root, workers=2)


def test_nothing_but_bad_images_is_an_error_even_when_they_may_be_skipped(table, root):
    for path in table["path"]:
        Path(path).unlink()
    with pytest.raises(UserError, match="20 images cannot be read"):
        prepare(table, "set", 32, root, workers=1, skip_bad=True)


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_a_killed_preparation_goes_on_where_it_was(tmp_path, root, format, capfd):
    table = draw(tmp_path / "images", 96, 500, 700)
    other = Other(table, root, format)
    other.wait_until_begun(root)
    children = other.children()
    other.kill()
    cache = prepare(table, "set", 256, root, format=format, workers=2)
    said = capfd.readouterr().err
    assert "going on: " in said
    assert int(said.split("going on: ")[1].split(" of 96")[0]) >= 10
    assert children
    assert not any(map(is_running, children))
    cache.verify()
    whole = prepare(table, "whole", 256, root, format=format, workers=2)
    assert all(np.array_equal(cache[i], whole[i]) for i in range(96))


def test_rows_that_a_crash_took_from_the_disk_are_made_again(tmp_path, root):
    table = draw(tmp_path / "images", 96, 500, 700)
    other = Other(table, root)
    other.wait_until_begun(root)
    other.kill()
    pixels = next(root.glob("*/pixels.bin"))
    with open(pixels, "r+b") as file:
        file.write(bytes(1000))
    with open(pixels.with_name("done.log"), "ab") as file:
        file.write(b"torn")
    prepare(table, "set", 256, root, workers=2).verify()


def test_a_killed_decoder_is_one_line_and_the_same_call_continues(tmp_path, root):
    table = draw(tmp_path / "images", 96, 500, 700)
    other = Other(table, root)
    other.wait_until_begun(root)
    os.kill(other.children()[0], signal.SIGKILL)
    said = other.said()
    assert other.process.exitcode == 1
    assert said.splitlines()[-1].startswith("error: a process that decoded images")
    prepare(table, "set", 256, root, workers=2).verify()


def test_of_two_processes_one_works_and_the_other_waits(tmp_path, root):
    table = draw(tmp_path / "images", 60, 500, 700)
    others = [Other(table, root, "auto") for _ in range(2)]
    said = "".join(other.said() for other in others)
    assert [other.process.exitcode for other in others] == [0, 0]
    assert said.count("images/s") == 1
    assert said.count("waiting") == 1
    prepare(table, "set", 256, root).verify()


@pytest.mark.parametrize("format", ["raw", "jpeg"])
def test_a_disk_that_fills_up_is_one_line_and_earlier_caches_stay_whole(tmp_path, root, format):
    small = prepare(draw(tmp_path / "small", 10), "small", 32, root, workers=1)
    table = draw(tmp_path / "images", 40, 500, 700)
    other = Other(table, root, format, limit=400_000)
    said = other.said()
    assert other.process.exitcode == 1
    assert said.splitlines()[-1].startswith(f"error: cannot write the cache under {root}: File too large")
    Cache(small.folder).verify()
    prepare(table, "set", 256, root, format=format, workers=2).verify()


class Disk:
    """What `shutil.disk_usage` says of a disk with so many bytes free."""

    def __init__(self, free: int) -> None:
        self.free = free + module.DISK_MARGIN


def test_what_does_not_fit_is_refused_before_it_starts(table, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(1000))
    with pytest.raises(UserError) as caught:
        prepare(table, "set", 32, root, format="raw", workers=1)
    for part in ("needs 0.1 MB", "500.0 MB", "--cache-format jpeg", "--cache DIR", str(root)):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="--cache DIR"):
        prepare(table, "set", 32, root, workers=1)
    assert not list(root.glob("*/"))


def test_auto_takes_jpeg_where_raw_does_not_fit_and_then_stays_with_it(table, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(100_000))
    assert prepare(table, "set", 32, root, workers=1).format == "jpeg"
    monkeypatch.undo()
    assert prepare(table, "set", 32, root, workers=1).format == "jpeg"
    assert prepare(table, "set", 32, root, format="raw", workers=1).format == "raw"


def test_a_folder_that_cannot_be_written_is_named(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=str(tmp_path / "file")):
        prepare(table, "set", 32, tmp_path / "file" / "cache", workers=1)


def test_no_images_is_an_error(table, root):
    with pytest.raises(UserError, match="no images to prepare for 'set'"):
        prepare(table[:0], "set", 32, root)


def test_damage_is_found_by_the_checksums(table, root):
    cache = prepare(table, "set", 32, root, workers=1)
    with open(cache.folder / "pixels.bin", "r+b") as file:
        file.write(bytes([255, 0, 255]))
    with pytest.raises(UserError, match=r"is damaged \(1 of 20 images: 000\)"):
        cache.verify()


def test_a_folder_that_is_no_cache_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} is no complete cache"):
        Cache(tmp_path)


def test_a_cache_survives_pickling(table, root):
    cache = prepare(table, "set", 32, root, workers=1)
    again = pickle.loads(pickle.dumps(cache))
    assert again.ids == cache.ids
    assert np.array_equal(again[7], cache[7])


def test_caches_are_concatenated_in_order(table, tmp_path, root):
    train = prepare(table, "train", 32, root, workers=1)
    external = prepare(draw(tmp_path / "external", 7), "external", 32, root, workers=1)
    both = concatenate([train, external])
    assert len(both) == 27
    assert both.ids == train.ids + external.ids
    assert np.array_equal(both[19], train[19])
    assert np.array_equal(both[20], external[0])
    assert np.array_equal(both[26], external[6])
    with pytest.raises(IndexError):
        both[27]
    assert both.fingerprint != train.fingerprint
    assert concatenate([train]) is train
