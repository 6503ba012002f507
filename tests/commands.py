"""What tests run as commands of their own, see `tests.forked`. Importing it is cheap and imports no official client."""

import sys
from pathlib import Path

from common.command import run
from common.competition import Competition
from common.kaggle.client import Client, kaggle_client
from common.kaggle.credentials import has_credentials


def print_owner(url: str) -> int:
    """Authenticates and makes a call, on a server that plays Kaggle."""
    from kagglesdk import kaggle_http_client

    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle" or name == "common.kaggle.official"]:
        del sys.modules[name]  # imported anew, for it looks at the environment when it is imported
    kaggle_http_client.get_endpoint = lambda _: url

    def main(_: list[str]) -> None:
        client = kaggle_client()
        client.call(lambda api: api.competition_submissions("tiny-challenge"), "tiny-challenge")
        print(client.owner, has_credentials())

    return run(main, [])


def submit_csv(url: str, token: str) -> int:
    """`run.csv` of the folder it is started in, to what it takes for Kaggle, with patience for parts of a second."""
    from common.kaggle.csv_file import CsvFile
    from tests.practice_world import competition

    return _submit(CsvFile(Path("run.csv"), competition(), Path("sample.csv")), competition(), url, token)


def submit_notebook(url: str, token: str) -> int:
    """`notebook.ipynb`, with what lies in `weights` as its package."""
    from common.kaggle.notebook_run import NotebookRun
    from common.kaggle.package import Package
    from tests.practice_world import competition

    package = Package(Path("weights"), "0123456789ab" * 5, "tiny-run-1", "tiny run 1")
    takes = competition("notebook")
    return _submit(NotebookRun(Path("notebook.ipynb"), package, takes, Path("sample.csv")), takes, url, token)


def _submit(way, competition: Competition, url: str, token: str) -> int:
    from common.kaggle import client, polling, reasons
    from common.kaggle import submit as submitting
    from common.kaggle.ledger import Ledger

    reasons.FIRST_PAUSE = 0.02
    client.READ_TIMEOUT = 2.0
    submitting.LOOK_EVERY = polling.FIRST_PAUSE = 0.05
    polling.LONGEST_PAUSE = 0.2

    def main(_: list[str]) -> None:
        print(submitting.submit(way, competition, _kaggle_at(url, token), Ledger(), run_id="run1", cv_score=0.5))

    return run(main, [])


def _kaggle_at(url: str, token: str) -> Client:
    """The official client with a user's token, on a practice server that plays Kaggle."""

    def connect():
        from common.kaggle.official import connect_to_practice

        api = connect_to_practice(url)
        api.config_values = {"username": "practice", "token": token}
        return api

    return Client("kaggle", "https://api.kaggle.com", connect)
