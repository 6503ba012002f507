"""Why a call failed: whether to try again, after how long, and what to tell the user in one line."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from urllib3.exceptions import NewConnectionError

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

PASSING = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.InvalidJSONError,  # a gateway's page in the name of JSON, before the client looks at its status
)


class UploadFailed(requests.ConnectionError):
    """The official client answers a failed upload with a message and raises nothing: this is raised instead."""


def is_transient(error: requests.RequestException, leaderboard: str) -> bool:
    """Rate limits, server errors, resets and timeouts pass; a practice server that is not there does not come."""
    if error.response is not None:  # a Response of 4xx is falsy
        return error.response.status_code == 429 or error.response.status_code >= 500
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


def explain(error: requests.RequestException, leaderboard: str, url: str, slug: str) -> str:
    """One line that names the culprit and the way out."""
    name = "the practice leaderboard" if leaderboard == "practice" else "Kaggle"
    if error.response is not None:
        return _status(error.response, name, leaderboard, slug)
    if leaderboard == "practice" and _refused(error):
        return f"no practice server at {url}: start one with `make practice`"
    if isinstance(error, UploadFailed):
        return f"the upload to {name} for '{slug}' did not get through: run the same command again"
    return f"no answer from {name} at {url} ({type(error).__name__}): check the network and run the same command again"


def _status(response: requests.Response, name: str, leaderboard: str, slug: str) -> str:
    status, said = response.status_code, _message(response)
    if leaderboard == "kaggle" and status == 401:
        return "Kaggle does not accept the credentials (401): make a new token at https://www.kaggle.com/settings/api"
    if leaderboard == "kaggle" and status == 403:
        return (
            f"Kaggle refuses '{slug}' (403): accept the rules at https://www.kaggle.com/competitions/{slug}/rules, "
            f"verify your phone number at https://www.kaggle.com/settings, or correct the slug {said}"
        )
    if leaderboard == "kaggle" and status == 404:
        return f"Kaggle knows no competition '{slug}' (404): see https://www.kaggle.com/competitions/{slug} {said}"
    if leaderboard == "practice" and status == 404:
        return f"the practice server does not hold '{slug}' (404): start it again with `make practice` {said}"
    if status == 429:
        return f"{name} asks to slow down (429): run the same command again later {said}"
    if status >= 500:
        return f"{name} is in trouble ({status}): run the same command again later {said}"
    return f"{name} refuses '{slug}' ({status}): {said or response.reason}"


def _message(response: requests.Response) -> str:
    """The reason the server gives, or nothing."""
    try:
        return str(response.json().get("message") or "")
    except (ValueError, AttributeError, requests.RequestException):
        return ""


def _refused(error: requests.RequestException) -> bool:
    """Nobody listens at the address (as against a connection that broke)."""
    return bool(error.args) and isinstance(getattr(error.args[0], "reason", None), NewConnectionError)
