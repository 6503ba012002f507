"""What a killed process leaves: no lock that keeps others waiting, and no file that stays."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from common.files import write_text
from common.leftovers import OLD, in_the_making, sweep_up
from common.locks import held
from common.processes import own_name
from common.tuning.journal import Checked

context = multiprocessing.get_context("fork")


def hold_with_a_child(path: Path, ready) -> None:
    with held(path):
        child = context.Process(target=time.sleep, args=(30,))
        child.start()
        ready.send(child.pid)
        time.sleep(30)


def hold_journal(path: Path, ready) -> None:
    with held(path):
        ready.send(None)
        time.sleep(30)


def killed_after(function, path: Path) -> int | None:
    """What the process told before it was killed."""
    here, there = context.Pipe()
    process = context.Process(target=function, args=(path, there))
    process.start()
    told = here.recv()
    process.kill()
    process.join()
    return told


def test_a_lock_is_refused_while_its_process_lives(tmp_path):
    with held(tmp_path / "lock"), pytest.raises(BlockingIOError), held(tmp_path / "lock", wait=False):
        pass


def test_a_lock_ends_with_its_process_though_a_child_of_it_lives_on(tmp_path):
    child = killed_after(hold_with_a_child, tmp_path / "lock")
    with held(tmp_path / "lock", wait=False):
        os.kill(child, signal.SIGKILL)  # it was there


def test_the_journal_of_a_study_is_free_as_soon_as_its_writer_is_killed(tmp_path):
    killed_after(hold_journal, tmp_path / "journal")
    begun = time.monotonic()
    journal = Checked(str(tmp_path / "journal"))
    journal.append_logs([{"op_code": 0}])
    assert time.monotonic() - begun < 1
    assert [line["op_code"] for line in journal.read_logs(0)] == [0]


def test_what_a_killed_process_was_writing_goes_when_another_writes_there(tmp_path):
    dead, other_machine = f"{2**22 + 1}-{own_name().partition('-')[2]}", f"{2**22 + 1}-00000000"
    for name in (own_name(), dead, other_machine):
        (tmp_path / f".metrics.json.{name}.tmp").write_text("half")
    (tmp_path / f".package.{dead}.tmp" / "inner").mkdir(parents=True)
    write_text(tmp_path / "run.json", "{}")
    left = {f".metrics.json.{name}.tmp" for name in (own_name(), other_machine)}
    assert {path.name for path in tmp_path.iterdir()} == left | {"run.json"}


def test_what_another_machine_was_writing_is_left_alone_for_a_day(tmp_path):
    unfinished = tmp_path / ".metrics.json.77-00000000.tmp"
    unfinished.write_text("half")
    sweep_up(tmp_path)
    assert unfinished.is_file()
    os.utime(unfinished, (time.time() - OLD - 1,) * 2)
    sweep_up(tmp_path)
    assert not unfinished.exists()


def test_what_is_in_the_making_lies_beside_what_it_becomes(tmp_path):
    assert in_the_making(tmp_path / "a.csv").parent == tmp_path
