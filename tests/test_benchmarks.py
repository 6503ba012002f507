"""The table of benchmarks: what a row is held to, and what it says where nothing was measured."""

import pandas as pd

from benchmarks.table import Row, as_text, to_frame, write


def test_a_row_is_held_to_its_ratio_or_to_its_figure():
    assert Row("feed", 300, "images/s", "timm", 20, at_least=15).holds == "yes"
    assert Row("feed", 290, "images/s", "timm", 20, at_least=15).holds == "no"
    assert Row("memory", 0.4, "GB", at_most=1.0).holds == "yes"
    assert Row("start", 12.0, "s", at_most=10.0).holds == "no"


def test_what_was_not_measured_has_no_figure():
    row = Row("training, GPU", None, "images/s", "one fixed batch", at_least=0.97, note="no GPU here")
    assert (row.value, row.holds) == (None, "not measured")


def test_the_table_names_the_machine_and_shows_ratios_beside_the_figures(tmp_path):
    rows = [Row("feed", 300, "images/s", "timm", 20, at_least=15), Row("memory", 0.4, "GB", at_most=1.0)]
    write(rows, tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table["ratio"].fillna(0)) == [15, 0]
    assert list(table["wanted"]) == ["≥ 15", "≤ 1"]
    assert table["machine"].str.contains("cores").all()
    assert "300" in as_text(to_frame(rows))
