"""Notebooks that take all they can: each ends as an error with its reason, and the server runs the next."""

import json
from pathlib import Path

import psutil
import pytest

from common.kaggle.client import practice_client
from common.kaggle.practice import session
from common.kaggle.practice.limits import Limits
from common.kaggle.practice.sandbox import OWN_PROCESSES, can_isolate
from common.kaggle.practice.server import running
from tests.practice_world import notebook, practice_competition, quick_settings, until

REF = "practice/answers"
LIMITS = Limits(memory=300 * 2**20, processes=60, disk=20 * 2**20)
BEYOND = 2**31
"""Bytes at which a notebook of these tests stops by itself, should nobody stop it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def api(world):
    with running([practice_competition(world, "notebook")], world / "state", quick_settings(limits=LIMITS)) as url:
        yield practice_client(url).api


@pytest.fixture
def outcome(api, tmp_path, world):
    """How a notebook of one cell ends; the one after it ends well, and no process of it is left."""

    def run(cell: str, seconds: int = 30) -> str:
        failure = pushed(api, tmp_path, cell, seconds)
        assert pushed(api, tmp_path, "open('fine', 'w')", seconds) == ""
        state = str(world / "state" / "sessions")
        left = [p for p in psutil.process_iter(["cwd", "status"]) if (p.info["cwd"] or "").startswith(state)]
        assert [p for p in left if p.info["status"] != psutil.STATUS_ZOMBIE] == []
        return failure

    return run


def pushed(api, folder: Path, cell: str, seconds: int) -> str:
    about = {"id": REF, "title": "Answers", "code_file": "code", "language": "python", "kernel_type": "notebook"}
    (folder / "kernel-metadata.json").write_text(json.dumps({**about, "enable_internet": False}))
    (folder / "code").write_text(notebook(cell))
    api.kernels_push(str(folder), seconds)
    status = until(lambda: (now := api.kernels_status(REF)).status.name in ("COMPLETE", "ERROR") and now)
    assert (status.status.name == "ERROR") == bool(status.failure_message)
    return status.failure_message or ""


def test_one_that_takes_memory_bit_by_bit_is_ended(outcome):
    cell = f"import time\nhog = [b'x' * 2**24 for _ in range({BEYOND} // 2**24)]\ntime.sleep(3600)"
    assert outcome(cell) == "Notebook Exceeded Limits: it took more than 0.293 GB of memory"


def test_one_that_takes_memory_in_many_processes_is_ended(outcome):
    cell = "import os, time\nos.fork(); os.fork(); os.fork(); hog = b'x' * (60 * 2**20)\ntime.sleep(3600)"
    assert outcome(cell) == "Notebook Exceeded Limits: it took more than 0.293 GB of memory"


def test_memory_that_processes_share_counts_once(outcome):
    cell = "import os, time\nhog = b'x' * (80 * 2**20)\nchild = [os.fork() for _ in range(3)]\ntime.sleep(1.5)"
    assert outcome(cell + "\nall(child) or os._exit(0)") == ""


def test_one_that_takes_a_hundred_gigabytes_at_once_is_ended(outcome):
    assert outcome("hog = b'x' * (100 * 2**30)").startswith(
        ("Notebook Threw Exception: MemoryError", "Notebook Exceeded Limits: it took more than 0.293 GB of memory")
    )


@pytest.mark.parametrize(
    "bomb",
    [
        "for _ in range(500):\n    os.fork() or (os.setsid(), os.fork(), time.sleep(3600))",  # leaves its family
        "for _ in range(8):\n    os.fork()",
    ],
)
def test_one_that_forks_without_end_is_ended_with_all_that_it_started(outcome, bomb):
    assert outcome(f"import os, time\n{bomb}\ntime.sleep(3600)") == (
        "Notebook Exceeded Limits: it started more than 60 processes"
    )


@pytest.mark.parametrize("where", ["/kaggle/working", "~", "$TMPDIR"])
def test_one_that_fills_the_disk_is_ended(outcome, where):
    cell = f"""
import os, time
folder = os.path.expanduser(os.path.expandvars("{where}"))
for number in range({BEYOND} // 2**22):
    open(f"{{folder}}/{{number}}", "wb").write(b"x" * 2**22)
    time.sleep(0.01)
time.sleep(3600)
"""
    assert outcome(cell) == "Notebook Exceeded Limits: it wrote more than 0.0195 GB"


def test_one_that_never_ends_is_ended(outcome):
    assert outcome("while True: pass", seconds=1) == "Notebook Timeout: it ran longer than 1 s"


@pytest.mark.skipif(not can_isolate(), reason="`unshare` does not work here")
def test_one_that_opens_a_socket_reaches_nothing_not_even_this_machine(outcome, api):
    port = api.url.rsplit(":", 1)[1]
    for address in (("127.0.0.1", int(port)), ("1.1.1.1", 443)):
        said = outcome(f"import socket\nsocket.create_connection({address}, 5)")
        assert said.startswith(("Notebook Threw Exception: ConnectionRefused", "Notebook Threw Exception: OSError"))


@pytest.mark.skipif(not can_isolate(OWN_PROCESSES), reason="`unshare` does not give processes of one's own here")
def test_one_sees_no_process_but_its_own(outcome):
    cell = "import os\nseen = [name for name in os.listdir('/proc') if name.isdigit()]\nassert len(seen) == 1, seen"
    assert outcome(cell) == ""


def test_one_that_prints_without_end_leaves_a_log_of_a_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "LONGEST_LOG", 10_000)
    log = session.Log(tmp_path / "log.jsonl")
    for _ in range(1000):
        log.write("stdout", "again and again " * 10)
    assert 5_000 < (tmp_path / "log.jsonl").stat().st_size < 11_000
    assert all(json.loads(line)["stream_name"] for line in (tmp_path / "log.jsonl").read_text().splitlines())
