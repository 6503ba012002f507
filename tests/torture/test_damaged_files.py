"""Commands that meet a flipped bit in what an earlier one wrote: one line that names the file, or all is as ever."""

import time
from random import Random

import pytest

from tests.torture.disks import errors, flip
from tests.torture.stage import ONE_FOLD, PREDICT, SUBMIT, TRAIN
from tests.torture.test_disk import DiskStage
from tests.torture.worlds import copy, run

TUNE = ("aptos", "tune", *ONE_FOLD, "--search", "learning_rate", "--trials", "2")
REPORT, RUNS, LEDGER = ("aptos", "report"), ("aptos", "runs"), ("aptos", "ledger")
FLIPS = 1

COMMANDS = {
    "cache/aptos-train-*/pixels.bin": (*TRAIN, "--again"),
    "cache/aptos-train-*/index.npy": (*TRAIN, "--again"),
    "cache/aptos-train-*/cache.json": (*TRAIN, "--again"),
    "runs/aptos/*/fold-1/weights-*.safetensors": (*PREDICT, "--again"),
    "runs/aptos/*/fold-1/done": (*PREDICT, "--again"),
    "runs/aptos/*/test.parquet": PREDICT,
    "runs/aptos/*/out_of_fold.parquet": REPORT,
    "runs/aptos/*/metrics.json": RUNS,
    "runs/aptos/*/run.json": RUNS,
    "submissions/ledger.sqlite": LEDGER,
    "runs/aptos/studies/*.journal": TUNE,
}
"""A file of an earlier command, and one that reads it."""


class DamageStage(DiskStage):
    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return words if words in (RUNS, LEDGER) else super().words(words)


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> DamageStage:
    """With a folder in which everything was done once."""
    made = DamageStage(tmp_path_factory.mktemp("damaged"))
    (made.folder / "base").mkdir()
    for words in (TRAIN, PREDICT, SUBMIT, TUNE):
        said, _ = run(made.folder / "base", made.words(words))
        assert said.exit_code == 0, said.err
    return made


def ended(stage: DamageStage, pattern: str, number: int) -> tuple[str, str]:
    """How the command ended, `refused` or `as ever`, and what was wrong with that."""
    world, words = copy(stage.folder / "base", stage.folder / "world"), stage.words(COMMANDS[pattern])
    file = sorted(world.glob(pattern))[0]
    told = flip(file, Random(f"10 {pattern} {number}"))
    said, _ = run(world, words)
    lines = errors(said)
    if said.exit_code == 2 and len(lines) == 1 and (file.name in lines[0] or file.parent.name in lines[0]):
        return "refused", ""
    if said.exit_code == 0 and not lines and said.out == undisturbed(stage, words):
        return "as ever", ""
    return "", f"{told}: exit code {said.exit_code}: {said.out[-500:]} {said.err[-1500:]}"


def undisturbed(stage: DamageStage, words: tuple[str, ...]) -> str:
    said, _ = run(copy(stage.folder / "base", stage.folder / "world"), words)
    assert said.exit_code == 0, said.err
    return said.out


@pytest.mark.torture
def test_a_command_refuses_a_damaged_file_in_one_line_or_does_not_need_it(stage, say):
    begun = time.monotonic()
    found = [ended(stage, pattern, number) for pattern in COMMANDS for number in range(FLIPS)]
    refused, as_ever = (sum(how == kind for how, _ in found) for kind in ("refused", "as ever"))
    say(
        f"{len(found)} commands on {len(COMMANDS)} damaged files: {refused} refused in one line that names it, "
        f"{as_ever} ended as the undisturbed one, {len(found) - refused - as_ever} did not "
        f"({time.monotonic() - begun:.0f} s)"
    )
    wrong = [what for _, what in found if what]
    assert not wrong, "\n".join(wrong)
