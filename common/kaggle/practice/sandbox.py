"""The folder and the process in which a session runs: Kaggle's folders, read-only input, no network, and limits."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from common.kaggle.credentials import credential_files
from common.kaggle.practice.limits import Limits, Watch
from common.kaggle.practice.session import Log, kill_descendants

ISOLATED = (  # input as Kaggle's, files of credentials empty
    'ip link set lo up 2>/dev/null; mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"; shift; '
    'while [ "$1" != -- ]; do mount --bind /dev/null "$1" || exit 1; shift; done; shift; exec "$@"'
)
YIELDING = (  # where this machine is short of something, the notebook goes short first
    '{ echo 1000 > /proc/self/oom_score_adj; ulimit -u 4096 || ulimit -p 4096; } 2>/dev/null; exec nice -n 5 "$@"'
)
PASSED_ON = ("PATH", "LANG", "LC_", "TZ", "LD_LIBRARY_PATH", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_")
NOT_ISOLATED = "practice: `unshare` does not work on this machine: the network could not be cut off\n"
OWN_PROCESSES = ("-p", "--fork", "--kill-child", "--mount-proc")
"""A namespace in which every process dies with the first, however many there are and however quickly they multiply."""
MOST_FILES = 500
LOOK_EVERY = 0.2
"""Seconds between two looks at what a session takes, or ten times as long as a look lasts."""
LAST_WORDS = 10_000


@dataclass(frozen=True)
class Outcome:
    """How a session ended: `failure` in Kaggle's words, "" where it is complete, and the `detail`."""

    failure: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.failure}: {self.detail}" if self.detail else self.failure


@dataclass(frozen=True)
class Sandbox:
    """Laid out by `fill`, run by `run`; `working` keeps what the notebook wrote."""

    folder: Path
    limits: Limits = field(default_factory=Limits)

    @property
    def input(self) -> Path:
        return self.folder / "kaggle" / "input"

    @property
    def working(self) -> Path:
        return self.folder / "kaggle" / "working"

    def fill(self, source: str, kernel_type: str, inputs: dict[str, Iterable[tuple[str, Path]]]) -> None:
        """Start anew: the notebook, and under its name each input with its files as links."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.input, self.working, self.folder / "home", self.folder / "tmp"):
            folder.mkdir(parents=True)
        for name, files in inputs.items():
            (self.input / name).mkdir(exist_ok=True)
            for file, path in files:
                link = self.input / name / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        text = json.dumps(self._notebook(source, kernel_type))
        (self.folder / "notebook.ipynb").write_text(text, encoding="utf-8")

    def run(
        self, command: Iterable[str], internet: bool, rerun: bool, seconds: float, stop: threading.Event
    ) -> Outcome | None:
        """Run the notebook for at most `seconds` and within the limits; None where `stop` was set before it ended."""
        # Sockets of the notebook's processes lie in TMPDIR, and must have short paths.
        with tempfile.TemporaryDirectory(prefix="practice-") as short:
            temporary = Path(short) / "tmp"
            temporary.symlink_to(self.folder / "tmp")
            process = self._start([*command, str(self.folder)], internet, self._environment(temporary, rerun))
            try:
                cut_short = self._await(process, seconds, stop)
                stopped = cut_short is None and process.poll() is None
            finally:
                kill_descendants(process.pid)
                process.kill()
                process.wait()
                process.stdin.close()
        return None if stopped else cut_short or self._outcome(process.returncode)

    def _await(self, process: subprocess.Popen, seconds: float, stop: threading.Event) -> Outcome | None:
        """Why it must not go on, or None where it has ended by itself or `stop` was set."""
        written = [self.folder / name for name in ("kaggle/working", "home", "tmp", "session.log")]
        watch = Watch(process.pid, written, self.limits)
        deadline = time.monotonic() + seconds
        look = 0.0
        while process.poll() is None and not stop.wait(0.05):
            now = time.monotonic()
            if now > deadline:
                return Outcome("Notebook Timeout", f"it ran longer than {seconds:,.0f} s")
            if now > look:
                if excess := watch.taken_too_much():
                    return Outcome("Notebook Exceeded Limits", excess)
                look = time.monotonic() + max(LOOK_EVERY, 10 * (time.monotonic() - now))
        return None

    def tidy(self) -> None:
        """Keep the output, the log and the notebook alone."""
        for folder in (self.input, self.folder / "home", self.folder / "tmp"):
            shutil.rmtree(folder, ignore_errors=True)

    def _notebook(self, source: str, kernel_type: str) -> dict:
        """A script is a notebook of one cell. Kaggle's folders are this one's."""
        if kernel_type == "script":
            cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
            notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
        else:
            notebook = json.loads(source)
        for cell in notebook["cells"]:
            if cell.get("cell_type") == "code":
                cell["source"] = "".join(cell["source"]).replace("/kaggle/", f"{self.folder}/kaggle/")
        return notebook

    def _start(self, command: list[str], internet: bool, environment: dict[str, str]) -> subprocess.Popen:
        command = ["sh", "-c", YIELDING, "sh", *command]
        if can_isolate():
            hidden = map(str, credential_files())
            flags = [*(() if internet else ("-n",)), *(OWN_PROCESSES if can_isolate(OWN_PROCESSES) else ())]
            command = ["unshare", "-rm", *flags, "sh", "-c", ISOLATED, "sh", str(self.input), *hidden, "--", *command]
        elif not internet:
            Log(self.folder / "log.jsonl").write("stderr", NOT_ISOLATED)
        with open(self.folder / "session.log", "wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.working,
                env=environment,
                stdin=subprocess.PIPE,  # open for as long as this process lives: the session ends with it
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self, temporary: Path, rerun: bool) -> dict[str, str]:
        """Of this process's what programs and their libraries need: neither credentials, whose ever they are, nor this
        project on the path."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        kept |= {"HOME": str(self.folder / "home"), "TMPDIR": str(temporary), "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
        return kept | ({"KAGGLE_IS_COMPETITION_RERUN": "1"} if rerun else {})

    def _outcome(self, code: int) -> Outcome:
        failure = self.folder / "failure.txt"
        if code:
            reason = _tail(failure) or next(reversed(_tail(self.folder / "session.log").splitlines()), "")
            return Outcome("Notebook Threw Exception", reason or f"its process ended with {code}")
        sizes = [path.lstat().st_size for path in self.working.rglob("*") if path.is_file()]
        if len(sizes) > MOST_FILES or sum(sizes) > self.limits.disk:
            return Outcome("Notebook Output Too Large", f"{len(sizes):,} files with {sum(sizes):,} bytes")
        return Outcome()


def _tail(file: Path) -> str:
    """The end of a text that may be of any length, or "" where there is none."""
    with suppress(FileNotFoundError), open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - LAST_WORDS))
        return opened.read().decode(errors="replace")
    return ""


@cache
def can_isolate(more: tuple[str, ...] = ()) -> bool:
    """Whether a process without privileges may have its own mounts and network here, and `more` of `unshare`."""
    try:
        return subprocess.run(["unshare", "-rmn", *more, "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
