"""The competition's data: fetched by the official client, which resumes, and unpacked without trusting the archive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

from common.archive import MEGABYTE, check_space, unpack
from common.competition import Competition
from common.errors import UserError
from common.files import read_json, write_json
from common.kaggle.client import Client, slug_of
from common.progress import Progress

DONE = ".downloaded.json"


def download(competition: Competition, folder: Path, client: Client) -> Path:
    """Fetch all files of the competition into `folder` and unpack them; what is there already is not fetched again.

    Raises:
        UserError: the disk is too small, the leaderboard refuses, or the archive is broken or unsafe.
    """
    slug = slug_of(competition)
    done = folder / DONE
    if done.exists():
        print(f"{read_json(done)['leaderboard']}: '{slug}' is already in {folder}; delete {done} to fetch it again")
        return folder
    archive = folder / f"{slug}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        size = _size(client, slug)
        there = archive.stat().st_size if archive.exists() else 0
        if there < size:  # images do not get smaller in a zip: unpacked they take as much again
            check_space(folder, 2 * size - there, f"'{slug}' from {client.leaderboard}")
        with _watched(archive, size, f"{client.leaderboard}: downloading '{slug}'"):
            client.call(lambda api: api.competition_download_files(slug, path=str(folder), quiet=True), slug)
        unpack(archive, folder)
        archive.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; free some space or mend it") from error
    except ValueError as error:
        raise UserError(f"{archive} did not come whole ({error}): run the same command again") from error
    write_json(done, {"leaderboard": client.leaderboard, "slug": slug, "bytes": size})
    return folder


def _size(client: Client, slug: str) -> int:
    """Bytes of the archive, from the head of an answer whose body is not read."""
    request = ApiDownloadDataFilesRequest()
    request.competition_name = slug

    def ask(api) -> int:
        with api.build_kaggle_client() as kaggle:
            response = kaggle.competitions.competition_api_client.download_data_files(request)
            with response:
                return int(response.headers.get("Content-Length", 0))

    return client.call(ask, slug)


@contextmanager
def _watched(archive: Path, size: int, what: str) -> Iterator[None]:
    """Shows the progress of a download by the size of its file, since the official client only draws on terminals."""
    finished = threading.Event()

    def received() -> int:
        return archive.stat().st_size if archive.exists() else 0

    def watch(progress: Progress) -> None:
        while not finished.wait(1.0):
            progress.update(received() // MEGABYTE - progress.count)

    with Progress(size // MEGABYTE, what, "MB", done=received() // MEGABYTE) as progress:
        watcher = threading.Thread(target=watch, args=[progress], daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
