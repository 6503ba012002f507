"""Killed anywhere, and two at once: the same command afterwards ends as one that nobody disturbed."""

import itertools
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from common.files import read_json
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from competitions import load
from competitions.sources import ABOUT, Source, practice_competition
from tests.small_data import RECIPE, fields_as_words, write_small_aptos
from tests.torture.worlds import Moment, copy, difference, gone, outcome, run

SEED, KILLS, AT_ONCE = 10, 50, 2
RECIPE_WORDS = tuple(fields_as_words(RECIPE.with_fields(epochs=2)))
ONE_FOLD = ("--only-folds", "0")


@dataclass(frozen=True)
class Case:
    """A command, and those that are done before it in its world. `most`: kills in one world."""

    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    served: bool = False
    most: int = 5


PREPARE, TRAIN, PREDICT = ("aptos", "prepare"), ("aptos", "train"), ("aptos", "predict")
SUBMIT = ("aptos", "submit", "--leaderboard", "practice")
TUNE = ("aptos", "tune", *ONE_FOLD, "--search", "learning_rate")
STUDY = ("study", "--grid", "tiny", "--weights", "none")

CASES = {
    "prepare": Case((*PREPARE, "--cache-format", "raw")),
    "train": Case((*TRAIN, "--workers", "1"), (PREPARE,)),
    "predict": Case(PREDICT, (TRAIN,)),
    "tune": Case((*TUNE, "--trials", "3"), (PREPARE,), most=2),  # of three deaths a trial is given up
    "sweep": Case(STUDY, ((*STUDY, "--plan"), PREPARE)),
    "submit": Case(SUBMIT, (SUBMIT,), served=True),
}


@dataclass(frozen=True)
class Undisturbed:
    """What a case begins with and comes to, how long that takes, in seconds and in steps."""

    base: Path
    outcome: dict[str, object]
    seconds: float
    steps: int


class Stage:
    """Where the cases are played: the raw data, and for each case its base, made when it is first wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.raw = folder, write_small_aptos(folder / "raw", n=40, n_test=8)
        self.made: dict[str, Undisturbed] = {}

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        fixed = ("--device", "cpu", "--workers", "0", "--state-every", "0.02")
        if words[0] == "study":
            return (*words, "--data", f"aptos={self.raw}", *fixed)
        return (*words[:2], "--data", str(self.raw), *RECIPE_WORDS, *fixed, *words[2:])

    def undisturbed(self, name: str) -> Undisturbed:
        if name not in self.made:
            case, base = CASES[name], self.folder / f"{name}-base"
            base.mkdir()
            for words in case.before:
                said, _ = run(base, self.words(words))
                assert said.exit_code == 0, said.err
            forget_submissions(base)
            world = copy(base, self.folder / f"{name}-undisturbed")
            with self.served(case, base, world) as url:
                begun = time.monotonic()
                said, _ = run(world, self.words(case.words), url=url)
            seconds, steps = time.monotonic() - begun, int(said.err.rpartition("steps: ")[2])
            assert said.exit_code == 0, said.err
            self.made[name] = Undisturbed(base, self.outcome(world), seconds, steps)
        return self.made[name]

    @contextmanager
    def served(self, case: Case, base: Path, world: Path) -> Iterator[str]:
        """The address of a practice leaderboard of this world's own, where the case wants one."""
        if not case.served:
            yield ""
            return
        (about,) = (base / "data" / "practice").glob(f"*/{ABOUT}")
        competition = replace(load("aptos"), slug=read_json(about)["slug"], takes="csv")
        arena = Source(competition, about.parent, solution=about.parent / "solution.csv")
        with running([practice_competition(arena)], world.with_name(f"{world.name}.state")) as url:
            yield url

    def outcome(self, world: Path) -> dict[str, object]:
        state = world.with_name(f"{world.name}.state")
        if not state.is_dir():
            return outcome(world)
        slug = next((world / "data" / "practice").glob(f"*/{ABOUT}"))
        sent = Store(state).submissions(read_json(slug)["slug"])
        return outcome(world) | {"leaderboard": [(row.status, row.public_score, row.private_score) for row in sent]}


def forget_submissions(world: Path) -> None:
    """The run stays, without its predictions."""
    import shutil

    shutil.rmtree(world / "submissions", ignore_errors=True)


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
        while not moments or (len(moments) < case.most and random.random() < 0.6):
            moments.append(moment(random, normal))
            said, session = run(world, words, moments[-1], url)
            sessions.append(session)
            kills += said.exit_code == -signal.SIGKILL
            resumed |= any(world.rglob("last.state"))
            if said.exit_code not in (0, -signal.SIGKILL):
                blocked = f"exit code {said.exit_code} before {moments[-1]}: {said.err[-2000:]}"
        said, session = run(world, words, url=url)
    orphans = sum(not gone(each) for each in [*sessions, session])
    if said.exit_code:
        blocked = f"exit code {said.exit_code}: {said.err[-2000:]}"
    told = f"{name} {number}, killed at {', '.join(map(str, moments))}: "
    wrong = "" if blocked else difference(normal.outcome, stage.outcome(world))
    return Ended(kills, resumed, wrong and told + wrong, blocked and told + blocked, orphans)


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


@pytest.mark.torture
@pytest.mark.parametrize("name", CASES)
def test_a_command_that_is_killed_anywhere_ends_as_one_that_was_not(name, stage, capsys):
    begun = time.monotonic()
    ended = killed_often(stage, name, KILLS)
    with capsys.disabled():
        print(f"\n{tell(name, ended)} ({time.monotonic() - begun:.0f} s)")
    check(ended)
    if name in ("train", "tune", "sweep"):
        assert any(each.resumed for each in ended)


@pytest.mark.parametrize("name", ["train", "submit"])
def test_a_few_kills_change_nothing(name, stage):
    check(killed_often(stage, name, 4))
