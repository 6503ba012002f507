"""Surroundings that are not what a command expects: what a shell, a cron job or a container may leave out."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    *("train", "--backbone", "test_resnet", "--weights", "none", "--input-size", "32", "--folds", "2", "--epochs", "1"),
    *("--batch-size", "4", "--only-folds", "0", "--tta", "none", "--device", "cpu"),
)
WORKER = (*TRAIN, "--workers", "1")
PREPARE = ("prepare", "--input-size", "32", "--folds", "2", "--workers", "2")
NO_SHM = "mount -t tmpfs -o ro,size=4k none /dev/shm && exec "
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOT_UTF8 = "the name of a file or folder is not in UTF-8"
NO_UNSHARE = "this machine lets nobody hide /dev/shm"


@dataclass(frozen=True)
class Environment:
    """A command of cassava in a process of its own. `shell` is what stands before it in a shell's line, `after` behind
    it; `said` is part of standard output, or of the one line of an error."""

    name: str
    words: tuple[str, ...]
    said: str
    handled: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    shell: str = "exec "
    after: str = ""
    folder: str = "world"
    own_mounts: bool = False


CHEAP = [
    Environment(
        "a terminal that knows ASCII alone",
        ("train", "--help"),
        "--learning-rate",
        variables=ASCII,
    ),
    Environment("no standard input", ("runs",), "no runs of cassava yet", shell="exec 0<&-; exec "),
    Environment(
        "a terminal of no size", ("runs",), "no runs", variables={"TERM": "nonsense", "COLUMNS": "many", "LINES": "-3"}
    ),
]
"""Quick: they load no network."""

WHOLE = [
    Environment("no HOME", WORKER, "held-out images", without=("HOME",)),
    Environment("a HOME that cannot be written", WORKER, "held-out images", variables={"HOME": "/proc/1/nothing"}),
    Environment("a HOME that is a file", WORKER, "held-out images", variables={"HOME": "/dev/null"}),
    Environment("no USER", WORKER, "held-out images", without=("USER", "LOGNAME")),
    Environment(
        "a folder of blanks and other letters", WORKER, "held-out images", folder='größe mit 网 blank\'s "quoted"'
    ),
    Environment("a folder whose name is not in UTF-8", PREPARE, NOT_UTF8, False, folder="gr\udcf6\udcdfe"),
    Environment("ASCII alone in a folder of other letters", PREPARE, NOT_UTF8, False, ASCII, folder="größe"),
    Environment("the POSIX locale", WORKER, "held-out images", variables={"LC_ALL": "POSIX"}),
    Environment("a locale that is not there", WORKER, "held-out images", variables={"LC_ALL": "de_DE.ISO-8859-1"}),
    Environment("no TMPDIR", WORKER, "held-out images", variables={"TMPDIR": "/nowhere"}),
    Environment("no standard output", WORKER, "", after=" >&-"),
    Environment("no standard error", WORKER, "held-out images", after=" 2>&-"),
    Environment("no standard stream at all", PREPARE, "", shell="exec 0<&- 1>&- 2>&-; exec "),
    Environment("few open files", WORKER, "held-out images", shell="ulimit -n 64; exec "),
    Environment(
        "too few open files",
        PREPARE,
        "Too many open files; ",
        False,
        shell="ulimit -n 16; exec ",
    ),
    Environment(
        "no /dev/shm to decode",
        PREPARE,
        "cannot start processes to decode images: Read-only",
        False,
        shell=NO_SHM,
        own_mounts=True,
    ),
    Environment(
        "no /dev/shm and no processes",
        (*TRAIN, "--workers", "0"),
        "cannot start processes",
        False,
        shell=NO_SHM,
        own_mounts=True,
    ),
]
"""A training, or what it begins with."""


def may_hide_mounts() -> bool:
    hidden = ["unshare", "-m", "sh", "-c", NO_SHM + "true"]
    return bool(shutil.which("unshare")) and subprocess.run(hidden, capture_output=True, check=False).returncode == 0


def command(case: Environment, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess:
    """The case's command in `folder`, with its changes to the environment `variables`."""
    kept = {name: value for name, value in variables.items() if name not in case.without}
    environment = {**kept, **case.variables, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "competitions", "cassava", *case.words]
    shell = ["bash", "-c", f'{case.shell}"$@"{case.after}', "bash", *program]
    whole = ["unshare", "-m", *shell] if case.own_mounts else shell
    return subprocess.run(whole, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
