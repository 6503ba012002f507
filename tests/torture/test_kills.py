"""Killed anywhere, and two at once: the same command afterwards ends as one that nobody disturbed."""

import itertools
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.forked import Said, finish
from tests.torture.stage import CASES, COMMANDS, Stage, Undisturbed
from tests.torture.worlds import Moment, copy, difference, gone, run, start

SEED, KILLS, PAIRS, AT_ONCE = 10, 50, 4, 2
AGAIN = 0.75
"""How likely a command that was killed is killed again."""


@pytest.fixture(scope="session")
def stage(tmp_path_factory) -> Stage:
    return Stage(tmp_path_factory.mktemp("kills"))


@dataclass(frozen=True)
class Ended:
    """What came of a world; `wrong` and `blocked` are empty where all is well."""

    kills: int
    resumed: bool
    wrong: str = ""
    blocked: str = ""
    orphans: int = 0


def killed(stage: Stage, name: str, number: int) -> Ended:
    """One world: the command is killed, perhaps several times, and then left alone."""
    case, normal = CASES[name], stage.undisturbed(name)
    random = Random(f"{SEED} {name} {number}")
    world = copy(normal.base, stage.folder / f"{name}-{number}")
    words, moments, sessions, kills, resumed, blocked = stage.words(case.words), [], [], 0, False, ""
    with stage.served(case, normal.base, world) as url:
        while not moments or (len(moments) < case.most and random.random() < AGAIN):
            moments.append(moment(random, normal))
            said, session = run(world, words, moments[-1], url)
            sessions.append(session)
            kills += said.exit_code == -signal.SIGKILL
            resumed |= any(in_the_middle(world, normal))
            if said.exit_code not in (0, -signal.SIGKILL):
                blocked = f"exit code {said.exit_code} before {moments[-1]}: {said.err[-2000:]}"
        said, session = run(world, words, url=url)
    orphans = sum(not gone(each) for each in [*sessions, session])
    if said.exit_code:
        blocked = f"exit code {said.exit_code}: {said.err[-2000:]}"
    told = f"{name} {number}, killed at {', '.join(map(str, moments))}: "
    wrong = "" if blocked else difference(normal.outcome, stage.outcome(world))
    return Ended(kills, resumed, wrong and told + wrong, blocked and told + blocked, orphans)


def in_the_middle(world: Path, normal: Undisturbed) -> Iterator[str]:
    """States of trainings that are to go on. Those of trials that are pruned stay."""
    states = (path.relative_to(world).as_posix() for path in world.rglob("last.state"))
    return (name for name in states if name not in normal.outcome)


def moment(random: Random, normal: Undisturbed) -> Moment:
    """By the clock, or before a step that leaves something behind."""
    if random.random() < 0.5:
        return Moment(seconds=random.uniform(0, normal.seconds))
    return Moment(step=random.randint(1, normal.steps))


def killed_often(stage: Stage, name: str, kills: int) -> list[Ended]:
    """Worlds, several at once, until there were so many kills in all."""
    stage.undisturbed(name)
    numbers, ended = itertools.count(), []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while sum(each.kills for each in ended) < kills:
            batch = list(itertools.islice(numbers, AT_ONCE))
            ended += pool.map(lambda number: killed(stage, name, number), batch)
    return ended


def tell(name: str, ended: list[Ended]) -> str:
    well = sum(not (each.wrong or each.blocked) for each in ended)
    return (
        f"{name}: {sum(each.kills for each in ended)} kills in {len(ended)} folders: {well} ended as the undisturbed "
        f"command, {sum(bool(each.wrong) for each in ended)} corrupt, {sum(bool(each.blocked) for each in ended)} "
        f"blocked, {sum(each.orphans for each in ended)} orphans; {sum(each.resumed for each in ended)} went on from "
        "the middle of a training"
    )


def check(ended: list[Ended]) -> None:
    assert [each.wrong for each in ended if each.wrong] == []
    assert [each.blocked for each in ended if each.blocked] == []
    assert sum(each.orphans for each in ended) == 0


def both(stage: Stage, name: str, number: int) -> str:
    """The command twice, the second one a part of its time after the first; what is wrong with what came of it."""
    case, normal = CASES[name], stage.undisturbed(name)
    world, words = copy(normal.base, stage.folder / f"{name}-both-{number}"), stage.words(case.words)
    with stage.served(case, normal.base, world) as url:
        first = start(world, words, name="first", url=url)
        time.sleep(Random(f"{SEED} {name} both {number}").uniform(0, 0.5) * normal.seconds * (number > 0))
        second = start(world, words, name="second", url=url)
        said = [finish(*each) for each in (first, second)]
    for each in said:
        if each.exit_code not in (0, 2) or (each.exit_code == 2 and not in_one_line(each)):
            return f"exit code {each.exit_code}: {each.err}"
    if all(each.exit_code for each in said):
        return f"nobody did it: {said}"
    return difference(normal.outcome, stage.outcome(world))


def in_one_line(said: Said) -> bool:
    return sum(line.startswith("error: ") for line in said.err.splitlines()) == 1 and "Traceback" not in said.err


@pytest.mark.torture
@pytest.mark.parametrize("name", [*COMMANDS[:3], "tune in order", *COMMANDS[4:]])
def test_of_two_at_once_one_works_and_the_other_waits_or_says_so(name, stage, say):
    wrong = [both(stage, name, number) for number in range(PAIRS)]
    say(f"{name}: {PAIRS} pairs at once: {wrong.count('')} ended as one command that is undisturbed")
    assert [each for each in wrong if each] == []


@pytest.mark.torture
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_anywhere_ends_as_one_that_was_not(name, stage, say):
    begun = time.monotonic()
    ended = killed_often(stage, name, KILLS)
    say(f"{tell(name, ended)} ({time.monotonic() - begun:.0f} s)")
    check(ended)
    if name in ("train", "tune", "sweep"):
        assert any(each.resumed for each in ended)


@pytest.mark.parametrize("name", ["train", "submit"])
def test_a_few_kills_change_nothing(name, stage):
    check(killed_often(stage, name, 3))


def test_a_run_that_two_train_at_once_is_trained_once(stage):
    assert both(stage, "train", 0) == ""
