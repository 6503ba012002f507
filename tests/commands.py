"""What tests run as commands of their own, see `tests.forked`. Importing it is cheap and imports no official client."""

import sys
from pathlib import Path

from common.command import run
from common.kaggle.client import Client, kaggle_client
from common.kaggle.credentials import has_credentials


def print_owner(url: str) -> None:
    """Authenticates and makes a call, on a server that plays Kaggle."""
    from kagglesdk import kaggle_http_client

    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle" or name == "common.kaggle.official"]:
        del sys.modules[name]  # imported anew, for it looks at the environment when it is imported

    kaggle_http_client.get_endpoint = lambda _: url
    client = kaggle_client()
    client.call(lambda api: api.competition_submissions("tiny-challenge"), "tiny-challenge")
    print(client.owner, has_credentials())


def submit_csv(url: str, token: str) -> int:
    """`run.csv` of the folder it is started in, to what it takes for Kaggle, with patience for parts of a second."""
    from common.kaggle import submit as submitting
    from common.kaggle.csv_file import CsvFile
    from common.kaggle.ledger import Ledger
    from tests.practice_world import competition

    def main(_: list[str]) -> None:
        way = CsvFile(Path("run.csv"), competition(), Path("sample.csv"))
        print(submitting.submit(way, competition(), _kaggle_at(url, token), Ledger(), run_id="run1", cv_score=0.5))

    _be_quick()
    return run(main, [])


def _kaggle_at(url: str, token: str) -> Client:
    """The official client with a user's token, on a practice server that plays Kaggle."""

    def connect():
        from common.kaggle.official import connect_to_practice

        api = connect_to_practice(url)
        api.config_values = {"username": "practice", "token": token}
        return api

    return Client("kaggle", "https://api.kaggle.com", connect)


def _be_quick() -> None:
    from common.kaggle import client, polling, reasons
    from common.kaggle import submit as submitting

    reasons.FIRST_PAUSE = 0.02
    client.READ_TIMEOUT = 2.0
    submitting.LOOK_EVERY = polling.FIRST_PAUSE = 0.05
    polling.LONGEST_PAUSE = 0.2
