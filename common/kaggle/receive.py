"""One archive into a file, by the official client's `download_file`: it goes on from the bytes on disk where its marker
beside them says that they belong to the object on the server, by ETag and size."""

import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from common.archive import MEGABYTE, check_space
from common.errors import UserError
from common.files import read_json
from common.kaggle.client import Client
from common.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from kaggle import KaggleApi
    from kagglesdk import KaggleClient

    Ask = Callable[[KaggleClient], requests.Response]

MARKER = ".kaggle-partial"
CHUNK = 64 * 1024
LOOK_EVERY = 1.0


def receive(archive: Path, what: str, page: str, client: Client, ask: "Ask") -> int:
    """Fetch a zip archive and return its size in bytes; what is whole is not fetched again.

    Each attempt asks for a new address, for the last one may have expired meanwhile; so the official client's own
    retries, which ask the old one again, are turned off. An attempt that brought something on is followed by another as
    often as it takes; one that brought nothing is `Client.call`'s to repeat.

    Args:
        what: names it to `Client.call`.
        page: where a person can look at what is fetched.
        ask: makes the call that is answered by the archive, streamed.

    Raises:
        UserError: the leaderboard refuses, the disk is too small, or what comes is no archive. What has come is kept.
        OSError: it cannot be written. What has come is kept.
    """
    while not is_whole(archive):
        client.call(lambda api: _attempt(api, archive, f"{client.leaderboard}: downloading {what}", page, ask), what)
    return archive.stat().st_size


def is_whole(archive: Path) -> bool:
    """Whether all bytes are there: as many as the marker says; without a marker, as a zip's table of contents is at its
    end, whether it has one."""
    if not archive.is_file():
        return False
    try:
        return archive.stat().st_size == read_json(_marker(archive))["size"]
    except (OSError, json.JSONDecodeError, TypeError, KeyError):
        return zipfile.is_zipfile(archive)


def remove(archive: Path) -> None:
    archive.unlink(missing_ok=True)
    _marker(archive).unlink(missing_ok=True)


def _marker(archive: Path) -> Path:
    return archive.with_name(archive.name + MARKER)


def _attempt(api: "KaggleApi", archive: Path, line: str, page: str, ask: "Ask") -> None:
    before = _bytes_in(archive)
    with api.build_kaggle_client() as kaggle, ask(kaggle) as answer:
        size = _size(answer, line, page)
        # Images do not get smaller in a zip: unpacked they take as much again.
        check_space(archive.parent, 2 * size - before, line)
        options = {"quiet": True, "resume": True, "max_retries": 0, "chunk_size": CHUNK}
        try:
            with _watched(archive, size, line):
                api.download_file(answer, str(archive), kaggle.http_client(), **options)
        except requests.RequestException:
            if _bytes_in(archive) == before:
                raise
            return
        except ValueError as error:  # other bytes than those asked for
            remove(archive)
            raise requests.ConnectionError(error) from error
    if not zipfile.is_zipfile(archive):
        remove(archive)
        raise UserError(f"{line}: what came is no zip archive; look at {page}")


def _size(answer: requests.Response, line: str, page: str) -> int:
    """Raises UserError where the answer is no file: a page of the site, or of a proxy that wants a login."""
    length = answer.headers.get("Content-Length", "")
    if "html" in answer.headers.get("Content-Type", "") or not length.isdecimal():
        raise UserError(f"{line}: a web page came in place of the archive; look at {page}, or whether a proxy asks you")
    return int(length)


def _bytes_in(archive: Path) -> int:
    return archive.stat().st_size if archive.exists() else 0


@contextmanager
def _watched(archive: Path, size: int, line: str) -> Iterator[None]:
    """Shows the progress of a download by the size of its file, since the official client only draws on terminals."""
    finished = threading.Event()

    def watch(progress: Progress) -> None:
        while not finished.wait(LOOK_EVERY):
            progress.update(_bytes_in(archive) // MEGABYTE - progress.count)

    with Progress(size // MEGABYTE, line, "MB", done=_bytes_in(archive) // MEGABYTE) as progress:
        watcher = threading.Thread(target=watch, args=[progress], daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
