"""Writing so that a reader, or the next start after a kill, sees the old file or the new one and never half of one."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from common.errors import DiskError
from common.leftovers import in_the_making, sweep_up
from common.locks import held

CHECKSUM = "checksum"


def regular(path: str | Path) -> Path:
    """The path. Raises OSError where it leads to a pipe or a device, whose bytes may never come or never end."""
    path = Path(path)
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return path
    raise OSError("it is a pipe, a socket or a device and no file")


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place. Those that killed processes left in
    the folder go.

    Raises:
        UserError: the folder cannot be written or the disk is full; what was at `path` before is untouched.
    """
    path = Path(path)
    temporary = in_the_making(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_up(path.parent)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:  # not the system's: of a connection that `write` reads from
            raise
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path, waiting: str) -> Iterator[None]:
    """One process at a time within the block; another prints `waiting`, and waits. The empty file stays.

    Raises:
        UserError: the file cannot be made.
    """
    with ExitStack() as own:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                own.enter_context(held(lock, wait=False))
            except BlockingIOError:
                print(waiting, flush=True)
                own.enter_context(held(lock))
        except OSError as error:
            raise cannot_write(lock, error) from error
        yield


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Raises ValueError for what is no JSON, too deeply nested JSON too."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_record(path: Path, value: dict[str, Any]) -> None:
    """A JSON object beside whose own fields `checksum` stands, the SHA-256 of the rest; see `read_record`."""
    plain = json.loads(json.dumps(value, default=str))
    write_json(path, {**plain, CHECKSUM: content_hash(plain, length=64)})


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` was given. A file without checksum, as an earlier version wrote it, is taken as it is.

    Raises:
        UserError: its bytes are not those that were written.
    """
    try:
        value = read_json(path)
        checksum = value.pop(CHECKSUM, None)
    except (ValueError, AttributeError, TypeError) as error:
        raise damaged(path) from error
    if checksum is not None and checksum != content_hash(value, length=64):
        raise damaged(path)
    return value


def cannot_write(path: Path, error: OSError) -> DiskError:
    return DiskError(f"cannot write {path}: {error.strerror or error}; free some space or choose another folder")


def damaged(path: Path, how: str = "is damaged: its bytes are not those that were written") -> DiskError:
    """The error of a file that is not as it was written."""
    run = next((folder for folder in Path(path).parents if (folder / "run.json").is_file()), None)
    again = f"remove the run's folder {run} and start the same command again" if run else "make it again"
    return DiskError(f"{path} {how}; put a copy of it back, or {again}")


def sha256_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(value: Any, length: int = 12) -> str:
    """The first `length` hex digits of the SHA-256 of a JSON-able value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
