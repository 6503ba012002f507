"""The client: which failures pass, how long it waits, what it says, and what it never shows."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import pytest
import requests

from common.errors import UserError
from common.kaggle import client as clients
from common.kaggle import reasons
from common.kaggle.client import Client, practice_client
from common.kaggle.credentials import has_credentials, redact
from common.kaggle.practice.server import running
from tests.commands import print_owner
from tests.forked import Said, finish, start
from tests.practice_world import practice_competition
from tests.scripted_server import Answer, scripted_server

ROOT = Path(__file__).resolve().parents[1]
SLUG = "tiny-challenge"
SECRET = "KGAT_0123456789abcdef"
SIGNED = "upload_id=ABgVH8_secret&X-Goog-Signature=00ff"
PAGE = Answer(body=b"<html>please wait</html>", headers={"Content-Type": "text/html"})


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(reasons, "FIRST_PAUSE", 0.01)


@pytest.fixture
def scripted():
    with scripted_server() as server:
        yield server


def as_kaggle(server) -> Client:
    """The official client with a user's token, on a server that plays Kaggle."""
    api = practice_client(server.url).api
    api.config_values = {"username": "someone", "token": SECRET}
    return Client("kaggle", "https://api.kaggle.com", lambda: api)


def ask(client: Client, what: str = SLUG):
    return client.call(lambda api: api.competition_submissions(SLUG), what)


# What passes


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again(scripted, status):
    scripted.answers += [Answer(status, b"busy", {"Content-Type": "text/html"})] * 3
    assert ask(as_kaggle(scripted)) == []
    assert len(scripted.seen) == 4


def test_a_server_that_stays_in_trouble_is_given_up(scripted):
    scripted.answers += [Answer(503, b"busy", {"Content-Type": "text/html"})] * 50
    with pytest.raises(UserError, match=r"Kaggle is in trouble \(503\)"):
        ask(as_kaggle(scripted))
    assert len(scripted.seen) == clients.ATTEMPTS


@pytest.mark.parametrize(
    "answer", [PAGE, Answer(502, b"<html>"), Answer(body=b""), Answer(body=b'{"submissions": [{"re')]
)
def test_an_answer_that_cannot_be_read_is_asked_for_again(scripted, answer):
    scripted.answers += [answer]
    assert ask(as_kaggle(scripted)) == []
    assert len(scripted.seen) == 2


def test_a_page_that_answers_for_kaggle_every_time_is_named_as_such(scripted):
    scripted.answers += [PAGE] * 50
    with pytest.raises(UserError, match=r"what answers at https://api.kaggle.com is not Kaggle, or it is being mended"):
        ask(as_kaggle(scripted))


def test_a_hung_answer_is_given_up_and_asked_for_again(scripted, monkeypatch):
    monkeypatch.setattr(clients, "READ_TIMEOUT", 0.2)
    scripted.answers += [Answer(delay=1.0)] * 2
    assert ask(as_kaggle(scripted)) == []
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    scripted.answers += [Answer(delay=1.0)] * 2
    with pytest.raises(UserError, match=r"no answer from Kaggle at https://api.kaggle.com \(ReadTimeout\)"):
        ask(as_kaggle(scripted))


def test_retry_after_is_honoured_and_an_endless_wait_is_refused(scripted, monkeypatch):
    pauses = []
    monkeypatch.setattr(clients.time, "sleep", pauses.append)
    date = formatdate(time.time() + 100, usegmt=True)
    scripted.answers += [Answer(429, headers={"Retry-After": "7"}), Answer(429, headers={"Retry-After": date})]
    ask(as_kaggle(scripted))
    assert 7 <= pauses[0] <= 8
    assert 97 <= pauses[1] <= 101
    scripted.answers += [Answer(429, headers={"Retry-After": "86400"})]
    with pytest.raises(UserError, match="slow down"):
        ask(as_kaggle(scripted))
    assert len(pauses) == 2


def test_a_call_is_not_repeated_for_longer_than_its_bound(scripted, monkeypatch):
    monkeypatch.setattr(clients, "LONGEST_CALL", 0.3)
    scripted.answers += [Answer(503, headers={"Retry-After": "0"}, delay=0.2)] * 50
    start = time.monotonic()
    with pytest.raises(UserError, match="in trouble"):
        ask(as_kaggle(scripted))
    assert len(scripted.seen) < clients.ATTEMPTS
    assert time.monotonic() - start < 3


def test_pauses_grow_and_are_jittered(monkeypatch):
    monkeypatch.setattr(reasons, "FIRST_PAUSE", 1.0)
    broken = requests.ConnectionError("reset")
    for attempt in range(1, 6):
        pauses = [reasons.pause(broken, attempt) for _ in range(50)]
        assert 0.5 * 2 ** (attempt - 1) <= min(pauses) < max(pauses) <= 1.5 * 2 ** (attempt - 1)


# What is said


@pytest.mark.parametrize(
    ("what", "status", "says"),
    [
        (SLUG, 400, "Kaggle refuses 'tiny-challenge' (400): the reason"),
        (SLUG, 401, "make a new token at https://www.kaggle.com/settings/api"),
        (SLUG, 403, "accept the rules at https://www.kaggle.com/competitions/tiny-challenge/rules"),
        (SLUG, 403, "verify your phone number at https://www.kaggle.com/settings"),
        (SLUG, 403, "(Kaggle says: the reason)"),
        (SLUG, 404, "Kaggle knows no competition 'tiny-challenge'"),
        ("dataset me/weights", 400, "Kaggle refuses dataset 'me/weights' (400): the reason"),
        ("dataset me/weights", 403, "dataset 'me/weights' (403): it is not yours or not there"),
        ("notebook me/answer", 403, "verify your phone number at https://www.kaggle.com/settings"),
        ("notebook me/answer", 404, "see https://www.kaggle.com/code/me/answer"),
    ],
)
def test_a_refusal_is_one_line_with_the_way_out_and_is_not_repeated(scripted, what, status, says):
    scripted.answers += [Answer(status, b'{"code": %d, "message": "the reason"}' % status)]
    with pytest.raises(UserError) as error:
        ask(as_kaggle(scripted), what)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(scripted.seen) == 1


def test_a_spent_quota_is_told_in_kaggles_words(scripted):
    said = "Maximum weekly GPU quota of 30.00 hours reached."
    scripted.answers += [Answer(400, json.dumps({"code": 400, "message": said}).encode())]
    with pytest.raises(UserError, match=r"Kaggle refuses notebook 'me/answer' \(400\): Maximum weekly GPU quota"):
        ask(as_kaggle(scripted), "notebook me/answer")


def test_a_refusal_that_the_official_client_dresses_up_is_told_plainly(scripted):
    scripted.answers += [Answer(403, b'{"code": 403, "message": "denied"}')] * 2
    with pytest.raises(UserError, match=r"notebook 'me/answer' \(403\): it is not yours or not there"):
        as_kaggle(scripted).call(lambda api: api.kernels_status("me/answer"), "notebook me/answer")


def test_the_owner_is_the_user(scripted):
    assert as_kaggle(scripted).owner == "someone"
    assert practice_client(scripted.url).owner == "practice"
    assert scripted.seen == []


# What the official client does wrong


def dataset(folder: Path) -> Path:
    (folder / "weights").mkdir()
    (folder / "weights" / "weights.bin").write_bytes(bytes(range(256)) * 1000)
    about = {"id": "someone/weights", "title": "weights", "licenses": [{"name": "CC0-1.0"}]}
    (folder / "weights" / "dataset-metadata.json").write_text(json.dumps(about))
    return folder / "weights"


def create(client: Client, folder: Path):
    return client.call(lambda api: api.dataset_create_new(str(folder), quiet=True), "dataset someone/weights")


UNKNOWN = Answer(404, b'{"code": 404, "message": "not found"}')


def test_a_dataset_is_not_made_without_a_file_that_did_not_get_through(scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    started = Answer(body=json.dumps({"token": "t", "createUrl": f"{scripted.url}/o?{SIGNED}"}).encode())
    scripted.answers += [UNKNOWN, started, Answer(404), UNKNOWN, started, Answer(404)]
    with pytest.raises(UserError, match=r"the upload to Kaggle for dataset 'someone/weights' did not get through"):
        create(as_kaggle(scripted), dataset(tmp_path))
    assert scripted.methods() == ["GetDatasetStatus", "StartBlobUpload", "o"] * 2


def test_an_upload_that_breaks_off_goes_on_where_it_stopped(scripted, tmp_path):
    started = Answer(body=json.dumps({"token": "t", "createUrl": f"{scripted.url}/o?{SIGNED}"}).encode())
    some = Answer(308, headers={"Range": "bytes=0-99999"})
    scripted.answers += [UNKNOWN, started, Answer(503), UNKNOWN, some, Answer()]
    folder = dataset(tmp_path)
    create(as_kaggle(scripted), folder)
    assert scripted.methods() == [
        "GetDatasetStatus",
        "StartBlobUpload",
        "o",
        "GetDatasetStatus",
        "o",
        "o",
        "CreateDataset",
    ]
    assert scripted.seen[5].body == (folder / "weights.bin").read_bytes()[100_000:]
    assert json.loads(scripted.seen[-1].body)["files"] == [{"token": "t"}]


def test_addresses_of_uploads_are_kept_where_nobody_else_reads_and_not_for_long(scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    started = Answer(body=json.dumps({"token": "t", "createUrl": f"{scripted.url}/o?{SIGNED}"}).encode())
    folder, client = dataset(tmp_path), as_kaggle(scripted)
    scripted.answers += [UNKNOWN, started, Answer(503)]
    with pytest.raises(UserError, match="did not get through"):
        create(client, folder)
    kept = tmp_path / "home" / ".cache" / "kaggle-uploads"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [SIGNED in file.read_text() for file in kept.iterdir()] == [True]
    scripted.answers += [UNKNOWN, Answer()]
    create(client, folder)
    assert list(kept.iterdir()) == []


def test_trouble_is_not_taken_for_a_dataset_that_is_not_there(scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 2)
    scripted.answers += [Answer(500)] * 2
    with pytest.raises(UserError, match=r"Kaggle is in trouble \(500\)"):
        create(as_kaggle(scripted), dataset(tmp_path))
    assert scripted.methods() == ["GetDatasetStatus"] * 2


def test_a_creation_is_not_repeated_behind_our_back(scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(clients, "ATTEMPTS", 1)
    started = Answer(body=json.dumps({"token": "t", "createUrl": f"{scripted.url}/o"}).encode())
    scripted.answers += [UNKNOWN, started, Answer(), Answer(429), Answer(429)]
    with pytest.raises(UserError, match="slow down"):
        create(as_kaggle(scripted), dataset(tmp_path))
    assert scripted.methods().count("CreateDataset") == 1


def test_a_refused_download_is_not_saved_as_the_file(scripted, tmp_path):
    listed = {"files": [{"fileName": "submission.csv", "url": f"{scripted.url}/submission.csv?{SIGNED}"}], "log": ""}
    scripted.by_method["ListKernelSessionOutput"] = listed
    scripted.answers += [Answer(body=json.dumps(listed).encode()), Answer(403, b"<Error>ExpiredToken</Error>" * 99)]
    as_kaggle(scripted).call(lambda api: api.kernels_output("me/answer", str(tmp_path / "out")), "notebook me/answer")
    assert scripted.methods() == ["ListKernelSessionOutput", "submission.csv"] * 2
    assert (tmp_path / "out" / "submission.csv").read_text() == "{}"


# Credentials

LEGACY = json.dumps({"username": "someone", "key": "0123456789abcdef"})
OAUTH = json.dumps(
    {
        "refresh_token": "refresh",
        "access_token": "KGAT_oauth0123",
        "access_token_expiration": "2999-01-01T00:00:00+00:00",
        "username": "someone",
        "scopes": [],
    }
)
BASIC = "Basic c29tZW9uZTowMTIzNDU2Nzg5YWJjZGVm"
SOURCES = {
    "KAGGLE_API_TOKEN": ({"KAGGLE_API_TOKEN": SECRET}, {}, f"Bearer {SECRET}"),
    "KAGGLE_API_TOKEN, a path": ({"KAGGLE_API_TOKEN": "HOME/secret"}, {"secret": SECRET}, f"Bearer {SECRET}"),
    "access_token": ({}, {".kaggle/access_token": SECRET}, f"Bearer {SECRET}"),
    "access_token.txt": ({}, {".kaggle/access_token.txt": f"{SECRET}\n"}, f"Bearer {SECRET}"),
    "kaggle.json": ({}, {".kaggle/kaggle.json": LEGACY}, BASIC),
    "KAGGLE_CONFIG_DIR": ({"KAGGLE_CONFIG_DIR": "HOME/else"}, {"else/kaggle.json": LEGACY}, BASIC),
    "XDG_CONFIG_HOME": ({"XDG_CONFIG_HOME": "HOME/xdg"}, {"xdg/kaggle/kaggle.json": LEGACY}, BASIC),
    "KAGGLE_USERNAME": ({"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "0123456789abcdef"}, {}, BASIC),
    "credentials.json": ({}, {".kaggle/credentials.json": OAUTH}, "Bearer KGAT_oauth0123"),
}


def from_source(home: Path, variables: dict[str, str], files: dict[str, str], url: str, mode: int = 0o600) -> Said:
    """What a command prints that finds these credentials alone."""
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(mode)
    environment = {name: value.replace("HOME", str(home)) for name, value in variables.items()}
    return finish(start(print_owner, url, folder=home, environment={"HOME": str(home), **environment}), home)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Each source once, in a process of its own: what it printed, and with what it authenticated."""

    def command(source: str):
        variables, files, _ = SOURCES[source]
        with scripted_server() as server:
            server.by_method["IntrospectToken"] = {"active": True, "username": "someone"}
            said = from_source(tmp_path_factory.mktemp("home"), variables, files, server.url)
            return said, {request.method: request.authorization for request in server.seen}

    return {source: command(source) for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES)
def test_every_documented_source_of_credentials_works(source, commands):
    said, authorization = commands[source]
    assert (said.out, said.err) == ("someone True\n", "")
    assert authorization["ListSubmissions"] == SOURCES[source][2]


def test_a_file_that_others_can_read_is_told_with_the_command_that_mends_it(scripted, tmp_path):
    said = from_source(tmp_path, {}, {".kaggle/kaggle.json": LEGACY}, scripted.url, mode=0o644)
    file = tmp_path / ".kaggle" / "kaggle.json"
    assert (said.out, said.err) == (
        "someone True\n",
        f"warning: others can read {file}: run `chmod 600 {file}`\n",
    )


def test_a_path_that_leads_nowhere_is_not_sent_as_a_token(scripted, tmp_path):
    said = from_source(tmp_path, {"KAGGLE_API_TOKEN": "HOME/nothing"}, {}, scripted.url)
    assert said.err.startswith(f"error: KAGGLE_API_TOKEN names {tmp_path}/nothing, which is not there: put")
    assert said.exit_code == 2
    assert scripted.seen == []


def test_a_token_that_the_client_would_take_for_a_file_name_too_long_says_where_to_put_it(scripted, tmp_path):
    said = from_source(tmp_path, {"KAGGLE_API_TOKEN": "e" * 300}, {}, scripted.url)
    assert said.err == (
        "error: KAGGLE_API_TOKEN is too long for the kaggle client: save the token as ~/.kaggle/access_token\n"
    )
    assert scripted.seen == []


@pytest.mark.parametrize("file", ["access_token", "access_token.txt", "kaggle.json", "credentials.json"])
def test_credentials_are_found_in_files(file, tmp_path):
    assert not has_credentials()
    (tmp_path / "home" / ".kaggle").mkdir(parents=True)
    (tmp_path / "home" / ".kaggle" / file).write_text("x")
    assert has_credentials()


def test_credentials_are_found_in_the_environment(monkeypatch):
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    assert not has_credentials()
    monkeypatch.setenv("KAGGLE_KEY", "x")
    assert has_credentials()
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    assert has_credentials()


def test_making_a_client_imports_no_kaggle():
    code = "import sys, common.kaggle.client as c; c.kaggle_client(); print('kaggle' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_importing_the_client_stays_off_the_network_even_with_a_token(tmp_path):
    code = (
        "import socket; from common.kaggle.client import practice_client\n"
        "def refuse(*_): raise SystemExit('asked the network')\n"
        "socket.getaddrinfo = refuse\n"
        "print(practice_client().owner)"
    )
    environment = {**os.environ, "KAGGLE_API_TOKEN": SECRET, "HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (said.stdout, said.stderr) == ("practice\n", "")


def test_the_users_token_is_never_sent_to_the_practice_leaderboard(scripted, monkeypatch, capfd):
    monkeypatch.setenv("KAGGLE_API_TOKEN", SECRET)
    ask(practice_client(scripted.url))
    assert [request.authorization for request in scripted.seen] == ["Bearer none-needed"]
    assert capfd.readouterr() == ("", "")


def test_a_proxy_is_not_asked_for_the_practice_server(tmp_path, monkeypatch):
    with (
        running([practice_competition(tmp_path)], tmp_path / "state") as url,
        socket.create_server(("127.0.0.1", 0)) as nobody,
    ):
        monkeypatch.setenv("no_proxy", "example.org")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert ask(practice_client(url)) == []
    assert os.environ["no_proxy"] == "example.org,127.0.0.1"


# What is never shown


def test_a_token_never_reaches_an_error_or_the_terminal(scripted, capfd, monkeypatch):
    monkeypatch.setenv("VERBOSE", "1")
    scripted.answers += [Answer(400, f'{{"code": 400, "message": "no {SECRET} here"}}'.encode())]
    with pytest.raises(UserError, match=r"no \*\*\* here"):
        ask(as_kaggle(scripted))
    assert scripted.seen[0].authorization == f"Bearer {SECRET}"
    assert SECRET not in "".join(capfd.readouterr())


def test_a_traceback_shows_neither_tokens_nor_signed_addresses(scripted):
    def break_down(_):
        try:
            requests.get(f"http://127.0.0.1:9/o?{SIGNED}")
        except requests.ConnectionError as error:
            raise KeyError(f"Authorization: Bearer {SECRET}") from error

    with pytest.raises(KeyError) as caught:
        as_kaggle(scripted).call(break_down, SLUG)
    shown = "".join(traceback.format_exception(caught.value))
    assert "ConnectionError" in shown
    assert SECRET not in shown
    assert "secret" not in shown
    assert "Signature" not in shown


def test_addresses_stay_readable_without_what_opens_them():
    text = f"GET https://storage.example.com/bucket/file.zip?{SIGNED} failed: url: /upload/o?{SIGNED} (Caused by x)"
    assert (
        redact(text) == "GET https://storage.example.com/bucket/file.zip?*** failed: url: /upload/o?*** (Caused by x)"
    )
    assert redact("Authorization: Basic c29tZW9uZTp4, key hunter2", "hunter2") == "Authorization: Basic ***, key ***"
