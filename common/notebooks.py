"""The lessons under notebooks/, built from their sources and run from top to bottom: `python -m common.notebooks`.

A lesson is a jupytext source (percent format) whose name begins with its number. What it becomes, with its outputs, is
written to `notebooks/built/`. The other sources there run on Kaggle, see `common.kaggle.notebook`.
"""

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from common import command
from common.errors import UserError, closest
from common.files import write_text
from common.progress import clock

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
SOURCES, BUILT = ROOT / "notebooks", ROOT / "notebooks" / "built"
SECONDS = 900
"""Longest that a cell may take: lessons take two minutes, on a machine that does nothing else."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def lessons(names: Sequence[str] = ()) -> list[Path]:
    """The sources in the order of their numbers; of those named alone, by number or name.

    Raises:
        UserError: there is no lesson of that name.
    """
    known = {source.stem: source for source in sorted(SOURCES.glob("[0-9]_*.py"))}
    for name in names:
        if not any(name in (stem, stem.partition("_")[0]) for stem in known):
            raise UserError(f"there is no notebook '{name}'{closest(name, known)}; there are {', '.join(known)}")
    return [path for stem, path in known.items() if not names or {stem, stem.partition("_")[0]} & set(names)]


def built(source: Path) -> "NotebookNode":
    """The notebook of a source, without outputs; cells are numbered, so that the same source gives the same bytes."""
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def execute(source: Path, to: Path, folder: Path) -> None:
    """Runs a lesson in a folder and writes it with its outputs, as far as it came.

    Args:
        folder: where its kernel starts. Inside the repository a lesson works in the repository's own folder.

    Raises:
        UserError: a cell fails; names it and its error.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, where = built(source), {"metadata": {"path": str(folder)}}
    try:
        with TemporaryDirectory(prefix="kernel-") as sockets:  # not ports, which every user of the machine could reach
            connection = str(Path(sockets) / "kernel.json")
            manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=connection)
            limits = {"timeout": SECONDS, "startup_timeout": 300, "shutdown_kernel": "immediate"}
            client = NotebookClient(notebook, km=manager, resources=where, **limits)
            client.execute(
                env=surroundings(), cleanup_kc=True
            )  # the kernel ends with its lesson, not with this process
    except CellExecutionError as error:
        raise UserError(f"{source.name}: {failed_cell(notebook)}: {error.ename}: {bare(error.evalue)}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise UserError(f"{source.name}: {failed_cell(notebook)}: {bare(str(error))}") from None
    finally:
        write_text(to, nbformat.writes(notebook) + "\n")


def surroundings() -> dict[str, str]:
    """The environment of a lesson: this project can be imported in any folder, pictures become part of the notebook."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's, of widgets that nothing here needs
    }


def failed_cell(notebook: "NotebookNode") -> str:
    """`cell 7 (recipe = …)`: the last one that was begun."""
    begun = [number for number, cell in enumerate(notebook.cells) if cell.get("execution_count")]
    cells = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    errors = [n for n in cells if any(output.output_type == "error" for output in notebook.cells[n].outputs)]
    number = (errors or [n for n in cells if n > max(begun, default=-1)] or cells)[0]
    return f"cell {number} ({notebook.cells[number].source.strip().splitlines()[-1]})"


def bare(text: str) -> str:
    return COLOURS.sub("", text).strip()


def main(names: list[str]) -> None:
    """Builds and runs the lessons, all or those named; one line each with its time."""
    failures = []
    for source in lessons(names):
        start, to = time.monotonic(), BUILT / f"{source.stem}.ipynb"
        try:
            execute(source, to, ROOT)
            outcome = f"{to.relative_to(ROOT)}"
        except UserError as error:
            failures.append(str(error))
            outcome = "failed"
        print(f"{source.stem:<32} {clock(time.monotonic() - start):>5}  {outcome}", flush=True)
    if failures:
        raise UserError("; ".join(failures))


if __name__ == "__main__":
    sys.exit(command.run(main, sys.argv[1:]))
