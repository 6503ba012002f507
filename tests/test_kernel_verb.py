"""The verb `kernel`: a run that was trained elsewhere is brought back once, and is never taken for another's."""

import pytest

from common.files import write_json
from competitions import load, submitting
from competitions.sources import Source
from tests.small_data import RECIPE

APTOS = load("aptos")
TINY = ("--backbone", "test_resnet", "--weights", "none")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The verb, in a folder of its own; the list of leaderboards that were asked to train."""
    asked = []

    def train_there(competition, recipe, package, client, options) -> str:
        asked.append(client.leaderboard)
        folder = options.runs / "aptos" / f"run-{client.leaderboard}"
        write_json(folder / "run.json", {"competition": "aptos", "recipe": RECIPE.to_dict(), "skipped": []})
        write_json(folder / "metrics.json", {"metric": "qwk", "score": 0.8, "interval": [0.7, 0.9], "n": 60})
        return folder.name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRACTICE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(submitting, "train_there", train_there)
    monkeypatch.setattr(submitting, "sample_source", lambda _: Source(APTOS, tmp_path, mark="sample data"))

    def run(*words: str) -> list[str]:
        submitting.kernel(APTOS, [*TINY, *words])
        return asked

    return run


def test_a_run_is_brought_back_once_and_again_where_it_is_gone(kernel, tmp_path):
    assert kernel("--data", "sample") == ["practice"]
    assert kernel("--data", "sample") == ["practice"], "it is here"
    (tmp_path / "runs" / "aptos" / "run-practice" / "run.json").unlink()
    assert kernel("--data", "sample") == ["practice"] * 2


def test_a_run_on_sample_data_is_not_taken_for_one_of_kaggle(kernel, capsys):
    kernel("--data", "sample")
    assert capsys.readouterr().out.splitlines()[-1].startswith("sample data: run run-practice: ")
    assert kernel("--leaderboard", "kaggle") == ["practice", "kaggle"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("run run-kaggle: ")
