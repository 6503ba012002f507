"""Sample data are whole, marked, and drawn anew where an earlier version drew something else."""

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.sample import MARK, write_sample


def draw(folder, seed: int = 0, label: int = 1) -> None:
    drawings = [("train/a.png", lambda: np.zeros((4, 4, 3), np.uint8))]
    write_sample(folder, "toy", seed, drawings, {"train.csv": pd.DataFrame({"id": ["a"], "label": [label]})})


def test_the_same_sample_data_are_left_as_they_are(tmp_path):
    draw(tmp_path / "toy")
    written = (tmp_path / "toy" / "train.csv").stat().st_mtime_ns
    draw(tmp_path / "toy")
    assert (tmp_path / "toy" / "train.csv").stat().st_mtime_ns == written


def test_sample_data_of_an_earlier_version_are_replaced(tmp_path):
    draw(tmp_path / "toy", label=1)
    draw(tmp_path / "toy", label=2)
    assert pd.read_csv(tmp_path / "toy" / "train.csv")["label"].tolist() == [2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy"]


def test_a_folder_of_something_else_is_never_touched(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "train.csv").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        draw(tmp_path / "toy")
    assert (tmp_path / "toy" / "train.csv").read_text() == "mine"
    assert not (tmp_path / "toy" / MARK).exists()
