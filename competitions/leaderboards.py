"""Which leaderboard a command speaks to: Kaggle's, or the practice one."""

import os
from contextlib import contextmanager

from common.errors import UserError
from competitions.arguments import take
from competitions.sources import PRACTICE, Source, practice_competition, practice_competitions


def take_leaderboard(words: list[str]) -> tuple[str, list[str]]:
    board, words = take(words, "--leaderboard")
    if board not in ("", "kaggle", "practice"):
        raise UserError(f"--leaderboard takes kaggle or practice, not '{board}'")
    return board, words


def choose_leaderboard(asked: str, raw: Source) -> str:
    """Kaggle's where there are credentials and real data, else the practice leaderboard."""
    from common.kaggle.credentials import has_credentials

    if asked == "kaggle" and raw.mark:
        raise UserError("sample data goes to the practice leaderboard alone; leave out --leaderboard kaggle")
    if asked:
        return asked
    if raw.mark or not raw.competition.slug:
        return "practice"
    if has_credentials():
        return "kaggle"
    print("practice: no Kaggle credentials were found, so this goes to the practice leaderboard", flush=True)
    return "practice"


@contextmanager
def leaderboard_client(board: str, raw: Source | None = None):
    """Kaggle's client, or one for the practice server at PRACTICE_URL, or for one of our own while this lasts."""
    from common.kaggle.client import kaggle_client, practice_client
    from common.kaggle.practice.server import running

    if board == "kaggle":
        yield kaggle_client()
    elif url := os.environ.get("PRACTICE_URL"):
        if not url.startswith(("http://", "https://")):
            raise UserError(f"PRACTICE_URL is '{url}', and no address such as http://127.0.0.1:7777")
        yield practice_client(url)
    else:
        with running([practice_competition(raw)] if raw else practice_competitions(), PRACTICE) as url:
            yield practice_client(url)
