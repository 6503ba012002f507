"""The official client, on Kaggle or on the practice leaderboard, with retries, time limits and one-line reasons."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar
from unittest import mock

import requests
from requests.adapters import HTTPAdapter

from common.competition import Competition
from common.errors import UserError
from common.kaggle.credentials import redact, redact_error
from common.kaggle.reasons import explain, failure_of, is_transient, pause

if TYPE_CHECKING:
    from kaggle import KaggleApi

T = TypeVar("T")

PRACTICE_URL = "http://127.0.0.1:7777"
KAGGLE_URL = "https://api.kaggle.com"

ATTEMPTS = 6
LONGEST_CALL = 900.0
"""Seconds after the first failure of a call in which another attempt may begin."""
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
"""Seconds to a connection, and between two bytes: neither cuts a long upload or download that moves."""


class Unreachable(UserError):
    """Trouble that passes by itself, sooner or later."""


@dataclass(frozen=True)
class Client:
    """One leaderboard and the way to it. Nothing is imported or sent before the first call."""

    leaderboard: Literal["kaggle", "practice"]
    url: str
    connect: "Callable[[], KaggleApi]"

    @cached_property
    def api(self) -> "KaggleApi":
        return self.connect()

    @cached_property
    def owner(self) -> str:
        """The user's name, which the addresses of datasets and notebooks begin with."""
        name = self.call(lambda api: api.config_values.get("username"), "your account")
        if not name:
            raise UserError(f"the credentials for {self.leaderboard} name no user: run `kaggle auth login` again")
        return name

    def call(self, function: "Callable[[KaggleApi], T]", what: str) -> T:
        """Run `function(api)`; again after 429, 5xx, resets, timeouts and answers that cannot be read, with exponential
        back-off and jitter. A function that creates something looks first whether an earlier attempt did.

        What the official client prints is dropped: it may hold signed addresses. Output is turned off for the whole
        process, so a process makes one call at a time.

        Args:
            what: a competition's slug, or `dataset OWNER/SLUG`, or `notebook OWNER/SLUG`: named where it is refused.

        Raises:
            Unreachable: it did not pass.
            UserError: the reason in one line, with the way out.
        """
        first_failure = None
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with redirect_stdout(io.StringIO()), bounded_requests():
                    return function(self.api)
            except UserError:
                raise
            except Exception as error:
                failure = failure_of(error)
                if failure is None:
                    redact_error(error, *self._secrets())
                    raise
                first_failure = first_failure or time.monotonic()
                seconds = pause(failure, attempt)
                late = seconds is None or time.monotonic() + seconds > first_failure + LONGEST_CALL
                if attempt == ATTEMPTS or late or not is_transient(failure, self.leaderboard):
                    reason = explain(failure, self.leaderboard, self.url, what)
                    kind = Unreachable if is_transient(failure, self.leaderboard) else UserError
                    raise kind(redact(reason, *self._secrets())) from None
            time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _secrets(self) -> list[str | None]:
        values = self.api.config_values if "api" in self.__dict__ else {}
        return [values.get("token"), values.get("key")]


def slug_of(competition: Competition) -> str:
    """Its name on the leaderboard; a data set without a Kaggle competition goes by its own name."""
    return competition.slug or competition.name


def kaggle_client() -> Client:
    """Kaggle itself. The first call raises UserError where credentials are missing or refused."""

    def connect() -> "KaggleApi":
        from common.kaggle.official import connect_to_kaggle

        return connect_to_kaggle()

    return Client("kaggle", KAGGLE_URL, connect)


def practice_client(url: str = PRACTICE_URL) -> Client:
    """The practice leaderboard at `url`. It needs no credentials and is never sent any."""
    url = url.rstrip("/")

    def connect() -> "KaggleApi":
        from common.kaggle.official import connect_to_practice

        return connect_to_practice(url)

    return Client("practice", url, connect)


@contextmanager
def bounded_requests() -> Iterator[None]:
    """Within the block every request gives up on silence, and a download that is refused raises: the official client
    waits for ever, and saves the page that says no as the file. Its calls are POSTs, its downloads are GETs."""
    send = HTTPAdapter.send

    def bounded(adapter: HTTPAdapter, request, stream=False, timeout=None, **options) -> requests.Response:
        timeout = timeout or (CONNECT_TIMEOUT, READ_TIMEOUT)
        answer = send(adapter, request, stream=stream, timeout=timeout, **options)
        if request.method == "GET" and answer.status_code != requests.codes.range_not_satisfiable:
            answer.raise_for_status()
        return answer

    with mock.patch.object(HTTPAdapter, "send", bounded):
        yield
