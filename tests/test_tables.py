"""Label tables are read strictly: what is wrong with one is a single line that names it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import check_ids, image_paths, in_sample_order, labels, read_csv

LAYOUT = "train.csv and images/*.png"


@pytest.fixture
def table(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "train.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path):
    return read_csv(path, ["name", "grade"], "name", LAYOUT)


def test_ids_stay_text_and_extra_columns_are_kept(table):
    frame = read(table("name,age,grade\n007,40.5,1\nNA,,2\n 12 ,3,0\n"))
    assert frame["name"].tolist() == ["007", "NA", "12"]
    assert frame["grade"].tolist() == [1, 2, 0]
    assert frame["age"].isna().tolist() == [False, True, False]


def test_byte_order_mark_and_windows_line_ends_do_not_matter(table):
    frame = read(table(b"\xef\xbb\xbfname,grade\r\na,1\r\nb,0\r\n"))
    assert list(frame) == ["name", "grade"]
    assert frame["grade"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("name,grade\n", "no rows"),
        ("name;grade\na;1\n", "separated by semicolons"),
        ("name\tgrade\na\t1\n", "separated by tabs"),
        ("name,level\na,1\n", "column grade is missing; it has name, level"),
        ("name,grade,grade\na,1,2\n", "column grade stands there more than once"),
        ("name,grade\na,1\nb,2\na,3\n", "'name' a stands there more than once"),
        ("name,grade\na,1\n,2\n", "'name' is blank in line 3"),
        ("name,grade\na,1\n  ,2\n", "'name' is blank in line 3"),
        ("name,grade\na,1\nb,2,3\n", "cannot read"),
        ("name,grade\na,1,9\nb,2,9\n", "cannot read"),
        ('name,grade\na,"1\nb,2\n', "cannot read"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "cannot read"),
        ("name,größe\na,1\n".encode("latin-1"), "not in UTF-8; save it as a CSV table in UTF-8"),
        (("name,grade\n" + "a,1\n" * 5000 + "é,1\n").encode("latin-1"), "not in UTF-8; save it"),
    ],
)
def test_a_bad_table_is_one_line_that_names_file_and_fault(table, content, said):
    path = table(content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_says_how_the_folder_should_look(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*train\.csv; the folder should hold train\.csv and images"):
        read(tmp_path / "train.csv")


def test_a_folder_in_place_of_the_table_is_a_user_error(tmp_path):
    (tmp_path / "train.csv").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        read(tmp_path / "train.csv")


def test_labels_are_whole_numbers_in_range(tmp_path):
    frame = pd.DataFrame({"name": ["a", "b", "c"], "grade": [0, 1.0, "4"]})
    values = labels(frame, "grade", 5, "name", tmp_path)
    assert values.dtype == np.int64
    assert values.tolist() == [0, 1, 4]


@pytest.mark.parametrize("wrong", [5, -1, 1.5, np.nan, "", "severe", np.inf, None])
def test_a_wrong_label_is_named_with_its_row(tmp_path, wrong):
    frame = pd.DataFrame({"name": ["a", "b0b"], "grade": pd.Series([0, wrong], dtype=object)})
    with pytest.raises(UserError, match=r"'grade' must be a whole number from 0 to 4, but b0b has") as caught:
        labels(frame, "grade", 5, "name", tmp_path / "train.csv")
    assert "train.csv" in str(caught.value)


def test_image_paths_are_absolute_and_keep_the_order(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    paths = image_paths("images", ["b", "a.b"], ".png", LAYOUT)
    assert paths == [str(tmp_path / "images" / "b.png"), str(tmp_path / "images" / "a.b.png")]


def test_a_missing_image_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*images; the data folder should hold"):
        image_paths(tmp_path / "images", ["a"], ".png", LAYOUT)


def test_the_test_table_takes_the_order_of_the_sample_submission(table):
    sample = table("name,grade\nb,0\na,0\n")
    ordered = in_sample_order(pd.DataFrame({"id": ["a", "b"], "path": ["A", "B"]}), sample, "name", LAYOUT)
    assert ordered.to_dict("list") == {"id": ["b", "a"], "path": ["B", "A"]}


def test_a_test_table_of_other_images_than_the_sample_submission_is_refused(table):
    sample = table("name,grade\nb,0\nc,0\n")
    with pytest.raises(UserError, match="name different images: a, c"):
        in_sample_order(pd.DataFrame({"id": ["a", "b"], "path": ["A", "B"]}), sample, "name", LAYOUT)


@pytest.mark.parametrize("name", ["../elsewhere/a", "a\\b", "a\x00b", "..", "x" * 300])
def test_an_id_that_cannot_name_a_file_is_refused(name):
    with pytest.raises(UserError, match="cannot name a file"):
        check_ids(pd.Series(["a", name], name="id_code"), Path("train.csv"))
