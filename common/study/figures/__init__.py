"""The paper's figures, drawn from its tables or from one's own results: PNG, SVG and PDF, and one interactive page."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import pyplot
from matplotlib.figure import Figure

from common.errors import UserError
from common.files import write_atomically
from common.study import tables
from common.study.parameters import counted
from common.study.results import read_scores

STYLE = Path(__file__).with_name("study.mplstyle")
SUFFIXES = (".png", ".svg", ".pdf")
UNDATED = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def draw_all(folder: Path, results: Path | None, above: float) -> None:
    """Every figure that there are numbers for, into `folder`; says what is drawn and what is not.

    Raises:
        UserError: the results cannot be read, or the folder not written.
    """
    from common.study.figures.interactive import write_page

    matplotlib.use("agg")  # files are all that comes of it; a notebook that draws one figure keeps its own way
    table = read_scores(results) if results else tables.scores()
    counts = table["parameters"] if results else counted()
    for name, draw in figures(table, counts, above, own=results is not None).items():
        try:
            with pyplot.style.context(STYLE):
                save(draw(), folder / name)
        except UserError as error:
            print(f"{name}: not drawn; {error}")
        else:
            print(f"{folder / name}{', '.join(SUFFIXES)}")
    write_page(folder / "study.html", table, counts, above)
    print(folder / "study.html")


def figures(table: pd.DataFrame, counts: pd.Series, above: float, own: bool) -> dict[str, Callable[[], Figure]]:
    """Name → what draws it. CLIP, augmentation and distances are the paper's in any case."""
    from common.study.figures import others, transfer

    def needs_results() -> Figure:
        raise UserError("the paper shows this without numbers: give --results FILE")

    return {
        "transfer": partial(transfer.transfer, table, above),
        "transfer-logit": partial(transfer.transfer, table, above, "logit"),
        "parameters": partial(others.parameters, table, counts),
        "clip": partial(transfer.clip, above),
        "augmentation": others.augmentation,
        "distance": others.distance,
        "control": partial(transfer.control, table, above) if own else needs_results,
        "metrics": partial(transfer.metrics, table, above) if own else needs_results,
    }


def save(figure: Figure, stem: Path) -> None:
    """The figure in every format, the same bytes for the same picture."""
    for suffix in SUFFIXES:
        path = stem.with_name(stem.name + suffix)
        write_atomically(path, partial(figure.savefig, format=suffix[1:], metadata=UNDATED[suffix]))
    pyplot.close(figure)
