"""Any fault at any call: the same command, given twice, ends with one submission, its score, and no token anywhere."""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from common.kaggle.ledger import Ledger
from common.kaggle.practice.faults import REFUSED_SECONDS, Fault, Kind, faulty
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from tests.commands import submit_csv
from tests.forked import Said, finish, start
from tests.practice_world import practice_competition, sample_submission, submission
from tests.scripted_server import scripted_server

SLUG = "tiny-challenge"
TOKEN = "KGAT_0123456789abcdef0123456789abcdef"

ANY: tuple[Kind, ...] = (
    "refused",
    "reset_before",
    "reset_after",
    "too_many",
    "500",
    "503",
    "hung",
    "html_502",
    "killed",
)
CALL: tuple[Kind, ...] = (*ANY, "html", "truncated")
TRANSFER: tuple[Kind, ...] = (*ANY, "expired")

CSV_WAY = (
    "ListSubmissions",
    "GetSubmissionLimits",
    "StartSubmissionUpload",
    "PUT upload",
    "CreateSubmission",
    "GetSubmission",
)


@dataclass(frozen=True)
class Outcome:
    """What came of one fault: `runs` is how many commands it took; `wrong` is empty where all is well."""

    fault: Fault | None
    runs: int
    wrong: str
    calls: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.runs) if not self.wrong else "fail"


def by_csv(folder: Path, fault: Fault | None = None, recorded: tuple[str, ...] = ()) -> Outcome:
    """The command twice, on a server of its own, with the fault at one call of the two."""
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    submission(work / "run.csv")
    sample_submission(work / "sample.csv")
    with running([practice_competition(folder)], folder / "state") as url, faulty(url, fault, recorded) as proxy:
        said = [command(submit_csv, work, proxy) for _ in range(2)]
        struck = proxy.struck or fault is None
    wrong = "" if struck else "the fault did not strike"
    return Outcome(fault, 2 - (said[0].exit_code == 0), wrong or what_is_wrong(folder, said), tuple(proxy.calls))


def command(function: Callable, work: Path, proxy) -> Said:
    environment = {"HOME": str(work / "home"), "KAGGLE_API_TOKEN": TOKEN, "PATH": os.environ["PATH"]}
    process = start(function, proxy.url, TOKEN, folder=work, environment=environment)
    proxy.victim = process.pid
    return finish(process, work)


def what_is_wrong(folder: Path, said: list[Said]) -> str:
    if said[-1].exit_code:
        return f"the last command ends with {said[-1].exit_code}: {said[-1].err}"
    if any("Traceback" in each.err for each in said):
        return said[0].err + said[1].err
    submissions = Store(folder / "state").submissions(SLUG)
    if len(submissions) != 1:
        return f"{len(submissions)} submissions"
    rows = [(row.state, row.ref, row.public_score) for row in Ledger(folder / "work/submissions/ledger.sqlite").rows()]
    if rows != [("scored", submissions[0].ref, 1.0)]:
        return f"the ledger holds {rows}"
    telling = [each for each in said if TOKEN in each.out + each.err]
    holding = [file.name for file in folder.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    return f"the token is in {holding or 'the output'}" if telling or holding else ""


def matrix(way: Callable[..., Outcome], calls: tuple[str, ...], folder: Path, workers: int = 6) -> list[Outcome]:
    recorded = way(folder / "recorded")
    assert not recorded.wrong, recorded.wrong
    assert set(calls) == set(recorded.calls)
    faults = [Fault(kind, call) for call in calls for kind in (TRANSFER if " " in call else CALL)]
    with ThreadPoolExecutor(workers) as pool:
        return list(
            pool.map(
                way, (folder / str(number) for number in itertools.count()), faults, itertools.repeat(recorded.calls)
            )
        )


def table(outcomes: list[Outcome]) -> str:
    """Calls by faults, with how many commands it took."""
    kinds = list(dict.fromkeys(outcome.fault.kind for outcome in outcomes))
    found = {(outcome.fault.call, outcome.fault.kind): str(outcome) for outcome in outcomes}
    calls = list(dict.fromkeys(outcome.fault.call for outcome in outcomes))
    lines = [["", *kinds], *([call, *(found.get((call, kind), "") for kind in kinds)] for call in calls)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    failed = [outcome for outcome in outcomes if outcome.wrong]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    text.append(f"{len(outcomes) - len(failed)} of {len(outcomes)} are well")
    return "\n".join(text + [f"{outcome.fault}: {outcome.wrong}" for outcome in failed])


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
    outcome = by_csv(tmp_path, Fault(kind, call), CSV_WAY)
    assert outcome.wrong == ""
    assert outcome.runs == (2 if kind == "killed" else 1)


@pytest.mark.slow
def test_every_fault_at_every_call_of_a_csv_submission(tmp_path, capsys):
    outcomes = matrix(by_csv, CSV_WAY, tmp_path)
    with capsys.disabled():
        print("\n" + table(outcomes))
    assert [outcome for outcome in outcomes if outcome.wrong] == []
