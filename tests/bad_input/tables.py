"""What can be wrong with the tables and folders that say which image is what."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import PREPARE, Case

CSV = ("aptos", "cassava", "hpa", "melanoma")
LABEL = {"aptos": "diagnosis", "cassava": "label", "hpa": "Target", "melanoma": "target"}
PREDICT = ("predict", *PREPARE[1:])
READY = "images ready for 32 px"


def rewritten(edit: Callable[[str], str | bytes], table: str = "train.csv") -> Callable[[Path], None]:
    """The table's text, changed."""

    def spoil(raw: Path) -> None:
        content = edit((raw / table).read_text())
        (raw / table).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def line(number: int, content: str, table: str = "train.csv") -> Callable[[Path], None]:
    """One line of a table, counted from 1 with the header, replaced."""

    def edit(text: str) -> str:
        lines = text.splitlines()
        lines[number - 1] = content
        return "\n".join(lines) + "\n"

    return rewritten(edit, table)


def added(content: str, table: str = "train.csv") -> Callable[[Path], None]:
    return rewritten(lambda text: text + content, table)


def gone(path: str) -> Callable[[Path], None]:
    return lambda raw: (raw / path).unlink()


def column_renamed(raw: Path) -> None:
    rewritten(lambda text: text.replace(LABEL[raw.name], "answer", 1))(raw)


def columns_swapped(raw: Path) -> None:
    rows = [row.split(",") for row in (raw / "train.csv").read_text().split()]
    rewritten(lambda _: "".join(f"{second},{first}\n" for first, second in rows))(raw)


def last_label(value: str) -> Callable[[Path], None]:
    """The label of the last row."""

    def edit(text: str) -> str:
        return text.strip().rpartition(",")[0] + f",{value}\n"

    return rewritten(edit)


def folder_in_its_place(raw: Path) -> None:
    (raw / "train.csv").unlink()
    (raw / "train.csv").mkdir()


def renamed_to(stem: str) -> Callable[[Path], None]:
    """The first image of APTOS and its row are called this."""

    def spoil(raw: Path) -> None:
        (raw / "train_images" / "a00.png").rename(raw / "train_images" / f"{stem}.png")
        line(2, f"{stem},0")(raw)

    return spoil


def without_images(raw: Path) -> None:
    for image in (raw / "train_images").iterdir():
        image.unlink()
    (raw / "train_images").rmdir()


def pipe_in_its_place(raw: Path) -> None:
    (raw / "train.csv").unlink()
    os.mkfifo(raw / "train.csv")


CASES = [
    Case("no table", gone("train.csv"), "train.csv; the folder should hold", CSV),
    Case("no sample submission", gone("sample_submission.csv"), "no data/aptos/sample_submission.csv", words=PREDICT),
    Case("no test table", gone("test.csv"), "there is no data/aptos/test.csv; the folder should hold"),
    Case("no folder of images", without_images, "train_images; the data folder should hold"),
    Case("an empty table", rewritten(lambda _: ""), "train.csv is empty"),
    Case("a table of blank lines", rewritten(lambda _: "\n\n\n"), "train.csv is empty", ("melanoma",)),
    Case("a header and no rows", rewritten(lambda text: text.splitlines()[0]), "has a header and no rows"),
    Case("a missing column of labels", column_renamed, "is missing; it has", CSV),
    Case("a missing column of ids", line(1, "name,diagnosis"), "column id_code is missing; it has name, diagnosis"),
    Case(
        "a column that stands there twice", line(1, "id_code,diagnosis,id_code"), "id_code stands there more than once"
    ),
    Case("semicolons", rewritten(lambda text: text.replace(",", ";")), "separated by semicolons", ("cassava",)),
    Case("tabs", rewritten(lambda text: text.replace(",", "\t")), "separated by tabs"),
    Case("a table in UTF-16", rewritten(lambda text: text.encode("utf-16")), "not in UTF-8"),
    Case("a table in Latin-1", added("größe,0\n"), "no such file"),
    Case("a table in another encoding", rewritten(lambda t: (t + "größe,0\n").encode("latin-1")), "not in UTF-8"),
    Case("an image called a table", rewritten(lambda _: b"\x89PNG\r\n\x1a\n\0\xff"), "train.csv"),
    Case("zeros in a table", added("\0\0\0\0,0\n"), "train.csv"),
    Case("a folder in a table's place", folder_in_its_place, "cannot read"),
    Case("a pipe in a table's place", pipe_in_its_place, "is a pipe, a socket or a device"),
    Case("a column that begins with a blank", line(1, "id_code, diagnosis"), "it has id_code, ' diagnosis'"),
    Case("a byte order mark twice", rewritten(lambda text: f"{2 * chr(0xFEFF)}{text}"), r"it has '\ufeffid_code'"),
    Case("a terminal's commands in a column", line(1, "id_code,\x1b[2Jx"), r"it has id_code, '\x1b[2Jx'"),
    Case("columns without a name", line(1, "id_code,diagnosis,,"), "column '' stands there more than once"),
    Case("a quote that is never closed", line(3, 'a01,"1'), "cannot read"),
    Case("more cells than columns", line(3, "a01,1,9"), "cannot read"),
    Case("a decimal comma", line(3, "a01,1,0"), "cannot read"),
    Case(
        "fewer cells than columns", line(3, "a01"), "'diagnosis' must be a whole number from 0 to 4, but a01 has none"
    ),
    Case("a label that nobody gave", last_label(""), "must be", CSV),
    Case("NaN for a label", last_label("NaN"), "must be", CSV),
    Case("infinity for a label", last_label("inf"), "but a11 has inf"),
    Case("a word for a label", last_label("severe"), "'severe'", CSV),
    Case("a label out of range", last_label("28"), "28", CSV),
    Case("a label of 5,000 digits", last_label("1" * 5000), "must be", ("aptos", "hpa")),
    Case("a negative label", last_label("-1"), "-1", CSV),
    Case("half a grade", last_label("1.5"), "1.5", CSV),
    Case("one place named twice", last_label("3 3"), "'3 3'", ("hpa",)),
    Case("an id that stands there twice", added("a03,1\n"), "'id_code' a03 stands there more than once"),
    Case("a blank id", line(4, ",1"), "'id_code' is blank in line 4"),
    Case("an id that leads out of the folder", line(4, "../../a,1"), "cannot name a file"),
    Case("a line end in an id", line(4, '"a\n02",1'), "cannot name a file"),
    Case("an id without an image", added("a99,1\n"), "a99.png (no such file)"),
    Case("a test table of other images", added("t99\n", "test.csv"), "name different images: t99"),
    Case("a sample submission of other images", added("t99,0\n", "sample_submission.csv"), "different images: t99"),
    Case("an id twice in the sample submission", added("t00,0\n", "sample_submission.csv"), "t00 stands there more"),
    Case(
        "a byte order mark",
        rewritten(lambda text: b"\xef\xbb\xbf" + text.encode()),
        READY,
        ("aptos", "hpa"),
        handled=True,
    ),
    Case(
        "Windows line ends",
        rewritten(lambda text: text.replace("\n", "\r\n")),
        READY,
        ("cassava", "melanoma"),
        handled=True,
    ),
    Case("no line end at the end", rewritten(str.strip), READY, handled=True),
    Case("blank lines at the end", added("\n\n"), READY, handled=True),
    Case("a blank first line", rewritten(lambda text: "\n" + text), READY, handled=True),
    Case("cells in quotes", line(3, '"a01","1"'), READY, handled=True),
    Case(
        "a line end in a quoted cell",
        rewritten(lambda t: t.replace("unknown", '"un\nknown"')),
        READY,
        ("melanoma",),
        handled=True,
    ),
    Case("columns in another order", columns_swapped, READY, handled=True),
    Case("whole numbers written with a point", last_label("1.0"), READY, ("melanoma",), handled=True),
    Case("an id of zeros", renamed_to("007"), READY, handled=True),
    Case("an id called NA", renamed_to("NA"), READY, handled=True),
    Case("an id of other letters", renamed_to("größe 网"), READY, handled=True),
    Case("an image without a row", lambda raw: (raw / "train_images/x.png").touch(), READY, handled=True),
]
