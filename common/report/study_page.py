"""The page of the study: the paper's scatter plots, to point at, by plotly, which is inside the page."""

from pathlib import Path

from common.report.index_page import STUDY
from common.report.page import made_of, once, write_page

OF_STUDY = Path(__file__).parents[1] / "study"


def write_study_page(root: Path) -> tuple[Path, bool]:
    """`report/study.html` in the folder of the runs, and whether it had to be made."""
    path = root / "report" / STUDY
    stamp = made_of(files=sorted([*OF_STUDY.glob("tables/*.csv"), *OF_STUDY.rglob("*.py")]))

    def make() -> None:
        from common.study import tables
        from common.study.figures.interactive import parts
        from common.study.parameters import counted
        from common.study.trend import ABOVE

        write_page(path, "study.html", stamp, parts=parts(tables.scores(), counted(), ABOVE))

    return path, once(path, stamp, make)
