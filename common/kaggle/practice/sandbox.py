"""The folder and the process in which a session runs: Kaggle's folders, read-only input, no network, a time limit."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.kaggle.practice.session import Log, kill_descendants

ISOLATED = (
    'ip link set lo up 2>/dev/null; mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"; '  # as Kaggle's input
    'shift; exec "$@"'
)
NOT_ISOLATED = "practice: `unshare` does not work on this machine: the network could not be cut off\n"
LARGEST_OUTPUT = int(19.5 * 1024**3)
MOST_FILES = 500


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
        """Run the notebook for at most `seconds`; None where `stop` was set before it ended."""
        # Sockets of the notebook's processes lie in TMPDIR, and must have short paths.
        with tempfile.TemporaryDirectory(prefix="practice-") as short:
            temporary = Path(short) / "tmp"
            temporary.symlink_to(self.folder / "tmp")
            process = self._start([*command, str(self.folder)], internet, self._environment(temporary, rerun))
            try:
                deadline = time.monotonic() + seconds
                while process.poll() is None and time.monotonic() < deadline and not stop.wait(0.05):
                    pass
                ended = process.poll() is not None
            finally:
                kill_descendants(process.pid)
                process.kill()
                process.wait()
                process.stdin.close()
        if not ended:
            return None if stop.is_set() else Outcome("Notebook Timeout", f"it ran longer than {seconds:,.0f} s")
        return self._outcome(process.returncode)

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
        if can_isolate():
            flags = "-rm" if internet else "-rmn"
            command = ["unshare", flags, "sh", "-c", ISOLATED, "sh", str(self.input), *command]
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
        """This process's, without credentials and without this project on the path."""
        hidden = ("KAGGLE_", "PYTHONPATH", "XDG_", "JUPYTER_", "IPYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        kept |= {"HOME": str(self.folder / "home"), "TMPDIR": str(temporary), "KAGGLE_KERNEL_RUN_TYPE": "Batch"}
        return kept | ({"KAGGLE_IS_COMPETITION_RERUN": "1"} if rerun else {})

    def _outcome(self, code: int) -> Outcome:
        failure = self.folder / "failure.txt"
        if code:
            reason = failure.read_text(encoding="utf-8") if failure.exists() else self._last_words(code)
            return Outcome("Notebook Threw Exception", reason)
        sizes = [path.lstat().st_size for path in self.working.rglob("*") if path.is_file()]
        if len(sizes) > MOST_FILES or sum(sizes) > LARGEST_OUTPUT:
            return Outcome("Notebook Output Too Large", f"{len(sizes):,} files with {sum(sizes):,} bytes")
        return Outcome()

    def _last_words(self, code: int) -> str:
        lines = (self.folder / "session.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else f"its process ended with {code}"


@cache
def can_isolate() -> bool:
    """Whether a process without privileges may have its own mounts and network here."""
    try:
        return subprocess.run(["unshare", "-rmn", "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
