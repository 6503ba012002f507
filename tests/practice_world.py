"""A tiny competition with a raw folder and a hidden solution, for the tests of the practice leaderboard."""

import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.competition import Competition, SubmissionFormat
from common.errors import UserError

if TYPE_CHECKING:
    from common.kaggle.practice.competition import PracticeCompetition
    from common.kaggle.practice.settings import Settings

IDS = [f"{number:03}" for number in range(40)]
LABELS = np.array([number % 3 for number in range(40)])


def accuracy(labels: np.ndarray, values: np.ndarray) -> float:
    if len(labels) == 0:
        raise UserError("accuracy of nothing is undefined")
    return float((labels == values).mean())


def competition(takes: str = "csv") -> Competition:
    unused = lambda *_: None  # noqa: E731
    return Competition(
        name="tiny",
        title="Tiny",
        task="multiclass",
        classes=("a", "b", "c"),
        metric="accuracy",
        takes=takes,
        submission=SubmissionFormat("id", "label", "class"),
        read_train=unused,
        read_test=unused,
        paper_split=unused,
        make_sample=unused,
        recipes={},
        slug="tiny-challenge",
    )


def practice_competition(folder: Path, takes: str = "csv") -> "PracticeCompetition":
    """Its raw folder is `folder/raw`, and its solution lies in it, where it must not be found."""
    from common.kaggle.practice.competition import PracticeCompetition

    raw = folder / "raw"
    (raw / "train_images").mkdir(parents=True)
    (raw / "train_images" / "x 1.png").write_bytes(bytes(range(256)) * 400)
    (raw / "names.json").write_text('{"code": 404, "message": "not an error"}')
    sample_submission(raw / "sample_submission.csv")
    pairs = zip(IDS, LABELS, strict=True)
    (raw / "solution.csv").write_text("id,label\n" + "".join(f"{id},{label}\n" for id, label in pairs))
    return PracticeCompetition("tiny-challenge", "Tiny", competition(takes), raw, raw / "solution.csv", accuracy)


def quick_settings(**fields) -> "Settings":
    """Settings of a practice server that runs notebooks in a plain process, without a kernel, and keeps nobody
    waiting."""
    from common.kaggle.practice.settings import Settings

    command = (sys.executable, "-P", str(Path(__file__).with_name("quick_session.py")))
    return Settings(**{"dataset_seconds": 0.0, "session_command": command} | fields)


def notebook(*cells: str) -> str:
    """The JSON of a notebook with these code cells."""
    made = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def submission(path: Path, labels: np.ndarray = LABELS) -> Path:
    path.write_text("id,label\n" + "".join(f"{id},{label}\n" for id, label in zip(IDS, labels, strict=True)))
    return path


def sample_submission(path: Path) -> Path:
    return submission(path, np.zeros_like(LABELS))


def dataset_folder(folder: Path, slug: str = "my-weights", title: str = "My weights", **metadata) -> Path:
    """A small dataset: a file, and an archive that becomes a folder."""
    folder.mkdir()
    about = {"id": f"practice/{slug}", "title": title, "licenses": [{"name": "CC0-1.0"}]} | metadata
    (folder / "dataset-metadata.json").write_text(json.dumps(about))
    (folder / "package.json").write_text("{}")
    with zipfile.ZipFile(folder / "runs.zip", "w") as packed:
        packed.writestr("fold-0/weights.bin", b"w" * 1000)
    return folder


def until(condition: Callable, seconds: float = 60):
    """What `condition` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to be so")
