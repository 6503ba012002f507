"""Downloads: the raw folder as one archive or file by file, under signed addresses that expire."""

import hashlib
import hmac
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from common.files import write_atomically
from common.kaggle.practice.board import Refused
from common.kaggle.practice.competition import PracticeCompetition
from common.sample import MARK

LIFETIME = 3600
packing = threading.Lock()


def files(practice: PracticeCompetition) -> Iterator[tuple[str, Path]]:
    """Name and path of each file that may be downloaded, sorted by name: never the solution, nothing hidden
    but the mark of sample data, so that a copy is known for what it is."""
    solution = practice.solution.resolve()
    for path in sorted(practice.raw.rglob("*")):
        name = path.relative_to(practice.raw)
        hidden = any(part.startswith(".") for part in name.parts) and name.name != MARK
        if path.is_file() and path.resolve() != solution and not hidden:
            yield name.as_posix(), path


def file(practice: PracticeCompetition, name: str) -> Path:
    """The path of one file. A name that leads anywhere else is not there."""
    path = (practice.raw / name).resolve()
    hidden = path == practice.solution.resolve() or not path.is_relative_to(practice.raw.resolve())
    if hidden or not path.is_file():
        raise Refused(404, f"no file '{name}' in '{practice.slug}'")
    return path


def archive(practice: PracticeCompetition, state: Path) -> Path:
    """All files as one zip, made anew where a name, a size or a time has changed."""
    with packing:
        everything = list(files(practice))
        stats = [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in everything]
        fingerprint = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
        path = state / "archives" / f"{practice.slug}-{fingerprint}.zip"
        if not path.exists():
            for stale in path.parent.glob(f"{practice.slug}-*.zip"):
                stale.unlink()
            write_atomically(path, lambda temporary: _pack(temporary, everything))
        return path


def sign(path: str, secret: str) -> str:
    """The path with its time of expiry and a signature over both."""
    expires = str(int(time.time()) + LIFETIME)
    return f"{quote(path)}?{urlencode({'expires': expires, 'signature': _signature(path, expires, secret)})}"


def check_signature(path: str, expires: str, signature: str, secret: str) -> None:
    """Raises Refused where the address was not made by `sign`, or is too old."""
    if not hmac.compare_digest(_signature(path, expires, secret).encode(), signature.encode()):
        raise Refused(403, "this address is not signed")
    if int(expires) < time.time():
        raise Refused(403, "this address has expired: ask for a new one")


def _signature(path: str, expires: str, secret: str) -> str:
    return hmac.new(secret.encode(), f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def _pack(target: Path, everything: list[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:  # images do not get smaller
        for name, path in everything:
            packed.write(path, name)
