"""The ways of a submission, walked with a fault at one call: what `tests.test_faults` makes its matrix of."""

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from common.kaggle.client import practice_client
from common.kaggle.ledger import Ledger
from common.kaggle.practice.dataset_store import DatasetStore
from common.kaggle.practice.faults import Fault, Kind, faulty
from common.kaggle.practice.kernel_store import KernelStore
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from tests.commands import submit_csv, submit_notebook
from tests.forked import Said, finish, start
from tests.practice_world import (
    LABELS,
    notebook,
    practice_competition,
    quick_settings,
    sample_submission,
    submission,
)

SLUG = "tiny-challenge"
DATASET = "tiny-run-1"
"""And the notebook."""
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


@dataclass(frozen=True)
class Outcome:
    """What came of one fault: `runs` is how many commands it took; `wrong` is empty where all is well."""

    fault: Fault | None
    runs: int
    first_error: str
    wrong: str
    calls: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.runs) if not self.wrong else "fail"


@dataclass(frozen=True)
class Walk:
    """A way to submit: the command, what it finds in its folder, and the calls that it makes."""

    command: Callable[[str, str], int]
    prepare: Callable[[Path], None]
    takes: str
    calls: tuple[str, ...]
    before: Callable[[str, Path], None] = lambda url, folder: None
    """What is on the server before, from a folder of its own."""
    dataset_versions: int = 0


def prepare_csv(work: Path) -> None:
    submission(work / "run.csv")
    sample_submission(work / "sample.csv")


def prepare_notebook(work: Path) -> None:
    sample_submission(work / "sample.csv")
    answer = f"truth = {LABELS.tolist()}\n" + (
        "lines = [f'{number:03},{label}' for number, label in enumerate(truth)]\n"
        "open('submission.csv', 'w').write('\\n'.join(['id,label', *lines]))"
    )
    (work / "notebook.ipynb").write_text(notebook(answer))
    (work / "weights").mkdir()
    (work / "weights" / "package-0123456789ab.txt").write_text("the mark")
    with zipfile.ZipFile(work / "weights" / "runs.zip", "w") as packed:
        packed.writestr("fold-0/weights.bin", bytes(range(256)) * 100)


def make_another_package(url: str, folder: Path) -> None:
    """The dataset is there, and holds something else."""
    (folder / "other").mkdir()
    (folder / "other" / "package-ba9876543210.txt").write_text("another mark")
    about = {"id": f"practice/{DATASET}", "title": "tiny run 1", "licenses": [{"name": "CC0-1.0"}]}
    (folder / "other" / "dataset-metadata.json").write_text(json.dumps(about))
    client = practice_client(url)
    client.api.dataset_create_new(str(folder / "other"), quiet=True)
    while client.api.dataset_status(f"practice/{DATASET}") != "ready":
        time.sleep(0.02)


CSV = Walk(
    submit_csv,
    prepare_csv,
    "csv",
    (
        "ListSubmissions",
        "GetSubmissionLimits",
        "StartSubmissionUpload",
        "PUT upload",
        "CreateSubmission",
        "GetSubmission",
    ),
)
NOTEBOOK = Walk(
    submit_notebook,
    prepare_notebook,
    "notebook",
    (
        "ListSubmissions",
        "GetSubmissionLimits",
        "GetDatasetStatus",
        "StartBlobUpload",
        "PUT upload",
        "CreateDataset",
        "ListDatasetFiles",
        "GetKernel",
        "SaveKernel",
        "GetKernelSessionStatus",
        "ListKernelSessionOutput",
        "GET output",
        "CreateCodeSubmission",
        "GetSubmission",
    ),
    dataset_versions=1,
)
NEW_VERSION = replace(NOTEBOOK, calls=("CreateDatasetVersion",), before=make_another_package, dataset_versions=2)
WALKS = {"csv": CSV, "notebook": NOTEBOOK, "new version": NEW_VERSION}


def twice(walk: Walk, folder: Path, fault: Fault | None = None, recorded: tuple[str, ...] = ()) -> Outcome:
    """The command twice, on a server of its own, with the fault at one call of the two."""
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    walk.prepare(work)
    practice = practice_competition(folder, walk.takes)
    with running([practice], folder / "state", quick_settings()) as url:
        walk.before(url, folder)
        with faulty(url, fault, recorded) as proxy:
            said = [command(walk.command, work, proxy) for _ in range(2)]
    wrong = what_is_wrong(walk, folder, said) if proxy.struck or fault is None else "the fault did not strike"
    return Outcome(fault, 2 - (said[0].exit_code == 0), said[0].err, wrong, tuple(proxy.calls))


def command(function: Callable, work: Path, proxy) -> Said:
    environment = {"HOME": str(work / "home"), "KAGGLE_API_TOKEN": TOKEN, "PATH": os.environ["PATH"]}
    process = start(function, proxy.url, TOKEN, folder=work, environment=environment)
    proxy.victim = process.pid
    return finish(process, work)


def what_is_wrong(walk: Walk, folder: Path, said: list[Said]) -> str:
    """Nothing, where one submission is on the server, with its score in the ledger, and the token nowhere."""
    if said[-1].exit_code:
        return f"the last command ends with {said[-1].exit_code}: {said[-1].err}"
    if any("Traceback" in each.err for each in said):
        return said[0].err + said[1].err
    store = Store(folder / "state")
    submissions = store.submissions(SLUG)
    made = len(submissions), len(DatasetStore(store).versions(DATASET)), len(KernelStore(store).versions(DATASET))
    if made != (1, walk.dataset_versions, min(walk.dataset_versions, 1)):
        return f"{made} submissions, versions of the dataset, versions of the notebook"
    rows = [(row.state, row.ref, row.public_score) for row in Ledger(folder / "work/submissions/ledger.sqlite").rows()]
    if rows != [("scored", submissions[0].ref, 1.0)]:
        return f"the ledger holds {rows}"
    telling = [each for each in said if TOKEN in each.out + each.err]
    holding = [file.name for file in folder.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    return f"the token is in {holding or 'the output'}" if telling or holding else ""


def matrix(walk: Walk, folder: Path, workers: int = 6) -> list[Outcome]:
    """Every fault that makes sense at every call, each once."""
    recorded = twice(walk, folder / "recorded")
    assert not recorded.wrong, recorded.wrong
    assert set(walk.calls) <= set(recorded.calls) <= {call for each in WALKS.values() for call in each.calls}
    faults = [Fault(kind, call) for call in walk.calls for kind in (TRANSFER if " " in call else CALL)]

    def cell(number: int) -> Outcome:
        return twice(walk, folder / str(number), faults[number], recorded.calls)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(cell, range(len(faults))))


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


def took_two(outcomes: list[Outcome]) -> list[Outcome]:
    """A process that is killed is given the command again; so is one that nobody listened to for long."""
    return [each for each in outcomes if each.runs > 1 and each.fault.kind not in ("killed", "refused")]
