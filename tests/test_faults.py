"""Any fault at any call: the same command, given twice, ends with one submission, its score, and no token anywhere."""

import time

import pytest
import requests

from common.kaggle.practice.faults import REFUSED_SECONDS, Fault, faulty
from common.kaggle.practice.server import running
from tests.practice_world import practice_competition
from tests.scripted_server import scripted_server
from tests.walks import CSV, NOTEBOOK, SLUG, WALKS, matrix, table, took_two, twice


def ask(url: str) -> requests.Response:
    return requests.post(f"{url}/v1/Service/Method", json={}, timeout=0.3)


@pytest.mark.parametrize(
    ("kind", "seen", "reached"),
    [
        ("refused", "NewConnectionError", 0),
        ("reset_before", "Connection aborted", 0),
        ("reset_after", "Connection aborted", 1),
        ("hung", "Read timed out", 1),
        ("too_many", "429", 0),
        ("500", "500", 0),
        ("503", "503", 0),
        ("html", "200 <html>", 0),
        ("html_502", "502 <html>", 1),
        ("truncated", '200 {"answ', 1),
        ("expired", "403", 0),
    ],
)
def test_a_fault_is_seen_once_and_as_what_it_plays(kind, seen, reached):
    with scripted_server() as server:
        server.by_method["Method"] = {"answer": 4213}
        with faulty(server.url, Fault(kind, "Method"), ("Method",)) as proxy:
            try:
                answer = ask(proxy.url)
                first = f"{answer.status_code} {answer.text}"
            except requests.RequestException as error:
                first = str(error)
            assert seen in first
            assert (len(server.seen), proxy.struck) == (reached, True)
            if kind == "refused":
                time.sleep(2 * REFUSED_SECONDS)
            assert ask(proxy.url).json() == {"answer": 4213}


def test_the_proxy_hands_the_client_on_to_itself(tmp_path):
    with running([practice_competition(tmp_path)], tmp_path / "state") as url, faulty(url) as proxy:
        started = requests.post(
            f"{proxy.url}/v1/competitions.CompetitionApiService/StartSubmissionUpload",
            json={"competitionName": SLUG, "fileName": "a.csv", "contentLength": 1},
        )
        assert started.json()["createUrl"].startswith(proxy.url)
        assert proxy.calls == ["StartSubmissionUpload"]


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("killed", "CreateSubmission"),
        ("reset_after", "CreateSubmission"),
        ("expired", "PUT upload"),
        ("truncated", "GetSubmission"),
    ],
)
def test_a_csv_is_submitted_once_whatever_fails(kind, call, tmp_path):
    outcome = twice(CSV, tmp_path, Fault(kind, call))
    assert outcome.wrong == ""
    assert outcome.runs == (2 if kind == "killed" else 1)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("killed", "CreateDataset"),
        ("reset_after", "SaveKernel"),
        ("hung", "CreateCodeSubmission"),
        ("expired", "GET output"),
    ],
)
def test_a_notebook_is_submitted_once_whatever_fails(kind, call, tmp_path):
    assert twice(NOTEBOOK, tmp_path, Fault(kind, call)).wrong == ""


@pytest.mark.slow
@pytest.mark.parametrize("walk", WALKS)
def test_every_fault_at_every_call(walk, tmp_path, say):
    outcomes = matrix(WALKS[walk], tmp_path)
    say(f"{walk}: how many commands it took\n{table(outcomes)}")
    assert [outcome for outcome in outcomes if outcome.wrong] == []
    # One command is enough but where a process dies; on a busy machine two seconds of patience may be too few.
    assert len(took_two(outcomes)) <= len(outcomes) // 50
