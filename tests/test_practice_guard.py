"""What the practice leaderboard does not let in: other machines, other sites, other types, other names, too much."""

import json
import socket
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from common.kaggle.client import practice_client
from common.kaggle.practice import app, board
from common.kaggle.practice.board import Board
from common.kaggle.practice.calls import services
from common.kaggle.practice.datasets import Datasets
from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.server import running
from tests.practice_world import dataset_folder, notebook, practice_competition, quick_settings

SLUG = "tiny-challenge"
CALLS = "v1/competitions.CompetitionApiService"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def url(world):
    with running([practice_competition(world)], world / "state", quick_settings()) as url:
        yield url


def lives(url: str) -> bool:
    return requests.post(f"{url}/{CALLS}/ListSubmissions", json={"competitionName": SLUG}).status_code == 200


# Who may ask


def test_it_listens_on_the_loopback_address_alone(url):
    port = int(url.rsplit(":", 1)[1])
    listening = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening if address.port == port] == ["127.0.0.1"]
    addresses = [a.address for all in psutil.net_if_addrs().values() for a in all if a.family == socket.AF_INET]
    for address in {*addresses, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            socket.create_connection((address, port), timeout=1)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_a_page_of_another_site_in_the_users_browser_is_refused(url, origin):
    """A form or a script of such a page may send a body of text anywhere, and the browser names the page."""
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    answer = requests.post(f"{url}/{CALLS}/ListSubmissions", data=f'{{"competitionName": "{SLUG}"}}', headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "the practice leaderboard answers no page of another site",
    )
    assert requests.put(f"{url}/uploads/x", data=b"x", headers=headers).status_code == 403
    assert "Access-Control-Allow-Origin" not in requests.options(f"{url}/{CALLS}/x", headers=headers).headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7777", "127.0.0.1.evil.example", ""])
def test_a_name_that_another_site_lets_point_here_is_refused(url, host):
    answer = requests.post(f"{url}/{CALLS}/ListSubmissions", json={"competitionName": SLUG}, headers={"Host": host})
    assert answer.status_code == 400


# What may be asked

NASTY = [
    *("../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000, "é" * 199, "a." + "😀" * 190, "", " ", "..", "\ud800"),
    *(None, -1, 2**70, 1.5, True, [], {}, [["x"]], {"a": 1}, float("nan"), "9" * 5000, "²"),
    *("practice/../x", "practice/my-weights/" + "9" * 5000, "practice/" + "x" * 5000, ["practice/my-weights/x"]),
]
SOUND = {
    **{"competitionName": SLUG, "fileName": "names.json", "contentLength": 5, "type": "DATASET", "name": "x.zip"},
    **{"userName": "practice", "ownerSlug": "practice", "datasetSlug": "my-weights", "kernelSlug": "answers"},
    **{"slug": "practice/answers", "text": notebook("1"), "language": "python", "kernelType": "notebook"},
    **{"title": "A good title", "licenseName": "other", "kernelOwner": "practice"},
}


def methods(folder: Path):
    """(path, request class) of everything that is answered."""
    nothing = Board([], folder)
    known = services(Kernels(nothing, Datasets(nothing.store, quick_settings())))
    return [(f"v1/{service}/{method}", kind) for service in known for method, (kind, _) in known[service].items()]


def test_whatever_stands_in_whatever_field_is_answered_with_a_reason_and_nothing_is_written_elsewhere(
    url, world, tmp_path, say
):
    api = practice_client(url).api
    api.dataset_create_new(str(dataset_folder(tmp_path / "dataset")), quiet=True)
    push = {**SOUND, "competitionDataSources": [SLUG]}
    assert requests.post(f"{url}/v1/kernels.KernelsApiService/SaveKernel", json=push).json()["versionNumber"] == 1
    before, answers = set(world.iterdir()), Counter()
    with requests.Session() as session:
        for path, kind in methods(tmp_path / "nothing"):
            sound = {field.json_name: SOUND[field.json_name] for field in kind._fields if field.json_name in SOUND}
            for body in ({**sound, field.json_name: value} for field in kind._fields for value in NASTY):
                answer = session.post(f"{url}/{path}", data=json.dumps(body), allow_redirects=False)
                assert answer.status_code < 500, (path, body)
                assert answer.status_code < 400 or "\n" not in answer.json()["message"]
                answers[answer.status_code] += 1
    say(f"{answers.total():,} calls with a nasty field: {dict(sorted(answers.items()))}, no 5xx")
    assert set(world.iterdir()) == before
    assert lives(url)


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b'"x"', b"1" * 5000, b"NaN", b"[1]"]
)
def test_a_body_that_is_no_request_is_refused(url, body):
    answer = requests.post(f"{url}/{CALLS}/DownloadDataFile", data=body)
    assert answer.status_code in (400, 404)
    assert "\n" not in answer.json()["message"]


@pytest.mark.parametrize("path", ["data/%2e%2e/x", "data/a%00b/c", "output/x/9999999999999999999999/y", "datasets/x/²"])
def test_an_address_that_was_not_given_leads_nowhere(url, path):
    assert requests.get(f"{url}/{path}?expires=1&signature=é").status_code in (403, 404, 422)
    assert requests.get(f"{url}/data/{'x' * 60_000}").status_code in (400, 403, 404, 431)


# How much


def test_a_call_of_more_than_a_notebook_is_refused_and_memory_does_not_grow(url):
    used = psutil.Process().memory_info().rss

    def endless():
        for _ in range(400):
            yield b" " * 2**20

    with suppress(requests.ConnectionError):  # it may be closed while we send
        answer = requests.post(f"{url}/{CALLS}/ListSubmissions", data=endless())
        assert (answer.status_code, answer.json()["message"]) == (413, f"a call has at most {app.LARGEST_CALL:,} bytes")
    assert psutil.Process().memory_info().rss - used < 4 * app.LARGEST_CALL
    assert lives(url)


def test_an_upload_beyond_what_was_announced_is_cut_off_and_not_kept(url, world):
    started = requests.post(
        f"{url}/{CALLS}/StartSubmissionUpload",
        json={"competitionName": SLUG, "fileName": "s.csv", "contentLength": 1000},
    ).json()

    def endless():
        for _ in range(200):
            yield b"x" * 2**20

    with suppress(requests.ConnectionError):
        assert requests.put(started["createUrl"], data=endless()).status_code == 400
    assert max(file.stat().st_size for file in (world / "state" / "uploads").iterdir()) < 2000
    assert lives(url)


def test_an_upload_larger_than_a_submission_or_than_the_disk_is_refused_when_it_is_announced(url, monkeypatch):
    announced = {"competitionName": SLUG, "fileName": "s.csv", "contentLength": board.LARGEST_UPLOAD + 1}
    answer = requests.post(f"{url}/{CALLS}/StartSubmissionUpload", json=announced)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "a submission has 1 to 104,857,600 bytes, not 104,857,601",
    )
    monkeypatch.setattr("common.kaggle.practice.blobs.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    answer = requests.post(f"{url}/{CALLS}/StartSubmissionUpload", json={**announced, "contentLength": 11})
    assert "does not fit on the server's disk, where 10 are free" in answer.json()["message"]
