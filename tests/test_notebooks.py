"""The lessons under notebooks/: sources that are read like a lesson, and that run from top to bottom."""

import ast
import os
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from common import notebooks
from common.errors import UserError
from common.notebooks import built, execute, lessons, main

LESSONS = lessons()
NAMES = [source.stem for source in LESSONS]
LONGEST_CELL = 25
REQUIRED = {"matplotlib", "numpy", "pandas", "sklearn", "IPython"}
"""What a Kaggle reader knows; everything else comes from the project."""


def code_cells(source: Path) -> list[str]:
    return [cell.source for cell in built(source).cells if cell.cell_type == "code"]


def imported(cell: str) -> set[str]:
    """The packages that a cell imports."""
    code = "\n".join(line for line in cell.splitlines() if not line.startswith("%"))
    nodes = list(ast.walk(ast.parse(code)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain | {n.module for n in nodes if isinstance(n, ast.ImportFrom)}}


def test_there_are_six_lessons_in_their_order():
    assert [name.partition("_")[0] for name in NAMES] == ["1", "2", "3", "4", "5", "6"]


def test_lessons_are_chosen_by_number_or_name():
    assert lessons(["2", NAMES[4]]) == [LESSONS[1], LESSONS[4]]
    with pytest.raises(UserError, match=f"no notebook 'transfer'.*{NAMES[4]}"):
        lessons(["transfer"])


@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_a_lesson_begins_with_a_question_and_says_what_it_cannot_say(source):
    prose = [cell.source for cell in built(source).cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    assert "?" in prose[0]
    assert any("what it cannot" in cell for cell in prose)


@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_a_lesson_says_whose_data_it_shows(source):
    first = next(cell.source for cell in built(source).cells if cell.cell_type == "markdown")
    assert "**sample data**" in first or "**the paper's numbers**" in first


@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_cells_are_short_and_have_no_outputs(source):
    notebook = built(source)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) < LONGEST_CELL, cell.source
        assert not cell.get("outputs")


@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_a_lesson_imports_the_project_and_little_else(source):
    names = set().union(*map(imported, code_cells(source)))
    assert names - set(sys.stdlib_module_names) <= REQUIRED | {"common", "competitions"}


@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_links_to_other_lessons_lead_somewhere(source):
    text = source.read_text()
    assert all(f"({name}.ipynb)" not in text or (source.parent / f"{name}.py").is_file() for name in NAMES)
    assert text.count(".ipynb)") == sum(text.count(f"({name}.ipynb)") for name in NAMES)


def test_the_same_source_gives_the_same_bytes():
    assert nbformat.writes(built(LESSONS[0])) == nbformat.writes(built(LESSONS[0]))


def lesson(folder: Path, *cells: str) -> Path:
    source = folder / "9_of_a_test.py"
    source.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells))
    return source


def test_a_failing_lesson_names_the_cell_and_the_error_and_is_kept_as_far_as_it_came(tmp_path):
    source = lesson(tmp_path, "print('so far')", "number = 1\nnumber / 0", "print('never')")
    with pytest.raises(UserError, match=r"9_of_a_test.py: cell 1 \(number / 0\): ZeroDivisionError: division by zero"):
        execute(source, tmp_path / "made.ipynb", tmp_path)
    cells = nbformat.read(tmp_path / "made.ipynb", as_version=4).cells
    assert cells[0].outputs[0].text == "so far\n"
    assert not cells[2].outputs


def test_a_lesson_finds_the_project_in_any_folder(tmp_path):
    setup = code_cells(LESSONS[0])[0]
    source = lesson(tmp_path, setup, "import common, os\nprint(common.__file__, os.getcwd())")
    execute(source, tmp_path / "made.ipynb", tmp_path)
    told = nbformat.read(tmp_path / "made.ipynb", as_version=4).cells[1].outputs[0].text
    assert told == f"{notebooks.ROOT / 'common' / '__init__.py'} {tmp_path}\n"


def test_the_kernel_of_a_lesson_ends_with_it(tmp_path):
    source = lesson(tmp_path, "import os\nprint(os.getpid())")
    execute(source, tmp_path / "made.ipynb", tmp_path)
    kernel = int(nbformat.read(tmp_path / "made.ipynb", as_version=4).cells[0].outputs[0].text)
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


@pytest.mark.slow
@pytest.mark.parametrize("source", LESSONS, ids=NAMES)
def test_a_lesson_runs_from_top_to_bottom_and_shows_a_picture(source, tmp_path):
    execute(source, tmp_path / "made.ipynb", tmp_path)
    outputs = [out for cell in jupytext.read(tmp_path / "made.ipynb").cells for out in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2


@pytest.mark.slow
def test_make_notebooks_prints_a_line_a_lesson(capsys):
    main(["5"])
    assert capsys.readouterr().out.startswith(NAMES[4])
