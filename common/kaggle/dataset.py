"""A package as a private dataset on the leaderboard's server: made or versioned once, and waited for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common.errors import UserError
from common.kaggle.client import Client
from common.kaggle.package import Package, write_metadata
from common.kaggle.polling import Polling
from common.kaggle.reasons import none_if_unknown
from common.progress import clock

if TYPE_CHECKING:
    from kaggle import KaggleApi

PATIENCE = 3600.0
"""Seconds for the server to unpack what was uploaded."""


def ensure_dataset(package: Package, client: Client) -> str:
    """The dataset `owner/slug` whose current version is this package, uploaded unless it is there already.

    The package names one of its files after its own hash, so that the list of files tells what a version holds.

    Raises:
        UserError: the server refuses it, could not unpack it, or lacks the file when it says that it is ready.
    """
    ref = f"{client.owner}/{package.slug}"
    write_metadata(package, client.owner)
    if _is_current(package, client, ref):
        return ref
    client.call(lambda api: _upload(api, package, ref), f"dataset {ref}")
    if not _is_current(package, client, ref):
        raise UserError(f"{client.leaderboard}: dataset {ref} lacks {package.mark}: run the same command again")
    return ref


def _upload(api: "KaggleApi", package: Package, ref: str) -> None:
    """A new dataset, or a new version of it. What an answer that was lost has done is found first."""
    status = _status(api, ref)
    if status is None:
        answer = api.dataset_create_new(str(package.folder), quiet=True)
    elif status == "ready" and package.mark not in _files(api, ref):
        answer = api.dataset_create_version(str(package.folder), f"package {package.sha256[:12]}", quiet=True)
    else:
        return
    if answer.error:
        raise UserError(f"dataset {ref} was refused: {answer.error}")


def _is_current(package: Package, client: Client, ref: str) -> bool:
    """Whether the version that is ready, after the wait for it, holds the package."""
    polling = Polling(f"{client.leaderboard}: dataset {ref} is being unpacked")
    while (status := client.call(lambda api: _status(api, ref), f"dataset {ref}")) not in (None, "ready"):
        if status in ("failed", "deleted"):
            raise UserError(
                f"{client.leaderboard}: dataset {ref} is {status}: delete it there and run the same command"
            )
        if polling.waited > PATIENCE:
            raise UserError(
                f"{client.leaderboard}: dataset {ref} is not ready after {clock(polling.waited)}: run the same command "
                "again to wait on"
            )
        polling.pause()
    return status is not None and client.call(lambda api: package.mark in _files(api, ref), f"dataset {ref}")


def _status(api: "KaggleApi", ref: str) -> str | None:
    """As `KaggleApi.dataset_status` has it; None where there is no such dataset."""
    return none_if_unknown(lambda: api.dataset_status(ref))


def _files(api: "KaggleApi", ref: str) -> Iterator[str]:
    token = None
    while token != "":
        page = api.dataset_list_files(ref, page_token=token, page_size=200)
        if page.error_message:
            raise UserError(f"dataset {ref}: {page.error_message}")
        yield from (file.name for file in page.files)
        token = page.next_page_token or ""
