"""Whatever a user brings is handled, or is one line that names the culprit; nothing is lost and nothing half-written.

The catalogue is in `tests/bad_input`, a table for each subject.
"""

import errno
import os
import shutil
from pathlib import Path

import pytest

from common import command
from common.errors import UserError
from common.kaggle import polling
from common.kaggle.client import practice_client
from common.kaggle.csv_file import CsvFile
from common.kaggle.ledger import Ledger
from common.kaggle.practice.server import running
from common.kaggle.submit import submit
from common.recipe import FIELDS
from common.stored import read_table
from tests.bad_input import archives, environments, images, layouts, recipes, submissions, tables, weights
from tests.bad_input.case import Case, assert_refused, try_case
from tests.bad_input.worlds import NAMES, write_world
from tests.practice_world import practice_competition, sample_submission, until

SLUG = "tiny-challenge"

TABLES = (images, tables, layouts, recipes, archives, weights)
CASES = [case for table in TABLES for case in table.CASES]


def is_quick(case: Case, name: str) -> bool:
    """What `make test` has time for: every case once, for the first competition that it concerns."""
    return case.quick and name == case.competitions[0]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Competition → its whole download, written once."""
    root, written = tmp_path_factory.mktemp("downloads"), {}

    def of(name: str) -> Path:
        if name not in written:
            write_world(name, root / name)
            written[name] = root / name
        return written[name]

    return of


@pytest.fixture
def world(tmp_path, monkeypatch) -> Path:
    """An empty working folder and home, without an account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KAGGLE_")] + ["PRACTICE_URL"]:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, id=f"{case.name}: {name}", marks=[] if is_quick(case, name) else pytest.mark.torture)
        for case in CASES
        for name in case.competitions
    ],
)
def test_bad_input(case: Case, name: str, downloads, world):
    shutil.copytree(downloads(name), world / "data" / name)
    try_case(case, name, world)


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory):
    """A practice leaderboard, spoken to by the official client."""
    folder = tmp_path_factory.mktemp("leaderboard")
    with running([practice_competition(folder)], folder / "state") as url:
        yield practice_client(url)


def listed(leaderboard) -> dict:
    """What the leaderboard has of submissions, by their numbers."""
    return {submission.ref: submission for submission in leaderboard.api.competition_submissions(SLUG, page_size=100)}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in submissions.CASES])
def test_a_bad_submission_is_refused_before_it_is_sent(case, leaderboard, world, capsys, monkeypatch):
    monkeypatch.setattr(polling, "FIRST_PAUSE", 0.02)
    Path("mine.csv").write_bytes(case.content)
    way = CsvFile(Path("mine.csv"), case.competition, sample_submission(Path("sample.csv")))
    before = set(listed(leaderboard))
    code = command.run(lambda _: print(submit(way, case.competition, leaderboard, Ledger(), "run1")), [])
    said = capsys.readouterr()
    assert Path("mine.csv").read_bytes() == case.content
    if case.said:
        assert_refused(case.said, code, said.err)
        assert "mine.csv" in said.err
        assert set(listed(leaderboard)) == before
    else:
        assert code == 0, said.err
        assert "public 1.0000, private 1.0000" in said.out


OF_CLASSES = [case for case in submissions.CASES if case.kind == "class" and case.said and case.content]


def test_the_leaderboard_says_of_each_bad_submission_what_is_wrong_and_goes_on(leaderboard, world):
    """They are sent by the official client alone, which looks at nothing."""
    refs = {}
    for case in OF_CLASSES:
        Path("mine.csv").write_bytes(case.content)
        refs[leaderboard.api.competition_submit("mine.csv", case.name, SLUG, quiet=True).ref] = case
    until(lambda: all(found.status.name != "PENDING" for found in listed(leaderboard).values()))
    settled = listed(leaderboard)
    for ref, case in refs.items():
        assert settled[ref].status.name == "ERROR"
        assert case.said in settled[ref].error_description


def test_predictions_that_are_gone_are_named_with_their_run(world):
    (world / "runs/aptos/0123456789ab").mkdir(parents=True)
    (world / "runs/aptos/0123456789ab/run.json").write_text("{}")
    with pytest.raises(UserError, match=r"0123456789ab/out_of_fold\.parquet is not there; .* remove the run's folder"):
        read_table(Path("runs/aptos/0123456789ab/out_of_fold.parquet"))


def test_memory_that_the_system_refuses_is_one_line(capsys):
    def refuse(_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    assert_refused("a smaller --batch-size", command.run(refuse, []), capsys.readouterr().err)


def test_every_field_of_a_recipe_has_values_that_are_refused():
    kinds = (recipes.OUT_OF_RANGE, recipes.OF_ANOTHER_KIND, recipes.NOT_SWITCHES, recipes.NOT_FOUND)
    assert set().union(*kinds) == set(FIELDS)


def test_the_catalogue_has_at_least_80_cases(say):
    surroundings = [*environments.CHEAP, *environments.WHOLE]
    names = [(type(case), case.name) for case in (*CASES, *submissions.CASES, *surroundings)]
    handled = sum(case.handled for case in (*CASES, *surroundings)) + sum(not case.said for case in submissions.CASES)
    tried = sum(len(case.competitions) for case in CASES)
    say(
        f"bad input: {len(names)} cases, {handled} handled, {len(names) - handled} refused in one line; "
        f"{len(CASES)} of them on {tried} downloads of {len(NAMES)} competitions"
    )
    assert len(names) == len(set(names)) >= 80
