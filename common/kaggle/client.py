"""The unmodified official client, on Kaggle or on the practice leaderboard, with retries and one-line reasons.

Importing `kaggle` authenticates, prints and may exit, so it is imported here alone, when the first call is made.
"""

import io
import logging
import os
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from unittest import mock
from urllib.parse import urlsplit

import requests

from common.competition import Competition
from common.errors import UserError
from common.kaggle.reasons import explain, is_transient, pause

if TYPE_CHECKING:
    from kaggle import KaggleApi

T = TypeVar("T")

PRACTICE_URL = "http://127.0.0.1:7777"
KAGGLE_URL = "https://api.kaggle.com"
ATTEMPTS = 6

CREDENTIALS_NEEDED = (
    "no usable Kaggle credentials: set KAGGLE_API_TOKEN to a token from https://www.kaggle.com/settings/api, or save "
    "it as ~/.kaggle/access_token, or run `kaggle auth login`; the practice leaderboard needs none"
)


@dataclass(frozen=True)
class Client:
    """One leaderboard and the way to it. Nothing is imported or sent before the first call."""

    leaderboard: Literal["kaggle", "practice"]
    url: str
    connect: "Callable[[], KaggleApi]"

    @cached_property
    def api(self) -> "KaggleApi":
        return self.connect()

    def call(self, function: "Callable[[KaggleApi], T]", slug: str) -> T:
        """Run `function(api)`; again after 429, 5xx, resets and timeouts, with exponential back-off and jitter.

        What the official client prints is dropped: it may hold signed addresses. Output is turned off for the whole
        process, so a process makes one call at a time.

        Raises:
            UserError: the reason in one line, with the way out.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with redirect_stdout(io.StringIO()):
                    return function(self.api)
            except requests.RequestException as error:
                seconds = pause(error, attempt)
                if attempt == ATTEMPTS or seconds is None or not is_transient(error, self.leaderboard):
                    reason = explain(error, self.leaderboard, self.url, slug)
                    raise UserError(self._without_secrets(reason)) from None
            time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _without_secrets(self, text: str) -> str:
        values = self.api.config_values if "api" in self.__dict__ else {}
        for secret in filter(None, (values.get("token"), values.get("key"))):
            text = text.replace(secret, "***")
        return text


def slug_of(competition: Competition) -> str:
    """Its name on the leaderboard; a data set without a Kaggle competition goes by its own name."""
    return competition.slug or competition.name


def kaggle_client() -> Client:
    """Kaggle itself. The first call raises UserError where credentials are missing or refused."""
    return Client("kaggle", KAGGLE_URL, _connect_to_kaggle)


def practice_client(url: str = PRACTICE_URL) -> Client:
    """The practice leaderboard at `url`. It needs no credentials and is never sent any."""
    return Client("practice", url.rstrip("/"), lambda: _connect_to_practice(url.rstrip("/")))


def has_credentials() -> bool:
    """Whether there is something to authenticate with, in any of the places where the official client looks."""
    home = Path.home() / ".kaggle"
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    folders = [Path(os.environ["KAGGLE_CONFIG_DIR"])] if os.environ.get("KAGGLE_CONFIG_DIR") else [home, settings]
    files = [home / name for name in ("access_token", "access_token.txt", "credentials.json")]
    files += [folder / "kaggle.json" for folder in folders]
    named = os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY")
    return bool(os.environ.get("KAGGLE_API_TOKEN") or named) or any(file.is_file() for file in files)


def _connect_to_kaggle() -> "KaggleApi":
    api = _official_class()()
    api.args = [argument for argument in api.args if argument != "--verbose"]  # it prints the Authorization header
    try:
        api.authenticate()
    except SystemExit:
        raise UserError(CREDENTIALS_NEEDED) from None
    return api


def _connect_to_practice(url: str) -> "KaggleApi":
    class PracticeApi(_official_class()):
        args = ()  # neither verbose nor another environment

        def build_kaggle_client(self):
            client = super().build_kaggle_client()
            client.http_client()._endpoint = url
            return client

    # A proxy meant for the internet must not be asked for an address of this machine.
    exceptions = filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), urlsplit(url).hostname))
    os.environ["no_proxy"] = ",".join(dict.fromkeys(",".join(exceptions).split(",")))
    api = PracticeApi()
    # With a token of its own the client does not go looking for the user's.
    api.config_values = {"username": "practice", "token": "none-needed"}
    return api


def _official_class() -> "type[KaggleApi]":
    """Import the official client: in silence, and off the network, for its import authenticates against Kaggle."""
    from kagglesdk.kaggle_http_client import KaggleHttpClient

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold the addresses of uploads
    try:
        with mock.patch.object(KaggleHttpClient, "call", side_effect=ConnectionError), redirect_stdout(io.StringIO()):
            from kaggle import KaggleApi
    except OSError as error:
        raise UserError(f"the kaggle client cannot use {error.filename}: set KAGGLE_CONFIG_DIR to a folder") from error
    return KaggleApi
