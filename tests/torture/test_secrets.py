"""A session of every verb with a user's token: it is sent to the server that plays Kaggle, and is nowhere else."""

import base64
import os
import subprocess
import sys
import threading
import zipfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

from common.kaggle.practice.competition import PracticeCompetition
from common.kaggle.practice.dataset_store import DatasetStore
from common.kaggle.practice.kernel_store import KernelStore
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from common.metrics import evaluate
from competitions import load
from tests.practice_world import quick_settings
from tests.small_data import write_small_aptos
from tests.walks import TOKEN

ROOT = Path(__file__).resolve().parents[2]
SECRETS = (TOKEN.encode(), base64.b64encode(TOKEN.encode()), TOKEN.removeprefix("KGAT_").encode())


class Watched(threading.Thread):
    """The processes below this one, looked at every few hundredths of a second: the command lines of all, and the
    environment of notebooks' sessions, which run in the folder `sessions`."""

    def __init__(self, sessions: Path) -> None:
        super().__init__(daemon=True)
        self.sessions, self.over = str(sessions), threading.Event()
        self.lines, self.environments = {}, {}

    def run(self) -> None:
        while not self.over.wait(0.03):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    self.lines[process.pid] = " ".join(process.cmdline()).encode()
                    if process.cwd().startswith(self.sessions):
                        self.environments[process.pid] = str(process.environ()).encode()


@contextmanager
def watched(sessions: Path):
    watch = Watched(sessions)
    watch.start()
    yield watch
    watch.over.set()
    watch.join()


def practice(folder: Path) -> PracticeCompetition:
    """A tiny APTOS whose solution lies elsewhere."""
    competition = load("aptos")
    raw = write_small_aptos(folder / "kaggle" / "raw", n=30, n_test=5)
    sample = pd.read_csv(raw / "sample_submission.csv")
    solution = folder / "kaggle" / "solution.csv"
    sample.set_axis(["id", "label"], axis=1).assign(label=range(len(sample))).to_csv(solution, index=False)
    score = partial(evaluate, competition.metric, classes=len(competition.classes))
    return PracticeCompetition(competition.slug, competition.title, competition, raw, solution, score)


def contents(folder: Path):
    """(name, bytes) of every file, and of every file in the archives among them."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as packed:
                    yield from ((f"{path}: {name}", packed.read(name)) for name in packed.namelist())


def telling(named) -> list[str]:
    return [name for name, content in named if any(secret in content for secret in SECRETS)]


@pytest.mark.torture
def test_the_token_is_in_no_file_no_output_and_no_process_of_a_session_of_all_verbs(tmp_path, monkeypatch, say):
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)  # of the server's process, which starts the notebooks
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    (tmp_path / "tmp").mkdir()
    state = tmp_path / "state"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(tmp_path / "tmp")}
    environment |= {"KAGGLE_API_TOKEN": TOKEN, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with running([practice(tmp_path)], state, quick_settings()) as url, watched(state / "sessions") as watch:
        command = [sys.executable, "-m", "tests.torture.every_verb", url]
        said = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=600)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-3000:]
    assert said.stderr.splitlines()[-1].startswith("error: no answer from Kaggle")
    files = dict(contents(tmp_path))
    everything = [*files.items(), ("output", (said.stdout + said.stderr).encode())]
    everything += [(f"command line {pid}", line) for pid, line in watch.lines.items()]
    everything += [(f"environment {pid}", told) for pid, told in watch.environments.items()]
    store = Store(state)
    kernels, datasets = KernelStore(store), DatasetStore(store)
    pushed = [version for name in names(kernels) for version in kernels.versions(name)]
    made = [datasets.dataset(name) for version in pushed for name in (each.split("/")[1] for each in version.datasets)]
    say(
        f"{said.stdout.count('--- ') - 1} verbs: the token in {len(telling(everything))} of {len(files):,} files "
        f"({sum(map(len, files.values())) / 1e6:,.0f} MB, archives unpacked), {len(watch.lines)} command lines, "
        f"{len(watch.environments)} environments of sessions; "
        f"{len(made)} datasets and {len(pushed)} notebooks, all private"
    )
    assert telling(everything) == []
    assert len(watch.environments) >= 3, "two notebooks, and one of them again for its submission"
    assert len(pushed) == len(made) == 2
    assert all(dataset.private for dataset in made)
    assert all(version.request["isPrivate"] and not version.internet for version in pushed)


def names(kernels: KernelStore) -> list[str]:
    with kernels.database.transaction() as connection:
        return [row["slug"] for row in connection.execute("SELECT DISTINCT slug FROM kernel_versions")]
