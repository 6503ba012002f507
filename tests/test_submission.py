"""What a submission file must be, and what is said when it is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.competition import Competition, SubmissionFormat
from common.errors import UserError
from common.files import sha256_of_file
from common.submission import validate, write, write_manifest

IDS = ["007", "a", "b", "c"]


def competition(kind: str) -> Competition:
    unused = lambda *_: None  # noqa: E731
    return Competition(
        name="tiny",
        title="Tiny",
        task={"class": "ordinal", "probability": "binary", "labels": "multilabel"}[kind],
        classes=("none", "mild", "severe"),
        metric="accuracy",
        takes="csv",
        submission=SubmissionFormat("id_code", "diagnosis", kind),
        read_train=unused,
        read_test=unused,
        paper_split=unused,
        make_sample=unused,
        recipes={},
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "sample_submission.csv").write_text("id_code,diagnosis\n" + "".join(f"{id},0\n" for id in IDS))
    return tmp_path


def complaint(raw: Path, content: str | bytes, kind: str = "class") -> str:
    path = raw / "submission.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        validate(path, competition(kind), raw / "sample_submission.csv")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_written_submission_is_in_the_order_of_the_sample_whatever_the_order_of_the_ids(raw):
    path = raw / "out" / "submission.csv"
    write(path, ["c", "b", "007", "a"], np.array([2, 1, 0, 2]), competition("class"), raw)
    assert path.read_text() == "id_code,diagnosis\n007,0\na,2\nb,1\nc,2\n"
    table = validate(path, competition("class"), raw / "sample_submission.csv")
    assert table["id_code"].tolist() == IDS
    assert table["diagnosis"].dtype == np.int64
    assert table["diagnosis"].tolist() == [0, 2, 1, 2]


def test_classes_computed_as_floats_are_written_as_whole_numbers(raw):
    write(raw / "s.csv", IDS, np.array([0.0, 1.0, 2.0, 0.0]), competition("class"), raw)
    assert (raw / "s.csv").read_text().splitlines()[1:] == ["007,0", "a,1", "b,2", "c,0"]


def test_probabilities_come_back_bit_for_bit(raw):
    values = np.array([1 / 3, 1e-17, 0.1 + 0.2, 1.0])
    write(raw / "s.csv", IDS, values, competition("probability"), raw)
    table = validate(raw / "s.csv", competition("probability"), raw / "sample_submission.csv")
    assert (table["diagnosis"].to_numpy() == values).all()


def test_a_submission_that_would_be_wrong_leaves_the_earlier_file_whole(raw):
    path = raw / "s.csv"
    write(path, IDS, np.array([0, 1, 2, 0]), competition("class"), raw)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"0\.\.2.*b: 3"):
        write(path, IDS, np.array([0, 1, 3, 0]), competition("class"), raw)
    with pytest.raises(UserError, match="misses ids of the sample submission: c"):
        write(path, IDS[:3], np.array([0, 1, 2]), competition("class"), raw)
    with pytest.raises(UserError, match="duplicate ids: a"):
        write(path, ["007", "a", "a", "b", "c"], np.array([0, 1, 2, 0, 0]), competition("class"), raw)
    with pytest.raises(UserError, match=r"number in \[0, 1\].*a: nan"):
        write(path, IDS, np.array([0, np.nan, 0.2, 0]), competition("probability"), raw)
    assert path.read_bytes() == before
    assert sorted(file.name for file in raw.iterdir()) == ["s.csv", "sample_submission.csv"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_error(raw):
    path = raw / "s.csv"
    path.write_bytes("\ufeffid_code,diagnosis\r\n007,0\r\na,1\r\nb,2\r\nc,0\r\n".encode())
    assert validate(path, competition("class"), raw / "sample_submission.csv")["diagnosis"].tolist() == [0, 1, 2, 0]


def test_a_missing_file_is_named(raw):
    with pytest.raises(UserError, match=r"nowhere\.csv does not exist"):
        validate(raw / "nowhere.csv", competition("class"), raw / "sample_submission.csv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("id_code,diagnosis\n", "has no rows"),
        ("id_code,label\n007,0\n", "columns id_code, label; it needs exactly id_code, diagnosis"),
        ("diagnosis,id_code\n0,007\n", "columns diagnosis, id_code"),
        ("id_code,diagnosis,x\n007,0,1\n", "columns id_code, diagnosis, x"),
        ("id_code,diagnosis\n007,0,1\n", "line 2 has 3 cells"),
        ("id_code,diagnosis\n007\n", "line 2 has 1 cells"),
        ("id_code,diagnosis\n007,0\na,0\nb,0\n", "misses ids of the sample submission: c"),
        ("id_code,diagnosis\n7,0\na,0\nb,0\nc,0\n", "misses ids of the sample submission: 007"),
        ("id_code,diagnosis\n007,0\na,0\nb,0\nc,0\nd,0\n", "not in the sample submission: d"),
        ("id_code,diagnosis\n007,0\na,0\na,1\nb,0\nc,0\n", "duplicate ids: a"),
        ("id_code,diagnosis\n007,0\nb,0\na,0\nc,0\n", "another order than the sample submission: b, a"),
        ("id_code,diagnosis\n007,0\n,0\nb,0\nc,0\n", "blank ids in rows: 2"),
        ("id_code,diagnosis\n007,0\na,\nb, \nc,0\n", "blank cells in 'diagnosis' at a, b"),
        ("id_code,diagnosis\n007,0\na,1.0\nb,x\nc,0\n", "a whole number in 0..2 in 'diagnosis', not a: 1.0, b: x"),
        ("id_code,diagnosis\n007,0\na,-1\nb,3\nc,nan\n", "not a: -1, b: 3, c: nan"),
        ('id_code,diagnosis\n007,"0\n', "not a readable CSV file"),
        (b"id_code,diagnosis\n007,\xff\xfe\n", "not a readable CSV file"),
    ],
)
def test_every_way_to_be_wrong_is_one_line_that_names_it(raw, content, says):
    assert says in complaint(raw, content)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1.1", "-0.001", "x", "1_0", "0,5"])
def test_a_probability_outside_zero_to_one_is_refused(raw, value):
    cell = f'"{value}"'
    said = complaint(raw, f"id_code,diagnosis\n007,0\na,{cell}\nb,1\nc,0.5\n", "probability")
    assert f"a number in [0, 1] in 'diagnosis', not a: {value}" in said


def test_class_numbers_are_written_in_order_and_read_in_any(raw):
    rows = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1]])
    write(raw / "s.csv", IDS, rows, competition("labels"), raw)
    assert (raw / "s.csv").read_text().splitlines()[1:] == ["007,0 2", "a,1", "b,0 1 2", "c,2"]
    (raw / "other.csv").write_text("id_code,diagnosis\n007, 2  0\na,1\nb,0\nc,02\n")
    table = validate(raw / "other.csv", competition("labels"), raw / "sample_submission.csv")
    assert table["diagnosis"].tolist() == ["2 0", "1", "0", "2"]


def test_an_empty_prediction_is_not_written(raw):
    with pytest.raises(UserError, match="blank cells in 'diagnosis' at a"):
        write(raw / "s.csv", IDS, np.array([[1, 0], [0, 0], [1, 1], [0, 1]]), competition("labels"), raw)


@pytest.mark.parametrize("cell", ["3", "0 0", "0,1", "-1", "1.0", "x", "0 3", "²"])
def test_class_numbers_that_repeat_or_do_not_exist_are_refused(raw, cell):
    said = complaint(raw, f'id_code,diagnosis\n007,0\na,"{cell}"\nb,1\nc,0 2\n', "labels")
    assert "one class number in 0..2 or several separated by blanks, none of them twice" in said
    assert f"'diagnosis', not a: {cell}" in said


def test_a_long_list_of_ids_is_cut_short(raw):
    rows = "".join(f"x{i},0\n" for i in range(50))
    sample = (raw / "sample_submission.csv").read_text()
    said = complaint(raw, sample + rows)
    assert "… and 40 more" in said


def test_the_manifest_says_what_the_file_is_made_of(raw):
    path = raw / "run1.csv"
    write(path, IDS, np.array([0, 1, 2, 0]), competition("class"), raw)
    manifest = json.loads(write_manifest(path, run="run1", score=0.9, interval=[0.88, 0.92]).read_text())
    assert manifest == {
        "file": "run1.csv",
        "interval": [0.88, 0.92],
        "run": "run1",
        "score": 0.9,
        "sha256": sha256_of_file(path),
    }
    assert (raw / "run1.json").exists()
