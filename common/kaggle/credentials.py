"""Where the credentials lie, who else may read them, and how they are kept out of everything that is shown."""

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

from common.errors import UserError

NEEDED = (
    "no usable Kaggle credentials: set KAGGLE_API_TOKEN to a token from https://www.kaggle.com/settings/api, or save "
    "it as ~/.kaggle/access_token, or run `kaggle auth login`; the practice leaderboard needs none"
)
SHORTEST_SECRET = 6
"""Characters: nothing shorter is looked for in a text, for it would be found everywhere."""

TOKEN = re.compile(r"\bKGAT_\w+|(?<=Bearer )[^\s'\",]+|(?<=Basic )[^\s'\",]+")
SIGNED_ADDRESS = re.compile(r"((?:https?:/|url: )/[^\s?'\"]*\?)[^\s'\")]+")
"""A whole address, or the path that urllib3's errors name; what stands behind the question mark opens it."""


def has_credentials() -> bool:
    """Whether there is something to authenticate with, in any of the places where the official client looks."""
    named = os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY")
    return bool(os.environ.get("KAGGLE_API_TOKEN") or named or credential_files())


def credential_files() -> list[Path]:
    """Those that are there."""
    return [file for file in _files() if file.is_file()]


def check_token() -> None:
    """Raise UserError where KAGGLE_API_TOKEN names a file that is not there: the client would send the path.

    A token holds no slash. One longer than a file's name may be cannot stand in the variable, for the client asks the
    system whether it is a file.
    """
    token = os.environ.get("KAGGLE_API_TOKEN", "")
    if len(token) > 255:
        raise UserError("KAGGLE_API_TOKEN is too long for the kaggle client: save the token as ~/.kaggle/access_token")
    if "/" in token and not Path(token).is_file():
        raise UserError(f"KAGGLE_API_TOKEN names {token}, which is not there: put the token or its file's path in it")


def warn_of_readers() -> None:
    """One line on standard error for each file with credentials that other users can read, once a process."""
    for file in credential_files():
        if file.stat().st_mode & 0o044:
            _warn_of(file)


@cache
def _warn_of(file: Path) -> None:
    print(f"warning: others can read {file}: run `chmod 600 {shlex.quote(str(file))}`", file=sys.stderr)


def redact(text: str, *secrets: str | None) -> str:
    """The text without tokens, without the signatures of addresses, and without `secrets`."""
    named = [*secrets, os.environ.get("KAGGLE_API_TOKEN"), os.environ.get("KAGGLE_KEY")]
    for secret in named:
        if secret and len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return SIGNED_ADDRESS.sub(r"\1***", TOKEN.sub("***", text))


def redact_error(error: BaseException, *secrets: str | None) -> None:
    """Redact, in place, what a traceback shows of an exception and of those that led to it."""
    waiting, done = [error], set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in done:
            continue
        done.add(id(link))
        link.args = tuple(part if isinstance(part, int) else redact(str(part), *secrets) for part in link.args)
        if isinstance(link, OSError) and isinstance(link.filename, str):
            link.filename = redact(link.filename, *secrets)
        waiting += [link.__cause__, link.__context__]


def _files() -> list[Path]:
    """Every file that may hold credentials, whether or not it is there."""
    home = Path.home() / ".kaggle"
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    folders = [Path(os.environ["KAGGLE_CONFIG_DIR"])] if os.environ.get("KAGGLE_CONFIG_DIR") else [home, settings]
    files = [home / name for name in ("access_token", "access_token.txt", "credentials.json")]
    token = os.environ.get("KAGGLE_API_TOKEN", "")
    return files + [folder / "kaggle.json" for folder in folders] + ([Path(token)] if "/" in token else [])
