"""Why a call failed: whether to try again, after how long, and what to tell the user in one line."""

import json
import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import requests
from urllib3.exceptions import HTTPError as BelowRequests
from urllib3.exceptions import NewConnectionError

T = TypeVar("T")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.InvalidJSONError,  # a gateway's page in the name of JSON, before the client looks at its status
)

PAGES = {"": "competitions", "dataset": "datasets", "notebook": "code"}
"""Where Kaggle shows what a call is about."""


class UploadFailed(requests.ConnectionError):
    """The official client answers a failed upload with a message and raises nothing: this is raised instead."""


class InTrouble(requests.RequestException):
    """429 or 5xx where the official client would take an HTTPError for "there is no such thing"."""


def none_if_unknown(ask: Callable[[], T], statuses: Collection[int] = (403, 404)) -> T | None:
    """The answer, or None where there is no such thing; Kaggle says 403 of a private one of one's own, too."""
    try:
        return ask()
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code not in statuses:
            raise
        return None


def failure_of(error: Exception) -> requests.RequestException | None:
    """What went wrong on the way, or None for anything else.

    The official client reads answers with `json`, which knows no request, and raises ValueError for a refusal here and
    there, which is then its context.
    """
    if isinstance(error, requests.RequestException):
        return error
    if isinstance(error, json.JSONDecodeError):
        return requests.exceptions.InvalidJSONError("not JSON")
    if isinstance(error, BelowRequests | ConnectionError):
        return requests.ConnectionError(error)
    told = isinstance(error, ValueError) and isinstance(error.__context__, requests.HTTPError)
    return error.__context__ if told else None


def is_trouble(status: int) -> bool:
    """Whether the server, or what stands before it, may answer otherwise a little later."""
    return status in (408, 429) or status >= 500


def is_transient(error: requests.RequestException, leaderboard: str) -> bool:
    """Rate limits, server errors, resets and timeouts pass; a practice server that is not there does not come."""
    if isinstance(error, UploadFailed):  # the next attempt asks for another address
        return True
    if error.response is not None:  # a Response of 4xx is falsy
        return is_trouble(error.response.status_code) or _is_download(error.response)
    if leaderboard == "practice" and _refused(error):
        return False
    return isinstance(error, PASSING)


def pause(error: requests.RequestException, attempt: int) -> float | None:
    """Seconds to wait after the `attempt`-th failure: Retry-After where the server gives it, else exponential with
    jitter. None where the server asks for longer than anybody waits."""
    wanted = retry_after(error.response)
    if wanted is not None:
        return wanted + random.random() if wanted <= LONGEST_PAUSE else None
    return min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.5)


def retry_after(response: requests.Response | None) -> float | None:
    """The Retry-After header in seconds, from a number or an HTTP date (RFC 9110, 10.2.3)."""
    text = "" if response is None else response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def explain(error: requests.RequestException, leaderboard: str, url: str, what: str) -> str:
    """One line that names the culprit and the way out. `what`: see `common.kaggle.client.Client.call`."""
    name = "the practice leaderboard" if leaderboard == "practice" else "Kaggle"
    kind, _, slug = what.rpartition(" ")
    shown = f"{kind} '{slug}'".strip()
    if isinstance(error, UploadFailed):
        return f"the upload to {name} for {shown} did not get through: run the same command again"
    if error.response is not None:
        reason = _status(error.response, name, leaderboard, kind, slug)
        said = _message(error.response)
        return f"{reason} ({name} says: {said})" if said and said not in reason else reason
    if leaderboard == "practice" and _refused(error):
        return f"no practice server at {url}: start one with `make practice`"
    if isinstance(error, requests.exceptions.InvalidJSONError):
        return f"what answers at {url} is not {name}, or it is being mended: check the network and run it again later"
    return f"no answer from {name} at {url} ({type(error).__name__}): check the network and run the same command again"


def _status(response: requests.Response, name: str, leaderboard: str, kind: str, slug: str) -> str:
    status, shown = response.status_code, f"{kind} '{slug}'".strip()
    if status == 429:
        return f"{name} asks to slow down (429): run the same command again later"
    if status >= 500:
        return f"{name} is in trouble ({status}): run the same command again later"
    if _is_download(response):
        return f"{name} gave an address for {shown} that has expired ({status}): run the same command again"
    if leaderboard == "kaggle" and status == 401:
        return (
            "Kaggle does not accept the credentials (401): make a new token at https://www.kaggle.com/settings/api, or "
            "run `kaggle auth login` again"
        )
    if leaderboard == "kaggle" and status in (403, 404) and kind in PAGES:
        return _not_let_in(status, kind, slug)
    if leaderboard == "practice" and status == 404 and not kind:
        return f"the practice server does not hold '{slug}' (404): start it again with `make practice`"
    return f"{name} refuses {shown} ({status}): {_message(response) or response.reason}"


def _not_let_in(status: int, kind: str, slug: str) -> str:
    """Kaggle's 403 and 404. It answers either for what is not there, and for what is somebody else's and private."""
    phone = "verify your phone number at https://www.kaggle.com/settings"
    if kind:
        address = f"https://www.kaggle.com/{PAGES[kind]}/{slug}"
        reason = (
            "is not there, or is not yours" if status == 404 else f"is not yours or not there, or you have to {phone}"
        )
        return f"Kaggle refuses {kind} '{slug}' ({status}): it {reason}; see {address}"
    if status == 404:
        return f"Kaggle knows no competition '{slug}' (404): see https://www.kaggle.com/competitions/{slug}"
    return (
        f"Kaggle refuses '{slug}' (403): accept the rules at https://www.kaggle.com/competitions/{slug}/rules, "
        f"{phone}, or correct the slug"
    )


def _is_download(response: requests.Response) -> bool:
    """Calls are POSTs, uploads PUTs; a GET goes to a signed address, and a refusal there says that it has expired."""
    return response.request is not None and response.request.method == "GET"


def _message(response: requests.Response) -> str:
    """The reason the server gives, or nothing."""
    try:
        return str(response.json().get("message") or "")
    except (ValueError, AttributeError, requests.RequestException):
        return ""


def _refused(error: requests.RequestException) -> bool:
    """Nobody listens at the address (as against a connection that broke)."""
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), NewConnectionError)
