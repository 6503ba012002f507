"""What can be wrong with a submission, for each kind of answer: class numbers, probabilities, sets of classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from common.competition import Competition, SubmissionFormat
from tests.practice_world import IDS, LABELS, competition

Rows = list[list[str]]
CELLS = {"class": [str(label) for label in LABELS], "probability": ["0.25"] * 40, "labels": ["0 2"] * 40}


@dataclass(frozen=True)
class Submission:
    """A whole submission of this kind of answer after `edit`; `said` is empty where it is taken all the same."""

    name: str
    content: bytes
    said: str
    kind: str = "class"

    @property
    def competition(self) -> Competition:
        return replace(competition(), submission=SubmissionFormat("id", "label", self.kind))


def text(rows: Rows, header: str = "id,label") -> str:
    return "\n".join([header, *map(",".join, rows)]) + "\n"


def whole(kind: str = "class") -> Rows:
    return [[id, cell] for id, cell in zip(IDS, CELLS[kind], strict=True)]


def edited(name: str, edit: Callable[[Rows], Rows | None], said: str, kind: str = "class") -> Submission:
    rows = whole(kind)
    return Submission(name, text(edit(rows) or rows).encode(), said, kind)


def cell(name: str, value: str, said: str, kind: str = "class") -> Submission:
    """The last row's answer is this."""
    return edited(name, lambda rows: rows[-1].__setitem__(1, value), said, kind)


def raw(name: str, content: str | bytes, said: str) -> Submission:
    return Submission(name, content.encode() if isinstance(content, str) else content, said)


WHOLE = text(whole())
NO_CLASS = "needs a whole number in 0..2 in 'label', not 039: "
NO_PROBABILITY = "needs a number in [0, 1] in 'label', not 039: "
NO_LABELS = "039: "

CASES = [
    edited("a row missing", lambda rows: rows[:-1], "misses ids of the sample submission: 039"),
    raw("no rows", "id,label\n", "has no rows"),
    edited("a row too many", lambda rows: [*rows, ["999", "0"]], "not in the sample submission: 999"),
    edited("a row twice", lambda rows: [*rows, rows[0]], "has duplicate ids: 000"),
    edited("rows in another order", lambda rows: rows[::-1], "in another order than the sample submission"),
    edited("leading zeros lost", lambda rows: [[str(int(id)), value] for id, value in rows], "misses ids"),
    edited("an id that is blank", lambda rows: rows[3].__setitem__(0, " "), "has blank ids in rows: 4"),
    edited("a cell too many", lambda rows: rows[2].append("1"), "line 4 has 3 cells in place of 2"),
    edited("a cell too few", lambda rows: rows[2].__delitem__(1), "line 4 has 1 cells in place of 2"),
    cell("a blank answer", "", "has blank cells in 'label' at 039"),
    cell("an answer of blanks", "  ", "has blank cells in 'label' at 039"),
    cell("NaN", "nan", NO_CLASS + "nan"),
    cell("a class with a point", "1.0", NO_CLASS + "1.0"),
    cell("a class that there is not", "3", NO_CLASS + "3"),
    cell("a negative class", "-1", NO_CLASS + "-1"),
    cell("the name of a class", "a", NO_CLASS + "a"),
    cell("a class of 5,000 digits", "1" * 5000, "needs a whole number in 0..2"),
    cell("other digits than ours", "²", NO_CLASS + "²"),
    cell("a formula", "=1+1", NO_CLASS + "=1+1"),
    cell("a probability above one", "1.01", NO_PROBABILITY + "1.01", "probability"),
    cell("a negative probability", "-0.01", NO_PROBABILITY + "-0.01", "probability"),
    cell("NaN for a probability", "NaN", NO_PROBABILITY + "NaN", "probability"),
    cell("infinity for a probability", "inf", NO_PROBABILITY + "inf", "probability"),
    cell("a word for a probability", "likely", NO_PROBABILITY + "likely", "probability"),
    cell("a class that there is not among others", "0 3", NO_LABELS + "0 3", "labels"),
    cell("a class twice", "1 1", NO_LABELS + "1 1", "labels"),
    cell("classes with commas", '"0,1"', NO_LABELS + "0,1", "labels"),
    raw("no bytes", "", "is empty; it needs the columns id, label"),
    raw("a missing column", "id\n000\n", "has the columns id; it needs exactly id, label"),
    raw("a column of another name", WHOLE.replace("label", "target"), "has the columns id, target"),
    raw("a column too many", text([[*row, "0"] for row in whole()], "id,label,p"), "has the columns id, label, p"),
    raw("columns in another order", text([row[::-1] for row in whole()], "label,id"), "has the columns label, id"),
    raw("an index before the ids", text([["0", *row] for row in whole()], ",id,label"), "has the columns , id, label"),
    raw("no header", text(whole()[1:], "000,0"), "has the columns 000, 0"),
    raw("semicolons", WHOLE.replace(",", ";"), "has the columns id;label"),
    raw("a quote that is never closed", WHOLE + '"040,1\n', "is not a readable CSV file"),
    raw("UTF-16", WHOLE.encode("utf-16"), "is not a readable CSV file"),
    raw("a spreadsheet", b"PK\x03\x04\x14\0\x06\0" + bytes(range(256)), "csv"),
    raw("a web page", "<html>Sign in</html>", "has the columns <html>Sign in</html>"),
    raw("a cell of a megabyte", WHOLE + "x" * 1_000_000 + ",1\n", "is not a readable CSV file"),
    raw("a byte order mark", b"\xef\xbb\xbf" + WHOLE.encode(), ""),
    raw("Windows line ends", WHOLE.replace("\n", "\r\n"), ""),
    raw("answers in quotes", text([[f'"{cell}"' for cell in row] for row in whole()]), ""),
    raw("blank lines at the end", WHOLE + "\n\n", ""),
]
