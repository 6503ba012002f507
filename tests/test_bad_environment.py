"""In surroundings that lack something a command does its work, or says in one line what it lacks; see
`tests.bad_input.environments`."""

import os

import pytest

from tests.bad_input.case import assert_refused, listing
from tests.bad_input.environments import CHEAP, NO_UNSHARE, WHOLE, Environment, command, may_hide_mounts
from tests.bad_input.worlds import write_world


def check(case: Environment, folder) -> None:
    write_world("cassava", folder / "world" / "data" / "cassava")
    world = (folder / "world").rename(folder / case.folder)
    before = listing(world)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("KAGGLE_")}
    done = command(case, world, {**variables, "HOME": str(folder)})
    out, error = done.stdout.decode(), done.stderr.decode()
    after = listing(world)
    assert {path: after.get(path) for path in before} == before
    if case.handled:
        assert done.returncode == 0, error
        assert case.said in out
    else:
        assert_refused(case.said, done.returncode, error)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CHEAP])
def test_surroundings_that_lack_something(case, tmp_path):
    check(case, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in WHOLE])
def test_surroundings_that_lack_something_for_a_training(case, tmp_path):
    if case.own_mounts and not may_hide_mounts():
        pytest.skip(NO_UNSHARE)
    check(case, tmp_path)
