"""The notebooks that run on Kaggle, from their sources under notebooks/: parameters filled in, nothing else changed."""

import re
from pathlib import Path
from pprint import pformat
from typing import Any

from common.competition import Competition
from common.kaggle.package import Package, weights_file
from common.recipe import Recipe
from common.run import Run

SOURCES = Path(__file__).resolve().parents[2] / "notebooks"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def inference_notebook(competition: Competition, run: Run, package: Package) -> str:
    """The notebook (ipynb, JSON) that predicts with a packed run or blend and writes `submission.csv`."""
    return filled_in(
        "kaggle_submit.py",
        COMPETITION=competition.name,
        SLUG=competition.slug or competition.name,
        RUN=run.id,
        PACKAGE=package.slug,
        SHA256=package.sha256,
    )


def training_notebook(competition: Competition, recipe: Recipe, package: Package) -> str:
    """The notebook (ipynb, JSON) that trains a recipe and leaves `runs/<competition>/<id>/`.

    Raises:
        UserError: the weights that the recipe starts from cannot be had; see `common.kaggle.package.weights_file`.
    """
    weights = weights_file(recipe)
    return filled_in(
        "kaggle_train.py",
        COMPETITION=competition.name,
        SLUG=competition.slug or competition.name,
        PACKAGE=package.slug,
        SHA256=package.sha256,
        WEIGHTS=weights.name if weights else "",
        RECIPE={name: value for name, value in recipe.to_dict().items() if value != getattr(Recipe(), name)},
    )


def filled_in(source: str, **parameters: Any) -> str:
    """A notebook's source (jupytext, percent format) as ipynb JSON, with other values in its cell of parameters. The
    same values give the same bytes: cells are numbered, and there are no outputs."""
    import jupytext

    notebook = jupytext.reads((SOURCES / source).read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = KERNEL
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        if cell.metadata.get("tags") == ["parameters"]:
            cell.source = with_values(cell.source, parameters)
    return jupytext.writes(notebook, fmt="ipynb")


def with_values(cell: str, parameters: dict[str, Any]) -> str:
    """The lines `NAME = …` of a cell with the values of these parameters; comments stay."""
    for name, value in parameters.items():
        line = f"{name} = {pformat(value, width=100, sort_dicts=False)}"
        cell, found = re.subn(rf"^{name} = .*$", lambda _, line=line: line, cell, flags=re.MULTILINE)
        if found != 1:
            raise ValueError(f"the cell of parameters assigns {name} {found} times")
    return cell
