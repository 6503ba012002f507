"""A competition's data or a dataset, into a folder: fetched, resumed, and unpacked without trusting the archive.

Each step leaves a trace by which the next start knows it as done: the archive's marker while it is fetched, the files'
names while it is unpacked, and last `.downloaded.json`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

from common.archive import is_inner, unpack, unpack_inner
from common.errors import UserError
from common.files import read_json, write_json
from common.kaggle.client import Client
from common.kaggle.receive import receive, remove

if TYPE_CHECKING:
    import requests
    from kagglesdk import KaggleClient

DONE = ".downloaded.json"


def download(source: str, folder: Path, client: Client) -> Path:
    """Fetch all files of `source` into `folder` and unpack them; what is there already is not fetched again. An archive
    in the archive, as old competitions have it, is unpacked too.

    Args:
        source: `competitions/SLUG` or `datasets/OWNER/SLUG`, the path of its page on Kaggle.

    Raises:
        UserError: the disk is too small, the leaderboard refuses, the archive is broken or unsafe, or the folder holds
            another download. What has come is kept, and the same call goes on.
    """
    kind, _, slug = source.partition("/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            archive = folder / f"{slug.rpartition('/')[2]}.download.zip"  # a name that no file in it has
            known = _known(folder, client.leaderboard, slug)
            if known is None:
                what = slug if kind == "competitions" else f"dataset {slug}"
                page = f"https://www.kaggle.com/{source}"
                size = receive(archive, what, page, client, lambda kaggle: _ask(kaggle, kind, slug))
                inner = [name for name in unpack(archive, folder) if is_inner(name)]
                known = {"leaderboard": client.leaderboard, "slug": slug, "bytes": size, "inner": inner}
                write_json(folder / DONE, known)
            elif not known.get("inner"):
                again = f"delete {folder / DONE} to fetch it again"
                print(f"{client.leaderboard}: '{slug}' is already in {folder}; {again}", flush=True)
            remove(archive)
            _unpack_inner(folder, known)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; free some space or mend it: what has come is kept, "
            "and the same command goes on"
        ) from error
    return folder


def _ask(kaggle: "KaggleClient", kind: str, slug: str) -> "requests.Response":
    """The archive, streamed: the call of the official client's `competition_download_files` or
    `dataset_download_files`, which would not say what came before it is written."""
    if kind == "competitions":
        request = ApiDownloadDataFilesRequest()
        request.competition_name = slug
        return kaggle.competitions.competition_api_client.download_data_files(request)
    request = ApiDownloadDatasetRequest()
    request.owner_slug, _, request.dataset_slug = slug.partition("/")
    return kaggle.datasets.dataset_api_client.download_dataset(request)


def _known(folder: Path, leaderboard: str, slug: str) -> dict | None:
    """What was unpacked here, or None where nothing was. Raises UserError where that was something else."""
    if not (folder / DONE).exists():
        return None
    known = read_json(folder / DONE)
    if (known["leaderboard"], known["slug"]) != (leaderboard, slug):
        raise UserError(f"{folder} holds '{known['slug']}' from {known['leaderboard']}: choose another with --data")
    return known


def _unpack_inner(folder: Path, known: dict) -> None:
    """One by one, and each is deleted once its files are there: the largest are tens of gigabytes."""
    if not known.get("inner"):
        return
    for name in known["inner"]:
        if (folder / name).exists():
            unpack_inner(folder / name)
    write_json(folder / DONE, known | {"inner": []})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two downloads into one folder would write into one file."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another download into {folder} is under way: wait until it is done") from error
        yield
    finally:
        os.close(opened)
