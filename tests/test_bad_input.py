"""Whatever a user brings is handled, or is one line that names the culprit; nothing is lost and nothing half-written.

The catalogue is in `tests/bad_input`, a table for each subject.
"""

import os
import shutil
from pathlib import Path

import pytest

from common.recipe import FIELDS
from tests.bad_input import archives, images, layouts, recipes, tables, weights
from tests.bad_input.case import Case, try_case
from tests.bad_input.worlds import write_world

TABLES = (images, tables, layouts, recipes, archives, weights)
CASES = [case for table in TABLES for case in table.CASES]


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
    [pytest.param(case, name, id=f"{case.name}: {name}") for case in CASES for name in case.competitions],
)
def test_bad_input(case: Case, name: str, downloads, world):
    shutil.copytree(downloads(name), world / "data" / name)
    try_case(case, name, world)


def test_every_field_of_a_recipe_has_values_that_are_refused():
    kinds = (recipes.OUT_OF_RANGE, recipes.OF_ANOTHER_KIND, recipes.NOT_SWITCHES, recipes.NOT_FOUND)
    assert set().union(*kinds) == set(FIELDS)


def test_the_catalogue_has_at_least_80_cases(capsys):
    names = {case.name for case in CASES}
    assert len(names) >= 80
