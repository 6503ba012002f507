"""What is printed fits the terminal and is whole elsewhere; --json says the same and nothing else."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common import terminal
from common.files import write_json
from common.recipe import Recipe
from common.terminal import fitted, records, table
from competitions import load, verbs
from competitions.__main__ import run

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("run", "cv", "state", "why")
ROWS = [("0123456789ab", "0.8000", "finished", ""), ("ba9876543210", "-", "failed", "loss is not finite " * 5)]
PRINT_TABLE = f"from common.terminal import table; print(table({NAMES!r}, {ROWS!r}))"


def on_a_terminal(code: str, columns: int, **environment: str) -> str:
    """What Python code prints to a pseudo-terminal of so many columns."""
    ours, theirs = pty.openpty()
    bare = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    variables = bare | {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": str(ROOT)} | environment
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=variables):
        os.close(theirs)
        printed = b""
        while part := read(ours):
            printed += part
    os.close(ours)
    return printed.decode().replace("\r\n", "\n")


def read(terminal: int) -> bytes:
    """The next bytes; none where the other side has been closed, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_where_output_is_piped_nothing_is_cut_and_nothing_is_coloured():
    told = table(NAMES, ROWS)
    assert "loss is not finite " * 4 in told
    assert "\x1b" not in told


def test_numbers_go_to_the_right_and_texts_to_the_left():
    told = table(("name", "n"), [("a", "5"), ("long name", "1,234")]).splitlines()
    assert told == ["name           n", "a              5", "long name  1,234"]


def test_on_a_terminal_every_line_fits_and_long_texts_are_cut():
    lines = on_a_terminal(PRINT_TABLE, 60, NO_COLOR="1").splitlines()
    assert max(map(len, lines)) == 60
    assert lines[-1].endswith("…")


def test_ids_numbers_and_intervals_are_never_cut():
    names, row = ("run", "interval", "network"), ("0123456789ab-2", "-0.1000 to +0.2000", "convnext_tiny.fb_in1k")
    code = f"from common.terminal import table; print(table({names!r}, [{row!r}]))"
    assert on_a_terminal(code, 42, NO_COLOR="1").splitlines()[1] == "0123456789ab-2  -0.1000 to +0.2000  convn…"


def test_colour_is_for_terminals_without_no_color():
    assert "\x1b[31mfailed\x1b[0m" in on_a_terminal(PRINT_TABLE, 200)
    assert "\x1b" not in on_a_terminal(PRINT_TABLE, 200, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(PRINT_TABLE, 200, TERM="dumb")


def test_an_error_is_red_on_a_terminal_and_plain_elsewhere(capsys):
    wrong = "from competitions.__main__ import run; run(['nothing'])"
    assert on_a_terminal(wrong, 100).startswith("\x1b[31merror:\x1b[0m ")
    assert run(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_texts_are_not_cut_below_a_few_letters():
    assert fitted([30, 10, 6], [False, False, True], 30) == [10, 10, 6]
    assert fitted([30, 10, 6], [False, False, True], 5) == [terminal.NARROWEST, terminal.NARROWEST, 6]
    assert fitted([6], [True], 3) == [6]


def test_what_is_not_known_is_null(capsys):
    terminal.print_json({"rows": records(pd.DataFrame({"a": [1.5, np.nan]})), "n": np.int64(3), "file": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"rows": [{"a": 1.5}, {"a": None}], "n": 3, "file": "x"}


def test_with_json_what_work_prints_is_no_part_of_the_answer(capsys):
    with terminal.aside(json=True):
        print("training")
    terminal.print_json({"score": 0.5})
    told = capsys.readouterr()
    assert json.loads(told.out) == {"score": 0.5}
    assert told.err == "training\n"


@pytest.fixture
def one_run(tmp_path) -> Path:
    """A folder of runs with a finished run of aptos and one that was never finished."""
    for name, finished in (("0123456789ab", True), ("ba9876543210", False)):
        folder = tmp_path / "aptos" / name
        write_json(folder / "run.json", {"recipe": Recipe(augment="heavy").to_dict(), "started": name, "data": ""})
        if finished:
            write_json(folder / "metrics.json", {"score": 0.8, "interval": [0.7, 0.9], "n": 600, "metric": "kappa"})
    return tmp_path


def test_runs_says_the_same_as_text_and_as_json(one_run, capsys):
    verbs.runs(load("aptos"), ["--runs", str(one_run)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == [
        "0123456789ab",
        "0.8000",
        "0.7000–0.9000",
        "finished",
        "resnet50",
        "256",
        "heavy",
        "cross_entropy",
    ]
    assert lines[2][:4] == ["ba9876543210", "-", "-", "unfinished"]
    verbs.runs(load("aptos"), ["--runs", str(one_run), "--json"])
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert (first["run"], first["score"], first["interval"]) == ("0123456789ab", 0.8, [0.7, 0.9])
    assert first["recipe"] == {"augment": "heavy"}
    assert (second["state"], second["score"]) == ("unfinished", None)


@pytest.mark.parametrize("verb", ["runs", "ledger", "probe", "ablate", "suspects", "blend", "tune"])
def test_every_verb_that_reports_has_json(verb, capsys):
    with pytest.raises(SystemExit):
        getattr(verbs, verb)(load("aptos"), ["--help"])
    assert "--json" in capsys.readouterr().out
