"""The official client, with what it swallows raised, and without the retries that repeat what must not be repeated.

Importing `kaggle` authenticates, prints and may exit, so this module is imported when the first call is made.
"""

import io
import logging
import os
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import requests
from kagglesdk.kaggle_http_client import KaggleHttpClient

from common.errors import UserError
from common.kaggle.credentials import NEEDED, check_token, warn_of_readers
from common.kaggle.reasons import InTrouble, UploadFailed, is_trouble

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold the addresses of uploads
try:  # in silence, and off the network
    with mock.patch.object(KaggleHttpClient, "call", side_effect=ConnectionError), redirect_stdout(io.StringIO()):
        from kaggle import KaggleApi
        from kaggle.api.kaggle_api_extended import ResumableUploadResult
except OSError as error:
    raise UserError(f"the kaggle client cannot use {error.filename}: set KAGGLE_CONFIG_DIR to a folder") from error


class OfficialApi(KaggleApi):
    """`KaggleApi` for `Client.call`, which alone repeats, and only what looks before it acts."""

    def with_retry(self, func, *_, **__):
        """The official one repeats the creation of a dataset up to ten times, whatever became of the answer."""
        return func

    def dataset_status(self, dataset: str, format: str | None = None) -> str:
        """The official `dataset_create_new` takes any HTTPError for "there is no such dataset", trouble too."""
        try:
            return super().dataset_status(dataset, format)
        except requests.HTTPError as error:
            if is_trouble(error.response.status_code):
                raise InTrouble(str(error), response=error.response) from error
            raise

    def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> ResumableUploadResult:
        """PUT the file to a resumable upload's address, with `resume` from where an earlier one stopped.

        The official one retries for minutes, prints what goes wrong with the signed address in it, and goes on.

        Returns:
            COMPLETE, or FAILED where the address is not good any more.

        Raises:
            UploadFailed: it broke off, or the server is in trouble; what has come is kept.
        """
        size, start = Path(path).stat().st_size, 0
        try:
            with requests.Session() as session, open(path, "rb") as file:
                if resume:
                    answer = session.put(url, headers={"Content-Range": f"bytes */{size}"})
                    if answer.status_code != 308:
                        return _verdict(answer)
                    start = int(answer.headers.get("Range", "bytes=0--1").split("-", 1)[1]) + 1
                file.seek(start)
                headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
                return _verdict(session.put(url, data=file, headers=headers))
        except UploadFailed:
            raise
        except requests.RequestException as error:  # without its text, which names the address
            raise UploadFailed(f"{Path(path).name}: {type(error).__name__}") from None

    def _upload_file(self, file_name, full_path, blob_type, upload_context, *rest, **options):
        """The official one returns None for an upload that failed, and the dataset is made without the file."""
        upload_context._temp_dir = str(_private_folder())
        uploaded = super()._upload_file(file_name, full_path, blob_type, upload_context, *rest, **options)
        if uploaded is None:
            upload_context._file_uploads[-1].cleanup()  # else the address that has expired is resumed for days
            raise UploadFailed(file_name)
        return uploaded


class PracticeApi(OfficialApi):
    """The same client, with another address and nothing of the user's."""

    args = ()  # neither verbose nor another environment

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        # With a token of its own the client does not go looking for the user's.
        self.config_values = {"username": "practice", "token": "none-needed"}

    def build_kaggle_client(self):
        client = super().build_kaggle_client()
        client.http_client()._endpoint = self.url
        return client


def connect_to_kaggle() -> OfficialApi:
    """Raises UserError where there are no credentials, and what `requests` raises where Kaggle cannot be asked."""
    check_token()
    warn_of_readers()
    api = OfficialApi()
    api.args = [argument for argument in api.args if argument != "--verbose"]  # it prints the Authorization header
    try:
        api.authenticate()
    except SystemExit:
        raise UserError(NEEDED) from None
    return api


def connect_to_practice(url: str) -> OfficialApi:
    # A proxy meant for the internet must not be asked for an address of this machine.
    exceptions = filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), urlsplit(url).hostname))
    os.environ["no_proxy"] = ",".join(dict.fromkeys(",".join(exceptions).split(",")))
    return PracticeApi(url)


def _verdict(answer: requests.Response) -> ResumableUploadResult:
    if answer.status_code in (200, 201):
        return ResumableUploadResult.COMPLETE
    if answer.status_code == 308 or is_trouble(answer.status_code):
        raise UploadFailed(f"status {answer.status_code}", response=answer)
    return ResumableUploadResult.FAILED


def _private_folder() -> Path:
    """Where addresses of uploads that broke off are kept: the official client takes a folder that all users share."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaggle-uploads"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
