"""A disk that is full or read-only: one line, nothing lost, and the same command goes on when it can be written."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.forked import Said
from tests.torture.disks import errors, fill, make_space, read_only, run_on_disk, small_disk
from tests.torture.stage import CASES, ONE_FOLD, PREPARE, TRAIN, Case, Stage, Undisturbed
from tests.torture.worlds import difference

SEED, FILLINGS = 10, 4
PAGE = 4096

DISK_CASES = {name: CASES[name] for name in ("prepare", "train", "predict", "submit", "sweep")} | {
    "tune": Case(("aptos", "tune", *ONE_FOLD, "--search", "learning_rate", "--trials", "2"), (PREPARE,)),
    "report": Case(("aptos", "report"), (TRAIN,)),
}
CASES.update({f"disk-{name}": case for name, case in DISK_CASES.items()})


class DiskStage(Stage):
    """Whose caches are raw also where JPEG would take less, and whose disks hold nothing but the world."""

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        if words[1] == "report":
            return (*words, "--data", str(self.raw))
        return (*super().words(words), *(() if "--cache-format" in words else ("--cache-format", "raw")))

    def outcome(self, world: Path) -> dict[str, object]:
        """Without the states of pruned trials, which hold how long their epochs took."""
        return {name: what for name, what in super().outcome(world).items() if not name.endswith("last.state")}


@dataclass(frozen=True)
class Ended:
    """What came of a filling; `wrong` is empty where all is well."""

    refused: bool
    wrong: str = ""


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> DiskStage:
    return DiskStage(tmp_path_factory.mktemp("disk"))


@contextmanager
def world_on_a_disk(stage: DiskStage, name: str, number: object) -> Iterator[tuple[Path, str]]:
    """What the case begins with on a small disk, and the address of its leaderboard."""
    normal, case = stage.undisturbed(f"disk-{name}"), DISK_CASES[name]
    with ExitStack() as stack:
        world = stack.enter_context(small_disk(stage.folder / f"{name}-disk-{number}"))
        shutil.copytree(normal.base, world, dirs_exist_ok=True)
        yield world, stack.enter_context(stage.served(case, normal.base, world))


def filled(stage: DiskStage, name: str, number: int) -> Ended:
    """The command on a disk that is full at some moment, or nearly so from the start, and again after space is made."""
    normal, random = stage.undisturbed(f"disk-{name}"), Random(f"{SEED} {name} {number}")
    words = stage.words(DISK_CASES[name].words)
    with world_on_a_disk(stage, name, number) as (world, url):
        whole = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
        full_at = None
        if number % 2:
            full_at = random.randint(1, normal.steps)
        else:
            fill(world, free=random.randrange(0, size_of(normal, stage, name), PAGE))
        said = run_on_disk(world, words, full_at, url)
        told = f"{name} {number}, full {f'at step {full_at} of {normal.steps}' if full_at else 'from the start'}: "
        if wrong := complaint(said) or lost(whole):
            return Ended(said.exit_code == 2, told + wrong)
        make_space(world)
        again = run_on_disk(world, words, url=url)
        if again.exit_code:
            return Ended(said.exit_code == 2, f"{told}then exit code {again.exit_code}: {again.err[-1500:]}")
        wrong = difference(normal.outcome, stage.outcome(world))
        return Ended(said.exit_code == 2, wrong and told + wrong)


def size_of(normal: Undisturbed, stage: DiskStage, name: str) -> int:
    """Bytes that the undisturbed command writes, and some more."""
    before, after = bytes_in(normal.base), bytes_in(stage.folder / f"disk-{name}-undisturbed")
    return int(1.2 * max(after - before, 16 * PAGE))


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def complaint(said: Said) -> str:
    """What is wrong with how a command ended: nothing where it is well, or one line names a file and the way out."""
    lines = errors(said)
    if said.exit_code == 0:
        return "" if not lines else f"well, but {lines}"
    if said.exit_code != 2 or len(lines) != 1:
        return f"exit code {said.exit_code}: {said.err[-2500:]}"
    named = re.search(r"\b(cache|runs|submissions|data|home)\b", lines[0])
    way_out = re.search(r"free some space|another folder|permissions|--cache DIR|--runs", lines[0])
    return "" if named and way_out else f"no file or no way out: {lines[0]}"


def lost(whole: dict[Path, bytes]) -> str:
    """Earlier files that are gone or not whole. Those that a command rewrites may be the new ones."""
    rewritten = ("run.json", ".sqlite", ".journal", ".lock")
    wrong = [
        path.name
        for path, content in whole.items()
        if not path.is_file() or (not path.name.endswith(rewritten) and path.read_bytes() != content)
    ]
    return f"lost {wrong}" if wrong else ""


def check(ended: list[Ended]) -> None:
    wrong = [each.wrong for each in ended if each.wrong]
    assert not wrong, "\n".join(wrong)


@pytest.mark.torture
@pytest.mark.parametrize("name", DISK_CASES)
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_after_space_is_made(name, stage, say):
    begun = time.monotonic()
    ended = [filled(stage, name, number) for number in range(FILLINGS)]
    refused, wrong = sum(each.refused for each in ended), sum(bool(each.wrong) for each in ended)
    say(
        f"{name}: {len(ended)} full disks: {refused} refused in one line, {len(ended) - refused} had enough; "
        f"{len(ended) - wrong} ended as the undisturbed command, {wrong} did not ({time.monotonic() - begun:.0f} s)"
    )
    check(ended)


def test_preparing_on_a_full_disk_is_one_line_and_goes_on_after_space_is_made(stage):
    check([filled(stage, "prepare", 1)])


LOCKED = {
    "prepare": ("cache",),
    "train": ("cache", "runs", "home"),
    "predict": ("cache", "runs"),
    "submit": ("runs", "submissions", "home"),
    "tune": ("cache", "runs"),
    "report": ("runs", "home"),
}
"""The folders that each command does without, or cannot."""


def locked(stage: DiskStage, name: str, folder: str) -> Ended:
    """The command where one of its folders cannot be written, and again where it can."""
    normal, words = stage.undisturbed(f"disk-{name}"), stage.words(DISK_CASES[name].words)
    with world_on_a_disk(stage, name, folder) as (world, url):
        whole = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
        (world / folder).mkdir(exist_ok=True)
        with read_only(world / folder):
            said = run_on_disk(world, words, url=url)
        told = f"{name} with {folder} read-only: "
        if wrong := complaint(said) or lost(whole):
            return Ended(said.exit_code == 2, told + wrong)
        again = run_on_disk(world, words, url=url)
        if again.exit_code:
            return Ended(said.exit_code == 2, f"{told}then exit code {again.exit_code}: {again.err[-1500:]}")
        wrong = difference(normal.outcome, stage.outcome(world))
        return Ended(said.exit_code == 2, wrong and told + wrong)


@pytest.mark.torture
def test_a_folder_that_cannot_be_written_is_one_line_and_the_same_command_goes_on_when_it_can(stage, say):
    begun = time.monotonic()
    ended = [locked(stage, name, folder) for name, folders in LOCKED.items() for folder in folders]
    refused, wrong = sum(each.refused for each in ended), sum(bool(each.wrong) for each in ended)
    say(
        f"{len(ended)} read-only folders: {refused} refused in one line, {len(ended) - refused} did without; "
        f"{len(ended) - wrong} ended as the undisturbed command, {wrong} did not ({time.monotonic() - begun:.0f} s)"
    )
    check(ended)
