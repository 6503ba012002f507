"""The practice leaderboard, spoken to over HTTP by the official client, which does not know that it is not Kaggle."""

import socket
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

from common.errors import UserError
from common.kaggle.client import practice_client
from common.kaggle.practice import board
from common.kaggle.practice.addresses import sign
from common.kaggle.practice.competition import public_part
from common.kaggle.practice.server import running, serve
from common.kaggle.practice.store import Store
from tests.practice_world import IDS, LABELS, practice_competition, submission

SLUG = "tiny-challenge"


@pytest.fixture
def practice(tmp_path: Path):
    return practice_competition(tmp_path)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def url(practice, state):
    with running([practice], state) as url:
        yield url


@pytest.fixture
def api(url):
    return practice_client(url).api


def settled(api, ref: int):
    """The listed submission once it is scored."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = next(listed for listed in api.competition_submissions(SLUG) if listed.ref == ref)
        if found.status.name != "PENDING":
            return found
        time.sleep(0.02)
    raise AssertionError("never scored")


def test_a_client_that_dies_in_the_middle_of_a_call_is_no_error_of_the_server(practice, state, capfd):
    call = "POST /v1/competitions.CompetitionApiService/ListSubmissions HTTP/1.1"
    address = lambda url: ("127.0.0.1", int(url.rpartition(":")[2]))  # noqa: E731
    with running([practice], state) as url, socket.create_connection(address(url)) as connection:
        connection.sendall(f"{call}\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf".encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert capfd.readouterr().err == ""


def test_a_submission_is_scored_on_its_public_and_private_part(api, tmp_path):
    labels = LABELS.copy()
    public = public_part(pd.Index(IDS))
    labels[np.flatnonzero(~public)[:7]] = 2 - labels[np.flatnonzero(~public)[:7]] // 2 * 2
    answer = api.competition_submit(str(submission(tmp_path / "s.csv", labels)), "first try", SLUG, quiet=True)
    assert answer.message == "Successfully submitted to Tiny"
    listed = settled(api, answer.ref)
    assert (listed.status.name, listed.description, listed.file_name) == ("COMPLETE", "first try", "s.csv")
    assert float(listed.public_score) == 1.0
    assert float(listed.private_score) == pytest.approx((labels == LABELS)[~public].mean(), abs=1e-5)


def test_three_tenths_of_the_rows_are_public_whatever_their_order():
    ids = pd.Index([f"id{number}" for number in range(1000)])
    shuffled = ids[np.random.default_rng(0).permutation(len(ids))]
    assert public_part(ids).sum() == 300
    assert set(ids[public_part(ids)]) == set(shuffled[public_part(shuffled)])


def test_a_malformed_submission_ends_in_error_with_its_reason_and_the_server_goes_on(api, tmp_path):
    bad = tmp_path / "mine.csv"
    bad.write_text("id,label\n000,7\n")
    failed = settled(api, api.competition_submit(str(bad), "", SLUG, quiet=True).ref)
    assert failed.status.name == "ERROR"
    assert failed.error_description.startswith("mine.csv misses ids of the sample submission: 001")
    bad.write_bytes(b"\x00\xff\xfe" * 50)
    assert settled(api, api.competition_submit(str(bad), "", SLUG, quiet=True).ref).status.name == "ERROR"
    good = api.competition_submit(str(submission(tmp_path / "s.csv")), "", SLUG, quiet=True)
    assert settled(api, good.ref).status.name == "COMPLETE"


def test_the_sixth_submission_of_a_day_is_refused_and_the_next_day_takes_it(api, state, tmp_path):
    csv = str(submission(tmp_path / "s.csv"))
    for _ in range(board.DAY_LIMIT):
        last = settled(api, api.competition_submit(csv, "", SLUG, quiet=True).ref)
    limits = api.competition_get_submission_limits(SLUG)
    assert (limits.num_today, limits.num_total, limits.num_allowed_now) == (5, 5, 0)
    with pytest.raises(requests.HTTPError, match="today's 5 submissions to 'tiny-challenge' are spent") as refused:
        api.competition_submit(csv, "", SLUG, quiet=True)
    assert refused.value.response.status_code == 400
    with Store(state).database.transaction() as connection:
        connection.execute("UPDATE submissions SET created = '2020-01-01T12:00:00.000'")
    assert api.competition_get_submission_limits(SLUG).num_allowed_now == 5
    assert api.competition_submit(csv, "", SLUG, quiet=True).ref == last.ref + 1


def test_a_refused_file_does_not_cost_a_submission(api, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("nothing\n")
    settled(api, api.competition_submit(str(bad), "", SLUG, quiet=True).ref)
    assert api.competition_get_submission_limits(SLUG).num_allowed_now == 5


def started(api, size: int, name: str = "s.csv", slug: str = SLUG):
    request = ApiStartSubmissionUploadRequest()
    request.competition_name, request.file_name, request.content_length = slug, name, size
    with api.build_kaggle_client() as kaggle:
        return kaggle.competitions.competition_api_client.start_submission_upload(request)


def test_an_upload_that_broke_off_is_resumed_by_the_client(api, tmp_path):
    csv = submission(tmp_path / "s.csv")
    content = csv.read_bytes()
    upload = started(api, len(content))
    asked = requests.put(upload.create_url, headers={"Content-Range": f"bytes */{len(content)}"})
    assert (asked.status_code, asked.headers.get("Range")) == (308, None)
    first = {"Content-Range": f"bytes 0-99/{len(content)}"}
    part = requests.put(upload.create_url, data=content[:100], headers=first)
    assert (part.status_code, part.headers["Range"]) == (308, "bytes=0-99")
    assert api.upload_complete(str(csv), upload.create_url, quiet=True, resume=True) == 1  # COMPLETE
    again = requests.put(upload.create_url, headers={"Content-Range": f"bytes */{len(content)}"})
    assert again.status_code == 200


def test_a_connection_that_breaks_in_the_middle_leaves_what_has_come(api, state, url):
    upload = started(api, 1000)
    host, port = url.removeprefix("http://").split(":")
    path = upload.create_url.removeprefix(url)
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 300)
        time.sleep(0.3)
    time.sleep(0.2)
    asked = requests.put(upload.create_url, headers={"Content-Range": "bytes */1000"})
    assert (asked.status_code, asked.headers["Range"]) == (308, "bytes=0-299")


def test_a_range_that_does_not_fit_the_upload_is_refused(api):
    wrong = [("bytes 0-9/11", b"0123456789"), ("bytes 5-9/10", b"01234"), ("chunks 1", b""), (None, b"01234567890")]
    for header, body in wrong:
        upload = started(api, 10)
        answer = requests.put(upload.create_url, data=body, headers={"Content-Range": header} if header else {})
        assert answer.status_code == answer.json()["code"] == 400


def test_a_submission_with_a_path_for_a_name_is_refused(api):
    for name in ("../s.csv", "a/b.csv", "", ".hidden", "x" * 201):
        with pytest.raises(requests.HTTPError, match="plain name"):
            started(api, 10, name=name)


def test_too_large_an_upload_and_an_unknown_competition_are_refused(api):
    with pytest.raises(requests.HTTPError, match="1 to 104,857,600 bytes"):
        started(api, board.LARGEST_UPLOAD + 1)
    with pytest.raises(requests.HTTPError, match="no competition 'elsewhere' here; there are tiny-challenge"):
        started(api, 10, slug="elsewhere")


def test_requests_that_are_no_requests_are_answered_with_their_reason(url):
    service = f"{url}/v1/competitions.CompetitionApiService"
    assert requests.post(f"{service}/DropTables", json={}).status_code == 404
    for body in (b"{", b"[1]", b'{"sortBy": "NONSENSE", "competitionName": 3}'):
        answer = requests.post(f"{service}/ListSubmissions", data=body)
        assert answer.status_code in (400, 404)
        assert answer.json()["message"]
    assert requests.put(f"{url}/uploads/nonsense", data=b"x").status_code == 404
    assert requests.get(f"{url}/", headers={"Host": "elsewhere.example"}).status_code == 400


def test_scores_survive_a_restart_and_what_was_pending_is_scored_then(practice, state, tmp_path):
    csv = str(submission(tmp_path / "s.csv"))
    with running([practice], state) as url:
        api = practice_client(url).api
        ref = api.competition_submit(csv, "kept", SLUG, quiet=True).ref
        settled(api, ref)
    Store(state).finish(ref, "PENDING")
    with running([practice], state) as url:
        listed = settled(practice_client(url).api, ref)
    assert (listed.description, listed.status.name, float(listed.public_score)) == ("kept", "COMPLETE", 1.0)


def test_a_download_that_broke_off_goes_on_from_there(url, practice, tmp_path):
    api = practice_client(url).api
    whole, part = tmp_path / "whole", tmp_path / "part"
    api.competition_download_files(SLUG, path=str(whole), quiet=True)
    complete = (whole / f"{SLUG}.zip").read_bytes()
    served = requests.post(
        f"{url}/v1/competitions.CompetitionApiService/DownloadDataFiles", json={"competitionName": SLUG}, stream=True
    )
    part.mkdir()
    archive = part / f"{SLUG}.zip"
    archive.write_bytes(complete[:5000])
    api._write_resume_marker(str(archive), served.headers["ETag"], len(complete))
    api.competition_download_files(SLUG, path=str(part), quiet=True)
    assert archive.read_bytes() == complete
    rest = requests.get(served.url, headers={"Range": "bytes=5000-", "If-Range": served.headers["ETag"]})
    assert (rest.status_code, rest.content) == (206, complete[5000:])


def test_single_files_are_listed_and_downloaded(api, practice, tmp_path):
    page = api.competition_list_files(SLUG, page_size=2)
    rest = api.competition_list_files(SLUG, page_token=page.next_page_token, page_size=2)
    names = [file.name for file in page.files + rest.files]
    assert names == ["names.json", "sample_submission.csv", "train_images/x 1.png"]
    assert rest.next_page_token == ""
    for name in names[:2]:
        api.competition_download_file(SLUG, name, path=str(tmp_path / "one"), quiet=True)
        assert (tmp_path / "one" / name).read_bytes() == (practice.raw / name).read_bytes()


def test_the_solution_cannot_be_downloaded_and_addresses_cannot_be_made_up(api, url, state):
    for name in ("solution.csv", "train_images/../solution.csv", "../state/practice.sqlite", "/etc/passwd"):
        with pytest.raises(requests.HTTPError, match="no file"):
            api.competition_download_file(SLUG, name, quiet=True)
    assert requests.get(f"{url}/data/{SLUG}.zip").status_code == 403
    assert requests.get(f"{url}/data/{SLUG}/names.json?expires=99999999999&signature=00").status_code == 403
    signed = url + sign(f"/data/{SLUG}/names.json", Store(state).secret())
    assert requests.get(signed).status_code == 200
    assert requests.get(signed.replace("names.json", "solution.csv")).status_code == 403
    assert requests.get(signed.replace("expires=", "expires=1")).status_code == 403


def test_a_taken_port_is_one_line_that_says_how_to_choose_another(practice, state):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} .*`PORT=…`"):
            serve([practice], state, port)


def test_a_solution_of_other_ids_is_named_when_it_is_needed(practice, api, tmp_path):
    practice.solution.write_text("id,label\nzzz,0\n")
    failed = settled(api, api.competition_submit(str(submission(tmp_path / "s.csv")), "", SLUG, quiet=True).ref)
    assert "differ in the ids" in failed.error_description
