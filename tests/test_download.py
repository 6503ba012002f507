"""Downloads by the official client over HTTP: what has come stays, what is wrong is one line, nothing is trusted."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.archive import unpack
from common.errors import UserError
from common.kaggle import reasons
from common.kaggle.client import practice_client
from common.kaggle.download import DONE, download
from common.kaggle.practice.server import running
from tests.practice_world import practice_competition, quick_settings
from tests.warehouse import Warehouse, serving, zipped

SOURCE = "competitions/tiny-challenge"
NOISE = os.urandom(3_000_000)
IMAGE = NOISE[:1000]


WHOLE = zipped({"train.csv": b"id,label\n", "train/a.png": NOISE})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(reasons, "FIRST_PAUSE", 0.01)


@pytest.fixture
def warehouse():
    warehouse = Warehouse(WHOLE)
    with serving(warehouse):
        yield warehouse


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data"


def fetch(warehouse: Warehouse, folder: Path, source: str = SOURCE) -> None:
    download(source, folder, practice_client(warehouse.url))


def check_all_there(folder: Path) -> None:
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == [DONE, "train.csv", "train/a.png"]
    assert (folder / "train/a.png").read_bytes() == NOISE


def test_the_practice_leaderboard_gives_its_data_without_the_solution(tmp_path, capsys):
    practice = practice_competition(tmp_path)
    with running([practice], tmp_path / "state") as url:
        folder = download(SOURCE, tmp_path / "data", practice_client(url))
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == [DONE, "names.json", "sample_submission.csv", "train_images/x 1.png"]
    image = "train_images/x 1.png"
    assert (folder / image).read_bytes() == (practice.raw / image).read_bytes()
    (folder / image).unlink()
    download(SOURCE, folder, practice_client("http://127.0.0.1:9"))
    assert capsys.readouterr().out.startswith("practice: 'tiny-challenge' is already in")


def test_the_practice_leaderboard_gives_a_dataset_that_was_uploaded_to_it(tmp_path):
    made = tmp_path / "made"
    (made / "images").mkdir(parents=True)
    (made / "images" / "a.png").write_bytes(NOISE)
    (made / "train.csv").write_text("id,label\n")
    about = {"title": "Some images", "id": "practice/some-images", "licenses": [{"name": "CC0-1.0"}]}
    (made / "dataset-metadata.json").write_text(json.dumps(about))
    with running([], tmp_path / "state", settings=quick_settings()) as url:
        api = practice_client(url).api
        api.dataset_create_new(str(made), quiet=True, dir_mode="zip")
        while api.dataset_status("practice/some-images") != "ready":
            time.sleep(0.05)
        folder = download("datasets/practice/some-images", tmp_path / "data", practice_client(url))
        with pytest.raises(UserError, match=r"refuses dataset 'practice/no-such-images' \(404\)"):
            download("datasets/practice/no-such-images", tmp_path / "none", practice_client(url))
    assert (folder / "train.csv").read_text() == "id,label\n"
    assert (folder / "images" / "a.png").read_bytes() == NOISE


def test_a_dataset_is_asked_for_by_owner_and_name(warehouse, folder):
    fetch(warehouse, folder, "datasets/cdeotte/jpeg-melanoma-512x512")
    check_all_there(folder)
    [(path, asked)] = warehouse.calls
    assert path.endswith("/DownloadDataset")
    assert (asked["ownerSlug"], asked["datasetSlug"]) == ("cdeotte", "jpeg-melanoma-512x512")


def test_a_killed_download_goes_on_from_its_bytes_and_asks_for_no_others(warehouse, folder):
    warehouse.seconds_a_piece = 0.05
    program = (
        "import pathlib, sys; from common.kaggle.client import practice_client; from common.kaggle.download import "
        "download; download(sys.argv[1], pathlib.Path(sys.argv[2]), practice_client(sys.argv[3]))"
    )
    words = [sys.executable, "-c", program, SOURCE, str(folder), warehouse.url]
    process = subprocess.Popen(words, cwd=Path(__file__).parents[1])
    archive = folder / "tiny-challenge.download.zip"
    deadline = time.monotonic() + 60
    while not archive.is_file() or archive.stat().st_size < 300_000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = archive.stat().st_size
    assert 300_000 <= there < len(WHOLE)
    warehouse.seconds_a_piece = 0
    fetch(warehouse, folder)
    assert warehouse.ranges == [f"bytes={there}-"]
    check_all_there(folder)


def test_after_a_broken_connection_another_address_is_asked_for_at_once(warehouse, folder):
    warehouse.faults = {0: ("break", 1_000_000), 2: ("break", 500_000)}
    fetch(warehouse, folder)
    check_all_there(folder)
    assert len(warehouse.calls) == 3  # an address is good for one call, so each needed its own
    first, second = (int(asked.removeprefix("bytes=").removesuffix("-")) for asked in warehouse.ranges)
    assert 900_000 < first <= 1_000_000
    assert first + 400_000 < second <= first + 500_000


@pytest.mark.parametrize("get", [1, 2])
def test_an_address_that_has_expired_is_asked_for_again_and_costs_no_bytes(warehouse, folder, get):
    """The second is asked for the whole, the third for the rest."""
    warehouse.faults = {0: ("break", 1_000_000), get: ("status", 403)}
    fetch(warehouse, folder)
    check_all_there(folder)
    assert len(warehouse.calls) == 3
    assert int(warehouse.ranges[-1].removeprefix("bytes=").removesuffix("-")) > 900_000


def test_a_server_in_trouble_costs_no_bytes_and_the_next_start_goes_on(warehouse, folder):
    warehouse.faults = {0: ("break", 1_000_000)} | dict.fromkeys(range(1, 12), ("status", 503))
    with pytest.raises(UserError, match=r"is in trouble \(503\): run the same command again later"):
        fetch(warehouse, folder)
    there = (folder / "tiny-challenge.download.zip").stat().st_size
    assert there > 900_000
    warehouse.faults = {}
    fetch(warehouse, folder)
    assert warehouse.ranges[-1] == f"bytes={there}-"
    check_all_there(folder)


def test_bytes_of_another_object_are_thrown_away(warehouse, folder):
    warehouse.faults = {0: ("break", 1_000_000)} | dict.fromkeys(range(1, 12), ("status", 503))
    with pytest.raises(UserError, match="503"):
        fetch(warehouse, folder)
    warehouse.faults, warehouse.content = {}, zipped({"train.csv": b"id,label\n", "train/a.png": NOISE[::-1]})
    assert len(warehouse.content) == len(WHOLE)
    fetch(warehouse, folder)
    assert (folder / "train/a.png").read_bytes() == NOISE[::-1]


def test_an_archive_that_is_whole_is_not_fetched_again(warehouse, folder):
    folder.mkdir()
    (folder / "tiny-challenge.download.zip").write_bytes(WHOLE)
    fetch(warehouse, folder)
    assert warehouse.calls == []
    check_all_there(folder)


def test_an_archive_with_a_wrong_byte_is_told_and_what_is_wrong_gets_no_name(warehouse, folder):
    warehouse.content = WHOLE[:1_000_000] + bytes([WHOLE[1_000_000] ^ 1]) + WHOLE[1_000_001:]
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"tiny-challenge\.download\.zip is broken .*train/a\.png.*: delete it and download"
        ):
            fetch(warehouse, folder)
        assert not (folder / "train/a.png").exists()
        assert not (folder / DONE).exists()
    assert len(warehouse.calls) == 1
    warehouse.content = WHOLE
    (folder / "tiny-challenge.download.zip").unlink()
    fetch(warehouse, folder)
    check_all_there(folder)


def test_a_web_page_is_not_taken_for_an_archive_and_costs_no_bytes(warehouse, folder):
    warehouse.faults = {0: ("break", 1_000_000), 1: ("type", "text/html; charset=utf-8")}
    with pytest.raises(
        UserError, match=r"a web page came in place of the archive; look at https://www.kaggle.com/comp"
    ):
        fetch(warehouse, folder)
    assert (folder / "tiny-challenge.download.zip").stat().st_size > 900_000
    warehouse.faults = {}
    fetch(warehouse, folder)
    check_all_there(folder)


def test_what_is_no_archive_is_not_kept(warehouse, folder):
    warehouse.content = b"<html>Sign in</html>" * 100
    with pytest.raises(UserError, match="what came is no zip archive"):
        fetch(warehouse, folder)
    assert list(folder.iterdir()) == []


@contextmanager
def largest_file(size: int):
    """As on a full disk: no file may grow beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(warehouse, folder):
    with largest_file(1_000_000), pytest.raises(UserError, match=r"cannot write to .*free some space.*goes on"):
        fetch(warehouse, folder)
    there = (folder / "tiny-challenge.download.zip").stat().st_size
    assert 900_000 < there <= 1_000_000
    fetch(warehouse, folder)
    assert warehouse.ranges == [f"bytes={there}-"]
    check_all_there(folder)


def test_a_disk_that_fills_up_while_it_is_unpacked_leaves_no_half_a_file(warehouse, folder):
    folder.mkdir()
    (folder / "tiny-challenge.download.zip").write_bytes(WHOLE)
    with largest_file(1_000_000), pytest.raises(UserError, match=r"cannot write to .*the same command goes on"):
        fetch(warehouse, folder)
    assert [path.name for path in (folder / "train").iterdir()] == []
    fetch(warehouse, folder)
    assert warehouse.calls == []
    check_all_there(folder)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(warehouse, folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 4 * 1024**2}))
    with pytest.raises(UserError, match=r"'?tiny-challenge'? needs 6 MB in .*, where 4 MB are free"):
        fetch(warehouse, folder)
    assert list(folder.iterdir()) == []


def test_two_downloads_into_one_folder_do_not_mix(warehouse, folder):
    fetch(warehouse, folder)
    with pytest.raises(UserError, match="holds 'tiny-challenge' from practice: choose another with --data"):
        fetch(warehouse, folder, "competitions/other")
    opened = os.open(folder, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    with pytest.raises(UserError, match=r"another download into .* is under way"):
        fetch(warehouse, folder)
    os.close(opened)


def test_archives_in_the_archive_are_unpacked_whole_or_in_volumes_and_deleted(warehouse, folder):
    train = zipped({"train/a.png": IMAGE, "train/b.png": IMAGE[::-1]})
    warehouse.content = zipped(
        {
            "train.zip.001": train[:700],
            "train.zip.002": train[700:1500],
            "train.zip.003": train[1500:],
            "test.zip": zipped({"c.png": IMAGE}),
            "labels.csv.zip": zipped({"labels.csv": b"id\n"}, zipfile.ZIP_DEFLATED),
            "deeper/kept.zip": b"not looked at",
            "tiny-challenge.zip": zipped({"d.png": IMAGE}),
        }
    )
    fetch(warehouse, folder)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == [
        DONE,
        "deeper/kept.zip",
        "labels.csv",
        "test/c.png",
        "tiny-challenge/d.png",
        "train/a.png",
        "train/b.png",
    ]
    assert (folder / "train/b.png").read_bytes() == IMAGE[::-1]
    fetch(warehouse, folder)
    assert len(warehouse.calls) == 1


def test_what_broke_off_between_archives_in_the_archive_goes_on_there(warehouse, folder):
    warehouse.content = zipped({"a.zip": zipped({"1.png": IMAGE}), "b.zip": zipped({"2.png": IMAGE})[:-9]})
    with pytest.raises(UserError, match=r"b\.zip is broken"):
        fetch(warehouse, folder)
    assert (folder / "a/1.png").read_bytes() == IMAGE
    assert json.loads((folder / DONE).read_text())["inner"] == ["a.zip", "b.zip"]
    (folder / "b.zip").write_bytes(zipped({"2.png": IMAGE}))
    fetch(warehouse, folder)
    assert (folder / "b/2.png").read_bytes() == IMAGE
    assert len(warehouse.calls) == 1


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "..\\outside.txt", "."])
def test_an_archive_that_would_write_outside_the_folder_is_refused_whole(tmp_path, name):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"good.txt": b"good", name: b"evil"}))
    with pytest.raises(UserError, match="would lie outside the folder; nothing is unpacked"):
        unpack(archive, tmp_path / "in" / "here")
    assert not (tmp_path / "in").exists()
    assert not (tmp_path / "outside.txt").exists()


def test_links_bombs_and_broken_archives_are_refused(tmp_path, monkeypatch):
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as target:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        target.writestr(link, "/etc")
    with pytest.raises(UserError, match="'link' is a link"):
        unpack(archive, tmp_path / "here")
    monkeypatch.setattr("common.archive.BOMB_SIZE", 1_000_000)
    archive.write_bytes(zipped({"zeros": bytes(2_000_000)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match=r"is not safe: 0\.0 MB would become 2 MB; nothing is unpacked"):
        unpack(archive, tmp_path / "here")
    archive.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="is broken"):
        unpack(archive, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_missing_volume_is_named(warehouse, folder):
    whole = zipped({"train/a.png": IMAGE})
    warehouse.content = zipped({"train.zip.001": whole[:500], "train.zip.003": whole[500:]})
    with pytest.raises(UserError, match=r"there is no .*train\.zip\.002, and there is train\.zip\.003"):
        fetch(warehouse, folder)
