"""A notebook submission: dataset, notebook, its run, that version submitted, each once however often it is asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import UserError
from common.files import content_hash, write_text
from common.kaggle import kernel, polling, reasons
from common.kaggle.client import Client, Unreachable, practice_client
from common.kaggle.dataset import ensure_dataset
from common.kaggle.kernel import await_kernel, fetch_output, push_once
from common.kaggle.ledger import Ledger
from common.kaggle.notebook_run import NotebookRun
from common.kaggle.package import Package
from common.kaggle.practice.server import running
from common.kaggle.submit import submit
from common.zipped import write_zip
from tests.practice_world import LABELS, notebook, practice_competition, quick_settings, submission

SLUG, NAME = "tiny-challenge", "tiny-run-0123456789ab"
COPY = """
import shutil
shutil.copy("/kaggle/input/tiny-run-0123456789ab/runs/answer.csv", "/kaggle/working/submission.csv")
"""


@pytest.fixture
def practice(tmp_path):
    return practice_competition(tmp_path, takes="notebook")


@pytest.fixture
def client(practice, tmp_path):
    with running([practice], tmp_path / "state", quick_settings()) as url:
        yield practice_client(url)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def package_of(folder: Path, labels=LABELS) -> Package:
    """A run that has answered already: its notebook copies the answer."""
    answer = submission(folder.parent / "answer.csv", labels)
    package = Package(folder / NAME, content_hash(answer.read_text(), 64), NAME, NAME.replace("-", " "))
    package.folder.mkdir(parents=True, exist_ok=True)
    for stale in package.folder.iterdir():
        stale.unlink()
    write_zip(package.folder / "runs.zip", {"answer.csv": answer})
    write_text(package.folder / package.mark, package.sha256)
    return package


@pytest.fixture
def way_of(practice, tmp_path):
    def make(*cells: str, labels=LABELS, again: bool = False) -> NotebookRun:
        file = tmp_path / "notebook" / f"{NAME}.ipynb"
        write_text(file, notebook(*cells or (COPY,)))
        package = package_of(tmp_path / "packages", labels)
        return NotebookRun(file, package, practice.competition, practice.raw / "sample_submission.csv", again)

    return make


def versions(client, ref: str = f"practice/{NAME}") -> int:
    from common.kaggle.kernel import _kernel

    return client.call(lambda api: _kernel(api, ref), ref).metadata.current_version_number


def test_a_run_is_submitted_by_its_notebook_and_the_same_run_only_once(client, ledger, practice, way_of, capsys):
    row = submit(way_of(), practice.competition, client, ledger, run_id="run1", cv_score=0.9)
    assert (row.state, row.public_score, row.private_score) == ("scored", 1.0, 1.0)
    assert (row.arena, row.kernel, row.kernel_version) == (SLUG, f"practice/{NAME}", 1)
    said = capsys.readouterr().out.splitlines()
    assert all(line.startswith("practice: ") for line in said)
    assert submit(way_of(COPY, "1"), practice.competition, client, ledger, run_id="run1") == row, "the same run"
    assert versions(client) == 1
    second = submit(way_of(again=True), practice.competition, client, ledger, run_id="run1", again=True)
    assert (second.kernel_version, second.state) == (2, "scored")
    assert second.ref != row.ref


def test_other_weights_are_another_version_of_the_dataset_and_of_the_notebook(client, ledger, practice, way_of):
    submit(way_of(), practice.competition, client, ledger, run_id="run1")
    labels = LABELS.copy()
    labels[:20] = (labels[:20] + 1) % 3
    other = way_of(COPY, "# other weights", labels=labels)
    row = submit(other, practice.competition, client, ledger, run_id="run1")
    assert row.kernel_version == 2
    assert row.private_score < 1


def test_dataset_and_notebook_are_made_once(client, way_of):
    way = way_of()
    refs = {ensure_dataset(way.package, client) for _ in range(3)}
    assert refs == {f"practice/{NAME}"}
    pushed = [push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False) for _ in range(3)]
    assert pushed == [(f"practice/{NAME}", 1)] * 3
    assert push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False, again=True)[1] == 2


def test_a_notebook_that_fails_is_a_failed_row_with_the_end_of_its_log_and_nothing_is_submitted(
    client, ledger, practice, way_of
):
    row = submit(way_of("print('reading'); 1 / 0"), practice.competition, client, ledger, run_id="run1")
    assert (row.state, row.ref) == ("failed", None)
    assert "version 1 ended with ERROR" in row.error
    assert "ZeroDivisionError: division by zero" in row.error
    assert "\n" not in row.error
    assert client.call(lambda api: api.competition_submissions(SLUG), SLUG) == []
    assert submit(way_of(), practice.competition, client, ledger, run_id="run1") == row, "until --again says so"
    row = submit(way_of(again=True), practice.competition, client, ledger, run_id="run1", again=True)
    assert (row.state, row.kernel_version) == ("scored", 2)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1", "version 1 wrote no submission.csv"),
        (
            "open('/kaggle/working/submission.csv', 'w').write('id,label\\n000,1\\n')",
            "version 1: submission.csv misses ids",
        ),
    ],
)
def test_what_a_notebook_wrote_is_checked_before_it_is_submitted(client, ledger, practice, way_of, cell, says):
    row = submit(way_of(cell), practice.competition, client, ledger, run_id="run1")
    assert row.state == "failed"
    assert says in row.error
    assert client.call(lambda api: api.competition_submissions(SLUG), SLUG) == []


def test_data_that_cannot_be_attached_are_named_and_the_version_without_them_is_not_taken(client, way_of):
    way = way_of()
    with pytest.raises(UserError, match=rf"cannot attach practice/{NAME}"):
        push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False)
    ensure_dataset(way.package, client)
    assert push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False)[1] == 2


def test_the_output_comes_whole_with_its_folders(client, way_of, tmp_path):
    way = way_of("import os; os.makedirs('runs/tiny/a'); open('runs/tiny/a/run.json', 'w').write('{}'); open('x', 'w')")
    dataset = ensure_dataset(way.package, client)
    ref, version = push_once(way.file, NAME, dataset, SLUG, client, internet=False)
    await_kernel(ref, version, client)
    found = fetch_output(ref, tmp_path / "home", client, prefix="runs/")
    assert [path.relative_to(tmp_path / "home").as_posix() for path in found] == ["runs/tiny/a/run.json"]
    assert json.loads(found[0].read_text()) == {}


def test_what_was_submitted_is_found_by_its_mark_before_its_notebook_is_asked_for(client, ledger, practice, way_of):
    way = way_of()
    row = submit(way, practice.competition, client, ledger, run_id="run1")
    ledger.update(row, state="uploaded", ref=None)
    push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False, again=True)
    found = submit(way, practice.competition, client, ledger, run_id="run1")
    assert (found.state, found.ref, versions(client)) == ("scored", row.ref, 2)


def test_a_version_that_is_not_the_latest_any_more_is_not_submitted(client, ledger, practice, way_of, monkeypatch):
    way = way_of()
    push_once(way.file, NAME, ensure_dataset(way.package, client), SLUG, client, internet=False)
    pushed = NotebookRun._push

    def push_and_be_overtaken(self, *arguments):
        row = pushed(self, *arguments)
        push_once(way.file, NAME, f"practice/{NAME}", SLUG, client, internet=False, again=True)
        return row

    monkeypatch.setattr(NotebookRun, "_push", push_and_be_overtaken)
    row = submit(way, practice.competition, client, ledger, run_id="run1")
    assert (row.state, "is not the latest any more, 2 is" in row.error) == ("failed", True)


@pytest.mark.parametrize("first", ["broken", "a page"])
def test_an_output_that_does_not_come_whole_is_fetched_again(first, tmp_path, monkeypatch):
    body = b"id,label\n000,1\n"

    class Files(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            Files.asked += 1
            whole = Files.asked > 1
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if first == "a page" and not whole else "text/csv")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if whole or first == "a page" else body[:5])

    monkeypatch.setattr(reasons, "FIRST_PAUSE", 0.01)
    with HTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/submission.csv"
        listed = SimpleNamespace(file_name="submission.csv", url=address)
        monkeypatch.setattr(kernel, "_outputs", lambda api, ref: [listed])
        found = fetch_output("a/b", tmp_path, practice_client(address))
        server.shutdown()
    assert (found[0].read_bytes(), Files.asked, len(list(tmp_path.iterdir()))) == (body, 2, 1)


def test_a_wait_sits_out_an_outage_and_not_for_ever(client, way_of, monkeypatch, capsys):
    way = way_of()
    ref, version = push_once(way.file, NAME, ensure_dataset(way.package, client), SLUG, client, internet=False)
    whole, outages = Client.call, [Unreachable("no answer")] * 3

    def call(self, function, what):
        if outages:
            raise outages.pop()
        return whole(self, function, what)

    monkeypatch.setattr(Client, "call", call)
    await_kernel(ref, version, client)
    assert capsys.readouterr().out.count("no answer (waiting on)") == 3
    monkeypatch.setattr(polling, "OUTAGE", 0.05)
    outages += [Unreachable("no answer")] * 50
    with pytest.raises(Unreachable):
        await_kernel(ref, version, client)
