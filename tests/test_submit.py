"""Submitting: once, found again after a lost answer, refused in one line, and written down."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from common.errors import UserError
from common.files import sha256_of_file
from common.kaggle import polling, quota, reasons
from common.kaggle import submit as submitting
from common.kaggle.client import Client, kaggle_client, practice_client
from common.kaggle.csv_file import CsvFile
from common.kaggle.ledger import Ledger, table
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from common.kaggle.submit import mark
from tests.practice_world import LABELS, competition, practice_competition, sample_submission, submission

ROOT = Path(__file__).resolve().parents[1]
SLUG = "tiny-challenge"
SECRET = "KGAT_0123456789abcdef"


def submit(
    csv: Path,
    competition,
    client: Client,
    ledger: Ledger,
    sample: Path | None = None,
    patience: float = CsvFile.patience,
    **options,
):
    """A CSV file that its own sample submission allows."""
    sample = sample or sample_submission(ledger.path.parent / "sample.csv")
    return submitting.submit(CsvFile(csv, competition, sample, patience), competition, client, ledger, **options)


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(reasons, "FIRST_PAUSE", 0.01)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def client(tmp_path, state):
    with running([practice_competition(tmp_path)], state) as url:
        yield practice_client(url)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return submission(tmp_path / "run1.csv")


def test_a_submission_comes_back_with_its_scores_and_stands_in_the_ledger(client, ledger, csv, capsys):
    row = submit(csv, competition(), client, ledger, run_id="run1", cv_score=0.97)
    assert (row.state, row.public_score, row.private_score, row.cv_score) == ("scored", 1.0, 1.0, 0.97)
    assert row.description == f"run run1 sha {sha256_of_file(csv)[:12]}"
    assert ledger.rows("tiny") == [row] == [ledger.best("tiny", "practice", SLUG)]
    lines = [*capsys.readouterr().out.splitlines(), str(row), *table(ledger.rows()).splitlines()[1:]]
    assert len(lines) == 3
    assert all(line.startswith("practice") for line in lines)


def test_a_whole_number_for_a_score_is_read_as_it_was_written(ledger):
    fields = {"competition": "tiny", "leaderboard": "practice", "run_id": "run1", "sha256": "0", "description": ""}
    row = ledger.add(**fields, file="run1.csv", cv_score=1)
    assert [ledger.update(row, public_score=0, private_score=1)] == ledger.rows()


def test_the_same_bytes_are_not_sent_again_unless_asked(client, ledger, state, csv, tmp_path):
    first = submit(csv, competition(), client, ledger, run_id="run1")
    elsewhere = practice_client("http://127.0.0.1:9")
    assert submit(csv, competition(), elsewhere, ledger, run_id="run1") == first
    copy = tmp_path / "copy.csv"
    copy.write_bytes(csv.read_bytes())
    assert submit(copy, competition(), elsewhere, ledger, run_id="run2") == first
    second = submit(csv, competition(), client, ledger, run_id="run1", again=True)
    assert second.ref == first.ref + 1
    assert len(Store(state).submissions(SLUG)) == len(ledger.rows()) == 2


def test_a_lost_answer_is_found_by_its_mark_and_nothing_is_sent_twice(client, ledger, state, csv):
    row = submit(csv, competition(), client, ledger, run_id="run1")
    ledger.update(row, state="built", ref=None, public_score=None)  # as if killed before the answer was written down
    found = submit(csv, competition(), client, ledger, run_id="run1")
    assert (found.id, found.ref, found.state) == (row.id, row.ref, "scored")
    assert len(Store(state).submissions(SLUG)) == 1


def test_an_answer_that_is_lost_on_the_way_is_looked_for_before_the_next_try(client, ledger, state, csv, monkeypatch):
    whole, calls = CsvFile.create, []

    def submit_and_lose_the_answer(*arguments):
        calls.append(whole(*arguments))
        raise requests.ConnectionError("connection reset by peer")

    monkeypatch.setattr(CsvFile, "create", submit_and_lose_the_answer)
    row = submit(csv, competition(), client, ledger, run_id="run1")
    assert (row.state, row.ref) == ("scored", calls[0])
    assert len(calls) == len(Store(state).submissions(SLUG)) == 1


def test_a_submission_that_is_listed_late_is_not_sent_again(client, ledger, state, csv, monkeypatch):
    whole, listed, looks = CsvFile.create, client.api.competition_submissions, []

    def submit_and_lose_the_answer(*arguments):
        whole(*arguments)
        raise requests.ReadTimeout("no answer")

    def list_late(*arguments, **options):
        looks.append(arguments)
        return listed(*arguments, **options) if len(looks) > 4 else []

    monkeypatch.setattr(CsvFile, "create", submit_and_lose_the_answer)
    monkeypatch.setattr(client.api, "competition_submissions", list_late)
    monkeypatch.setattr(submitting, "LOOK_EVERY", 0.01)
    assert submit(csv, competition(), client, ledger, run_id="run1").state == "scored"
    assert len(Store(state).submissions(SLUG)) == 1


def test_without_its_ledger_it_finds_what_was_sent_and_sends_again_when_asked(client, state, csv, tmp_path):
    first = submit(csv, competition(), client, Ledger(tmp_path / "1.sqlite"), run_id="run1")
    assert submit(csv, competition(), client, Ledger(tmp_path / "2.sqlite"), run_id="run1").ref == first.ref
    second = submit(csv, competition(), client, Ledger(tmp_path / "3.sqlite"), run_id="run1", again=True)
    assert second.ref == first.ref + 1 == Store(state).submissions(SLUG)[0].ref


def test_a_lost_answer_of_a_repeated_submission_is_not_taken_for_the_first(client, ledger, state, csv):
    first = submit(csv, competition(), client, ledger, run_id="run1")
    second = submit(csv, competition(), client, ledger, run_id="run1", again=True)
    ledger.update(second, state="built", ref=None)
    found = submit(csv, competition(), client, ledger, run_id="run1")
    assert (found.id, found.ref) == (second.id, second.ref) != (first.id, first.ref)
    assert len(Store(state).submissions(SLUG)) == 2


def test_a_practice_leaderboard_that_lost_its_memory_does_not_give_an_old_number_away(tmp_path, ledger, state, csv):
    practice = practice_competition(tmp_path)
    with running([practice], state) as url:
        first = submit(csv, competition(), practice_client(url), ledger, run_id="run1")
    with running([practice], tmp_path / "other") as url:
        labels = LABELS.copy()
        labels[0] = 1
        time.sleep(1.0)  # numbers count on from the time in seconds
        second = submit(submission(tmp_path / "2.csv", labels), competition(), practice_client(url), ledger, run_id="2")
    assert second.ref > first.ref


def test_a_submission_without_a_score_is_waited_for_and_not_sent_again(client, ledger, state, csv):
    row = submit(csv, competition(), client, ledger, run_id="run1")
    ledger.update(row, state="submitted", public_score=None)
    Store(state).finish(row.ref, "PENDING")
    with pytest.raises(UserError, match=r"practice: submission \d+ .* no score after .*same command again"):
        submit(csv, competition(), client, ledger, run_id="run1", patience=0.3)
    Store(state).finish(row.ref, "COMPLETE", scores=(0.5, 0.25))
    row = submit(csv, competition(), client, ledger, run_id="run1")
    assert (row.state, row.public_score, row.private_score) == ("scored", 0.5, 0.25)


def test_a_submission_that_is_not_known_yet_is_pending(client, ledger, state, csv, monkeypatch):
    row = submit(csv, competition(), client, ledger, run_id="run1")
    ledger.update(row, state="submitted", ref=99)
    with pytest.raises(UserError, match="does not know submission 99"):
        submit(csv, competition(), client, ledger, run_id="run1", patience=0.2)
    late = threading.Timer(0.3, lambda: ledger_of_the_server(state, "UPDATE submissions SET ref = 99"))
    late.start()
    assert submit(csv, competition(), client, ledger, run_id="run1").state == "scored"
    late.join()


def test_what_is_on_its_way_is_not_sent_again_even_when_asked_and_what_was_lost_is(client, ledger, state, csv):
    row = submit(csv, competition(), client, ledger, run_id="run1")
    ledger.update(row, state="submitted", public_score=None)
    assert submit(csv, competition(), client, ledger, run_id="run1", again=True).ref == row.ref
    ledger.update(row, state="submitted", ref=99)
    assert submit(csv, competition(), client, ledger, run_id="run1", again=True).ref not in (row.ref, 99)
    assert len(Store(state).submissions(SLUG)) == 2


def ledger_of_the_server(state: Path, statement: str) -> None:
    with Store(state).database.transaction() as connection:
        connection.execute(statement)


def test_a_refused_file_is_a_failed_row_with_the_reason_and_is_not_sent_again(client, ledger, state, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,label\n000,2\n")
    only = tmp_path / "only.csv"
    only.write_text("id,label\n000,0\n")
    row = submit(bad, competition(), client, ledger, only, run_id="run1")
    assert (row.state, row.public_score) == ("failed", None)
    assert row.error.startswith("bad.csv misses ids")
    assert str(row).startswith(f"practice: tiny submission {row.ref} of run run1: cv -, refused: bad.csv misses ids")
    assert submit(bad, competition(), client, ledger, only, run_id="run1") == row
    assert len(Store(state).submissions(SLUG)) == 1


def test_a_spent_day_is_said_before_anything_is_uploaded_and_the_next_day_sends(client, ledger, state, tmp_path):
    for number in range(5):
        labels = LABELS.copy()
        labels[number] = (labels[number] + 1) % 3
        submit(submission(tmp_path / f"{number}.csv", labels), competition(), client, ledger, run_id=str(number))
    last = submission(tmp_path / "last.csv")
    with pytest.raises(UserError, match=r"practice: today's 5 submissions to .* are spent: .*midnight UTC"):
        submit(last, competition(), client, ledger, run_id="last")
    assert len(list((state / "uploads").iterdir())) == 5
    ledger_of_the_server(state, "UPDATE submissions SET created = '2020-01-01T00:00:00.000'")
    assert submit(last, competition(), client, ledger, run_id="last").state == "scored"
    assert len(ledger.rows()) == 6


def test_no_practice_server_is_one_line_that_says_how_to_start_one(ledger, csv):
    with pytest.raises(UserError, match=r"no practice server at http://127.0.0.1:9: start one with `make practice`"):
        submit(csv, competition(), practice_client("http://127.0.0.1:9"), ledger, run_id="run1")


def test_a_missing_file_is_named(ledger, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv does not exist"):
        submit(tmp_path / "nowhere.csv", competition(), practice_client(), ledger, run_id="run1")


def test_a_file_that_would_be_refused_is_not_sent(client, ledger, state, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,label\n000,9\n")
    with pytest.raises(UserError, match=r"bad\.csv misses ids"):
        submit(bad, competition(), client, ledger, run_id="run1")
    assert [row.state for row in ledger.rows()] == ["built"]
    assert not Store(state).submissions(SLUG)


def test_a_data_set_without_a_kaggle_competition_is_refused(ledger, csv):
    with pytest.raises(UserError, match="tiny has no Kaggle competition"):
        submit(csv, competition(takes="practice"), kaggle_client(), ledger, run_id="run1")


def test_kaggle_without_credentials_says_where_to_put_them(ledger, csv, capfd):
    with pytest.raises(UserError, match=r"KAGGLE_API_TOKEN.*access_token.*kaggle auth login"):
        submit(csv, competition(), kaggle_client(), ledger, run_id="run1")
    assert capfd.readouterr() == ("", "")


def test_an_upload_that_does_not_get_through_is_a_failure_and_is_tried_again(client, ledger, state, csv, monkeypatch):
    whole, results = client.api.upload_complete, [2, 2]  # FAILED

    def fail_twice(*arguments, **options):
        return results.pop() if results else whole(*arguments, **options)

    monkeypatch.setattr(client.api, "upload_complete", fail_twice)
    assert submit(csv, competition(), client, ledger, run_id="run1").state == "scored"
    results += [2] * 50
    with pytest.raises(UserError, match=r"the upload to the practice leaderboard .* did not get through"):
        submit(csv, competition(), client, ledger, run_id="run1", again=True)
    assert len(Store(state).submissions(SLUG)) == 1
    assert [row.state for row in ledger.rows()] == ["scored", "validated"]


def test_a_first_submission_passes_although_kaggle_reports_no_allowance_yet(client, ledger, csv, monkeypatch):
    nothing = type("Limits", (), {"num_today": 0, "num_total": 0, "num_allowed_now": 0, "limited_by_total": False})
    monkeypatch.setattr(client.api, "competition_get_submission_limits", lambda _: nothing)
    assert submit(csv, competition(), client, ledger, run_id="run1").state == "scored"


def test_processes_that_start_together_send_one(client, ledger, state, csv):
    code = (
        "import sys; from pathlib import Path; from tests.practice_world import competition\n"
        "from common.kaggle.client import practice_client; from common.kaggle.ledger import Ledger\n"
        "from tests.test_submit import submit\n"
        "csv, url, ledger = sys.argv[1:]\n"
        "submit(Path(csv), competition(), practice_client(url), Ledger(Path(ledger)), run_id='run1')"
    )
    command = [sys.executable, "-c", code, str(csv), client.url, str(ledger.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    senders = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [sender.wait() for sender in senders] == [0] * 3
    assert len(Store(state).submissions(SLUG)) == len(ledger.rows()) == 1


def test_several_processes_may_write_one_ledger(ledger):
    code = (
        "import sys; from pathlib import Path; from common.kaggle.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(20):\n"
        "    row = ledger.add(competition='c', leaderboard='practice', run_id='r', sha256=str(n), description='',"
        " file='f', cv_score=None)\n"
        "    ledger.update(row, state='scored', public_score=n / 20)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(ledger.path)], cwd=ROOT) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(ledger.rows("c")) == 80
    assert {row.state for row in ledger.rows("c")} == {"scored"}
    assert ledger.best("c", "practice", "").public_score == 0.95
    assert ledger.best("c", "kaggle", "") is None


def test_a_ledger_that_is_no_ledger_is_named(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_text("scores: none\n" * 100)
    with pytest.raises(UserError, match=r"cannot use .*ledger\.sqlite.*move it aside"):
        Ledger(path).rows()
    assert path.read_text() == "scores: none\n" * 100


def test_the_mark_is_made_of_the_bytes():
    assert mark("0123456789abcdef" * 4) == "sha 0123456789ab"


def test_waiting_shows_that_it_is_alive(client, ledger, state, csv, monkeypatch, capsys):
    monkeypatch.setattr(polling, "LINE_EVERY", 0.1)
    row = submit(csv, competition(), client, ledger, run_id="run1")
    ledger.update(row, state="submitted")
    Store(state).finish(row.ref, "PENDING")
    with pytest.raises(UserError):
        submit(csv, competition(), client, ledger, run_id="run1", patience=0.5)
    assert f"practice: submission {row.ref} is pending" in capsys.readouterr().out


def test_waiting_for_quota_says_so_and_sends_when_the_day_is_over(client, ledger, state, tmp_path, monkeypatch, capsys):
    for number in range(5):
        labels = LABELS.copy()
        labels[number] = (labels[number] + 1) % 3
        submit(submission(tmp_path / f"{number}.csv", labels), competition(), client, ledger, run_id=str(number))
    slept = []

    def sleep_until_tomorrow(seconds: float) -> None:
        slept.append(seconds)
        ledger_of_the_server(state, "UPDATE submissions SET created = '2020-01-01T00:00:00.000'")

    monkeypatch.setattr(quota.time, "sleep", lambda seconds: sleep_until_tomorrow(seconds) if seconds > 0.5 else None)
    monkeypatch.setattr(quota, "seconds_to_midnight", lambda: 100.0)
    last = submission(tmp_path / "last.csv")
    assert submit(last, competition(), client, ledger, run_id="last", wait=True).state == "scored"
    assert slept == [101.0]
    assert (
        "practice: today's submissions to 'tiny-challenge' are spent, 1:40 to midnight UTC" in capsys.readouterr().out
    )
