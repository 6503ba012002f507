"""Where commands are played through and killed: the raw data, and for each command a folder in which it is given."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from common.files import read_json
from common.kaggle.practice.server import running
from common.kaggle.practice.store import Store
from competitions import load
from competitions.sources import ABOUT, Source, practice_competition
from tests.small_data import RECIPE, fields_as_words, write_small_aptos
from tests.torture.worlds import copy, outcome, run

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
COMMANDS = tuple(CASES)
CASES["tune in order"] = Case((*TUNE, "--trials", "3", "--sampler", "grid", "--pruner", "none"), (PREPARE,))
"""What two find does not depend on who is the quicker."""


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
            shutil.rmtree(base / "submissions", ignore_errors=True)
            world = copy(base, self.folder / f"{name}-undisturbed")
            with self.served(case, base, world) as url:
                said, _ = run(world, self.words(case.words), url=url)
            assert said.exit_code == 0, said.err
            steps, _, _, seconds, _ = said.err.splitlines()[-1].split()
            self.made[name] = Undisturbed(base, self.outcome(world), float(seconds), int(steps))
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
