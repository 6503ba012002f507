"""A row of the catalogue, and how it is tried: the whole download, spoilt in one place, through the command line."""

import contextlib
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from competitions.__main__ import run

PREPARE = ("prepare", "--input-size", "32", "--folds", "2", "--workers", "1")
KEPT = ("cache/", "data/.")
"""Where a refused command may leave what it has done so far, for the same command to go on with: part of a cache, and
of an unpacked archive, under a hidden name."""


@dataclass(frozen=True)
class Case:
    """One way to be wrong, for one competition or for several that it concerns alike.

    `said` is a part of the one line that names the culprit, or of what is printed where the command goes on
    (`handled`). `check(raw, said)` looks at what came of it.
    """

    name: str
    spoil: Callable[[Path], None]
    """What is done to the whole download of `Case.competitions`, which it is given; or to the working folder, its
    grandparent."""
    said: str
    competitions: tuple[str, ...] = ("aptos",)
    words: tuple[str, ...] = PREPARE
    handled: bool = False
    check: Callable[[Path, str], None] | None = None
    quick: bool = True
    """False: one of several that say much the same, for `make torture` alone."""


def try_case(case: Case, name: str, folder: Path) -> None:
    """In the working folder `folder`, with the download in `data/<name>`. Whatever becomes of the command, every file
    that was there stays as it was; a refusal leaves nothing outside `KEPT`."""
    raw = folder / "data" / name
    case.spoil(raw)
    before = listing(folder)
    code, out, error = outcome(name, *case.words)
    after = listing(folder)
    assert {path: after.get(path) for path in before} == before, "a file was lost or changed"
    assert not [path for path in after if path.endswith((".tmp", ".unfinished"))], "half a file is left"
    if case.handled:
        assert code == 0, error
        assert case.said in out + error
    else:
        assert_refused(case.said, code, error)
        left = [path for path in sorted(after.keys() - before.keys()) if not path.startswith(KEPT)]
        assert not left, f"a refused command left {left}"
    if case.check:
        case.check(raw, out + error)


def assert_refused(said: str, code: int, error: str) -> None:
    """Exit code 2, and in the end one line with what is `said`."""
    assert code == 2, error
    lines = error.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert said in lines[-1]
    assert sum(line.startswith("error:") for line in lines) == 1
    assert "Traceback" not in error


def outcome(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, in this process."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = run(list(words))
    return code, out.getvalue(), error.getvalue()


def listing(folder: Path) -> dict[str, str]:
    """Path below the folder → what it holds, of every file and link."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(folder)): content_of(path) for path in found}


def content_of(path: Path) -> str:
    return f"→ {path.readlink()}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
