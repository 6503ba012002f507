"""Notebooks and their submissions on the practice leaderboard, by the official client."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import requests
from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelRequest, ApiGetKernelSessionStatusRequest

from common.kaggle.client import practice_client
from common.kaggle.practice import board, sandbox
from common.kaggle.practice.competition import public_part
from common.kaggle.practice.server import running
from common.kaggle.practice.session import __file__ as SESSION
from common.kaggle.practice.settings import Settings
from tests.practice_world import (
    IDS,
    LABELS,
    dataset_folder,
    notebook,
    practice_competition,
    quick_settings,
    submission,
    until,
)

SLUG = "tiny-challenge"
INPUT = f"/kaggle/input/{SLUG}"
COPY = f"import shutil; shutil.copy('{INPUT}/sample_submission.csv', '/kaggle/working/submission.csv')"
REF = "practice/answers"


@pytest.fixture
def practice(tmp_path: Path):
    """What everybody sees has the first ten rows of the test set; the solution is of all forty."""
    practice = practice_competition(tmp_path, takes="notebook")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    sample = (practice.raw / "sample_submission.csv").read_text().splitlines(keepends=True)
    (hidden / "sample_submission.csv").write_text("".join(sample))
    (practice.raw / "sample_submission.csv").write_text("".join(sample[:11]))
    return replace(practice, hidden=hidden)


@pytest.fixture
def url(practice, tmp_path):
    with running([practice], tmp_path / "state", quick_settings()) as url:
        yield url


@pytest.fixture
def api(url):
    return practice_client(url).api


def push(api, folder: Path, source: str, timeout: int | None = None, **metadata):
    folder.mkdir(exist_ok=True)
    about = {"id": REF, "title": "Answers", "code_file": "code", "language": "python", "kernel_type": "notebook"}
    about |= {"enable_internet": False, "competition_sources": [SLUG]} | metadata
    (folder / "kernel-metadata.json").write_text(json.dumps(about))
    (folder / "code").write_text(source)
    return api.kernels_push(str(folder), timeout=timeout)


def ended(api, ref: str = REF):
    """The status of a session that is over."""
    return until(lambda: (status := api.kernels_status(ref)).status.name in ("COMPLETE", "ERROR") and status)


def scored(api, ref: int):
    found = lambda: next(listed for listed in api.competition_submissions(SLUG) if listed.ref == ref)  # noqa: E731
    return until(lambda: (listed := found()).status.name != "PENDING" and listed)


def printed(api, folder: Path, ref: str = REF) -> str:
    """What the cells printed, from the log as the client writes it to disk."""
    api.kernels_output(ref, str(folder), force=True)
    records = json.loads((folder / f"{ref.split('/')[1]}.log").read_text())
    assert all(set(record) == {"stream_name", "time", "data"} for record in records)
    return "".join(record["data"] for record in records)


LOOK = f"""
import json, os, socket, sys
from pathlib import Path
print(json.dumps({{
    "files": sorted(p.relative_to("/kaggle/input").as_posix() for p in Path("/kaggle/input").rglob("*") if p.is_file()),
    "weights": len(Path("/kaggle/input/my-weights/runs/fold-0/weights.bin").read_bytes()),
    "cwd": os.getcwd() == "/kaggle/working".rstrip("/"), "home": os.environ["HOME"], "tmp": os.environ["TMPDIR"],
    "kaggle": sorted(name for name in os.environ if name.startswith("KAGGLE_")),
    "project": any(Path(folder, "competitions").is_dir() for folder in sys.path),
}}))
try:
    socket.create_connection(("1.1.1.1", 53), timeout=2)
except OSError as error:
    print("no network:", error)
try:
    open("/kaggle/input/new.txt", "w")
except OSError as error:
    print("read only:", error)
print("on standard error", file=sys.stderr)
for number in range(25): Path(f"file-{{number:02}}.txt").write_text(str(number))
{COPY}
"""


def test_a_notebook_sees_what_it_would_on_kaggle_and_nothing_of_this_machine(practice, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    with running([practice], tmp_path / "state", Settings(dataset_seconds=0.0)) as url:
        api = practice_client(url).api
        api.dataset_create_new(str(dataset_folder(tmp_path / "dataset")), quiet=True)
        until(lambda: api.dataset_status("practice/my-weights") == "ready")
        answer = push(api, tmp_path / "k", notebook(LOOK, "1 / 0"), dataset_sources=["practice/my-weights"])
        assert (answer.version_number, answer.error) == (1, "")
        status = ended(api)
        assert status.status.name == "ERROR"
        assert status.failure_message == "Notebook Threw Exception: ZeroDivisionError: division by zero"
        text = printed(api, tmp_path / "output")
    seen = json.loads(text.splitlines()[0])
    competition = [f"{SLUG}/{name}" for name in ("names.json", "sample_submission.csv", "train_images/x 1.png")]
    assert seen["files"] == ["my-weights/package.json", "my-weights/runs/fold-0/weights.bin", *competition]
    assert (seen["weights"], seen["cwd"], seen["project"]) == (1000, True, False)
    assert seen["home"].startswith(str(tmp_path / "state"))
    assert seen["kaggle"] == ["KAGGLE_KERNEL_RUN_TYPE"]
    assert not Path(seen["tmp"]).exists(), "removed with the session"
    if sandbox.can_isolate():
        assert "no network: " in text
        assert "read only: [Errno 30]" in text
    assert "on standard error" in text
    assert "ZeroDivisionError: division by zero" in text
    assert len(list((tmp_path / "output").glob("file-*.txt"))) == 25, "two pages of output"


def test_a_version_is_kept_as_it_was_pushed(api, tmp_path):
    folder = tmp_path / "kernel"
    push(api, folder, "print('one')", kernel_type="script")
    second = push(api, folder, notebook("print('two')"), 100, enable_gpu=True, machine_shape="NvidiaTeslaT4")
    assert (second.version_number, second.ref) == (2, "/code/practice/answers")
    ended(api)
    assert "two" in printed(api, tmp_path / "output")
    request = ApiGetKernelRequest()
    request.user_name, request.kernel_slug = "practice", "answers"
    with api.build_kaggle_client() as kaggle:
        latest = kaggle.kernels.kernels_api_client.get_kernel(request)
        request.version_label = "Version 1"
        first = kaggle.kernels.kernels_api_client.get_kernel(request)
    about = latest.metadata
    assert (about.current_version_number, about.enable_gpu, about.enable_internet) == (2, True, False)
    assert (about.machine_shape, about.competition_data_sources) == ("NvidiaTeslaT4", [SLUG])
    assert json.loads(latest.blob.source) == json.loads(notebook("print('two')"))
    assert (first.blob.source, first.blob.kernel_type) == ("print('one')", "script")


def test_a_notebook_that_is_not_there_is_not_found_and_a_strangers_is_denied(api):
    with pytest.raises(requests.HTTPError, match="no notebook 'practice/nowhere' here"):
        api.kernels_status("practice/nowhere")
    with pytest.raises(ValueError, match="denied"):
        api.kernels_status("somebody/nowhere")


def test_a_source_that_is_not_there_is_named_and_nothing_runs(api, tmp_path):
    answer = push(api, tmp_path / "k", notebook("1"), dataset_sources=["practice/nowhere"], competition_sources=["no"])
    assert (answer.invalid_dataset_sources, answer.invalid_competition_sources) == (["practice/nowhere"], ["no"])
    status = api.kernels_status(REF)
    assert (status.status.name, status.failure_message) == ("ERROR", "not run: no practice/nowhere, no here")
    assert push(api, tmp_path / "k", "{}").error == "The text is no notebook"


def test_sessions_run_one_after_another_and_can_be_asked_for_by_version(practice, tmp_path):
    gate = tmp_path / "gate"
    wait = f"import os, time\nwhile not os.path.exists('{gate}'): time.sleep(0.02)"
    with running([practice], tmp_path / "state", quick_settings(queue_seconds=0.3)) as url:
        api = practice_client(url).api

        def status(label: str) -> str:
            request = ApiGetKernelSessionStatusRequest()
            request.user_name, request.kernel_slug, request.version_label = "practice", "answers", label
            with api.build_kaggle_client() as kaggle:
                return kaggle.kernels.kernels_api_client.get_kernel_session_status(request).status.name

        push(api, tmp_path / "k", notebook(wait))
        assert status("1") == "QUEUED"
        push(api, tmp_path / "k", notebook("1"))
        until(lambda: status("1") == "RUNNING")
        assert (status("Version 2"), status("")) == ("QUEUED", "QUEUED")
        gate.touch()
        until(lambda: status("") == "COMPLETE")
        assert status("1") == "COMPLETE"


FAMILY = """
import subprocess, time
child = subprocess.Popen(["setsid", "sh", "-c", "sleep 3600 & wait"])
open("/kaggle/working/child", "w").write(str(child.pid))
time.sleep(3600)
"""


def descendants(state: Path) -> list[int]:
    """Processes that were started in the folder of a session."""
    found = []
    for process in psutil.process_iter(["pid", "cwd", "status"]):
        running = process.info["status"] != psutil.STATUS_ZOMBIE
        if running and (process.info["cwd"] or "").startswith(str(state / "sessions")):
            found.append(process.info["pid"])
    return found


def test_a_notebook_that_takes_too_long_is_killed_with_its_whole_family(api, tmp_path):
    push(api, tmp_path / "k", notebook(FAMILY), timeout=1)
    until(lambda: len(descendants(tmp_path / "state")) >= 3)
    assert ended(api).failure_message == "Notebook Timeout: it ran longer than 1 s"
    assert descendants(tmp_path / "state") == []


def test_a_session_ends_with_its_server_and_the_next_one_runs_it_from_the_start(practice, tmp_path):
    gate, state = tmp_path / "gate", tmp_path / "state"
    source = notebook(f"import os; print('starts'); os.path.exists('{gate}') or __import__('time').sleep(3600)", COPY)
    with running([practice], state, quick_settings()) as url:
        api = practice_client(url).api
        push(api, tmp_path / "k", source)
        until(lambda: descendants(state))
    assert descendants(state) == []
    gate.touch()
    with running([practice], state, quick_settings()) as url:
        api = practice_client(url).api
        assert ended(api).status.name == "COMPLETE"
        assert printed(api, tmp_path / "output") == "starts\n"


def test_two_servers_with_one_memory_run_a_session_once_and_unpack_a_dataset_once(practice, tmp_path):
    state, runs = tmp_path / "state", tmp_path / "runs"
    source = notebook(f"import time; open('{runs}', 'a').write('x'); time.sleep(0.5)")
    other = replace(practice, slug="other-challenge")
    with (
        running([other], state, quick_settings()) as elsewhere,
        running([practice], state, quick_settings()) as url,
        running([practice], state, quick_settings()),
    ):
        api = practice_client(url).api
        api.dataset_create_new(str(dataset_folder(tmp_path / "dataset")), quiet=True)
        until(lambda: practice_client(elsewhere).api.dataset_status("practice/my-weights") == "ready")
        push(api, tmp_path / "k", source, dataset_sources=["practice/my-weights"])
        assert ended(practice_client(elsewhere).api).status.name == "COMPLETE"
    assert runs.read_text() == "x"


@pytest.mark.slow
def test_a_session_whose_server_is_killed_dies_with_its_kernel(tmp_path):
    box = sandbox.Sandbox(tmp_path / "state" / "sessions" / "1")
    box.fill(notebook(FAMILY), "notebook", {})
    environment = os.environ | {"TMPDIR": "/tmp"}
    command = [sys.executable, "-P", SESSION, str(box.folder)]
    process = subprocess.Popen(command, cwd=box.working, stdin=subprocess.PIPE, env=environment)
    until(lambda: (box.working / "child").exists() and len(descendants(tmp_path / "state")) >= 4)
    process.stdin.close()  # as the kernel does with the pipes of a process that is killed
    assert process.wait(10) == -signal.SIGKILL
    until(lambda: not descendants(tmp_path / "state"), 5)


def test_a_submitted_version_is_run_again_on_the_hidden_test_set(api, practice, tmp_path):
    truth = {id: int(label) for id, label in zip(IDS, LABELS, strict=True)}
    source = f"""
import os
truth = {truth}
ids = [line.split(",")[0] for line in open("{INPUT}/sample_submission.csv")][1:]
open("submission.csv", "w").write("id,label\\n" + "".join(f"{{id}},{{truth[id]}}\\n" for id in ids))
print(len(ids), os.environ.get("KAGGLE_IS_COMPETITION_RERUN"))
"""
    version = push(api, tmp_path / "k", notebook(source)).version_number
    assert ended(api).status.name == "COMPLETE"
    submitted = api.competition_submit_code("submission.csv", "whole", SLUG, REF, version, quiet=True)
    assert submitted.message == "Successfully submitted to Tiny"
    listed = scored(api, submitted.ref)
    assert (listed.status.name, listed.public_score, listed.private_score) == ("COMPLETE", "1.00000", "1.00000")
    assert (listed.description, listed.file_name) == ("whole", "submission.csv")
    assert printed(api, tmp_path / "output") == "10 None\n", "the second run is nobody's to see"
    assert len(pd.read_csv(tmp_path / "output" / "submission.csv")) == 10
    assert not (tmp_path / "state" / "sessions" / "2").exists()
    again = api.competition_submit_code("submission.csv", "", SLUG, REF, version, quiet=True)
    assert scored(api, again.ref).description == "Notebook answers | Version 1"
    assert api.competition_get_submission_limits(SLUG).num_today == 2


SECOND_RUN = f"{COPY}\nimport os, time; second = os.environ.get('KAGGLE_IS_COMPETITION_RERUN')\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SECOND_RUN + "assert not second", "Notebook Threw Exception"),
        (SECOND_RUN + "second and time.sleep(60)", "Notebook Timeout"),
        (SECOND_RUN + "second and os.remove('submission.csv')", "Submission File Not Found: submission.csv"),
        (
            SECOND_RUN + "second and (os.remove('submission.csv'), os.symlink('/etc/passwd', 'submission.csv'))",
            "Submission File Not Found: submission.csv",
        ),
        ("open('submission.csv', 'w').write('id,label\\n000,0\\n')", "Submission Scoring Error: submission.csv misses"),
    ],
)
def test_what_goes_wrong_in_the_second_run_is_told_as_on_kaggle(api, tmp_path, source, said):
    push(api, tmp_path / "k", notebook(source), timeout=2)
    assert ended(api).status.name == "COMPLETE"
    listed = scored(api, api.competition_submit_code("submission.csv", "", SLUG, REF, 1, quiet=True).ref)
    assert listed.status.name == "ERROR"
    assert listed.error_description.startswith(said)
    assert api.competition_get_submission_limits(SLUG).num_today == 0, "an error does not cost a submission"


def refused(api, said: str, slug: str = SLUG, version: int | None = None, file: str = "submission.csv") -> None:
    with pytest.raises(requests.HTTPError, match=said) as answer:
        api.competition_submit_code(file, "", slug, REF, version, quiet=True)
    assert answer.value.response.status_code in (400, 404)


def test_a_version_that_may_not_be_submitted_is_refused(api, tmp_path):
    refused(api, "no notebook 'practice/answers' here")
    push(api, tmp_path / "k", notebook("raise SystemError"))
    ended(api)
    refused(api, "version 1 of notebook 'answers' has not completed .error.")
    push(api, tmp_path / "k", notebook(COPY), enable_internet=True)
    ended(api)
    refused(api, "ran with internet access, which must be disabled")
    push(api, tmp_path / "k", notebook("1"), competition_sources=[])
    ended(api)
    refused(api, "has no output file 'submission.csv'")
    refused(api, "no version '9'", version=9)


def test_csv_files_are_refused_where_notebooks_answer_and_notebooks_where_csv_files_do(api, tmp_path):
    with pytest.raises(requests.HTTPError, match="only accepts submissions from notebooks") as answer:
        api.competition_submit(str(submission(tmp_path / "s.csv")), "", SLUG, quiet=True)
    assert answer.value.response.status_code == 400
    takes_csv = practice_competition(tmp_path / "csv")
    with running([takes_csv], tmp_path / "other", quick_settings()) as url:
        refused(practice_client(url).api, "does not accept submissions from notebooks")


def test_notebooks_too_are_limited_by_the_day(api, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "DAY_LIMIT", 1)
    push(api, tmp_path / "k", notebook(COPY))
    ended(api)
    scored(api, api.competition_submit_code("submission.csv", "", SLUG, REF, 1, quiet=True).ref)
    refused(api, "today's 1 submissions to 'tiny-challenge' are spent")


def test_a_submission_that_a_server_left_is_run_and_scored_by_the_next(practice, tmp_path):
    gate = tmp_path / "gate"
    hold = "os.environ.get('KAGGLE_IS_COMPETITION_RERUN') and time.sleep(3600)"
    source = notebook(f"import os, time\nif not os.path.exists('{gate}'): {hold}", COPY)
    with running([practice], tmp_path / "state", quick_settings()) as url:
        api = practice_client(url).api
        push(api, tmp_path / "k", source)
        ended(api)
        ref = api.competition_submit_code("submission.csv", "", SLUG, REF, 1, quiet=True).ref
        until(lambda: descendants(tmp_path / "state"))
    gate.touch()
    with running([practice], tmp_path / "state", quick_settings()) as url:
        assert scored(practice_client(url).api, ref).status.name == "COMPLETE"


def test_the_leaderboard_is_a_table_with_the_best_score(practice, tmp_path):
    public = public_part(pd.Index(IDS))
    worse = np.where(public & (np.arange(len(IDS)) < 6), (LABELS + 1) % 3, LABELS)
    takes_csv = practice_competition(tmp_path / "csv")
    with running([takes_csv], tmp_path / "other", quick_settings()) as url:
        api = practice_client(url).api
        assert len(table_of(api, tmp_path / "empty")) == 0
        for number, labels in enumerate((LABELS, worse)):
            csv = submission(tmp_path / f"{number}.csv", labels)
            scored(api, api.competition_submit(str(csv), "", SLUG, quiet=True).ref)
        [row] = table_of(api, tmp_path / "two").to_dict("records")
    assert (row["Rank"], row["TeamName"], row["Score"], row["SubmissionCount"]) == (1, "practice", 1.0, 2)
    assert pd.Timestamp(row["LastSubmissionDate"]).year > 2020


def table_of(api, folder: Path) -> pd.DataFrame:
    api.competition_leaderboard_download(SLUG, str(folder))
    return pd.read_csv(folder / f"{SLUG}.zip")


@pytest.mark.slow
def test_from_push_to_score_with_a_real_kernel(practice, tmp_path):
    """Prints what it takes."""
    with running([practice], tmp_path / "state") as url:
        api = practice_client(url).api
        start = time.monotonic()
        push(api, tmp_path / "k", notebook(COPY))
        assert ended(api).status.name == "COMPLETE"
        pushed = time.monotonic()
        ref = api.competition_submit_code("submission.csv", "", SLUG, REF, 1, quiet=True).ref
        assert scored(api, ref).status.name == "COMPLETE"
        print(f"push to COMPLETE {pushed - start:.1f} s, submission to COMPLETE {time.monotonic() - pushed:.1f} s")
