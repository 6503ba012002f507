"""The index: every competition with its best run, and the study."""

from pathlib import Path

from common.report.page import beside, made_of, once, write_page

STUDY = "study.html"


def write_index(root: Path) -> tuple[Path, bool]:
    """`report/index.html` in the folder of the runs, of the pages that are there and still have runs; and whether
    it had to be made."""
    folder = root / "report"
    files = sorted(file for file in folder.glob("*.json") if not file.stem.endswith("-pairs"))
    there = [
        file for file in files if file.with_suffix(".html").is_file() and any(root.glob(f"{file.stem}/*/run.json"))
    ]
    summaries = {file.stem: beside(file) for file in there}
    study = (folder / STUDY).is_file()
    path, stamp = folder / "index.html", made_of(summaries, study)
    return path, once(path, stamp, lambda: write_page(path, "index.html", stamp, summaries=summaries, study=study))
