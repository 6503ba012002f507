"""What the sample data of every competition has in common: a folder that is whole or not there, and soft noise."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import content_hash, read_json, write_json
from common.leftovers import in_the_making, sweep_up
from common.progress import Progress

MARK = ".sample-data.json"
Drawings = Sequence[tuple[str, Callable[[], np.ndarray | bytes]]]


def write_sample(folder: Path, name: str, seed: int, drawings: Drawings, tables: Mapping[str, pd.DataFrame]) -> None:
    """Draw sample data into a temporary folder and rename it to `folder`, so that half of it is never taken for all.

    A folder that already holds the same sample data is left as it is; what an earlier version drew for this name and
    seed is replaced.

    Args:
        drawings: (path below the folder, function that draws the image as uint8 (h, w, 3) in BGR, or that gives the
            bytes of its file).
        tables: path below the folder → table, written as CSV.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    folder = Path(folder)
    contents = [[path for path, _ in drawings], {path: table.to_csv(index=False) for path, table in tables.items()}]
    drawn_for = {"sample data": name, "seed": seed}
    what = drawn_for | {"contents": content_hash(contents)}
    if _mark(folder) == what:
        return
    if folder.exists() and any(folder.iterdir()) and not drawn_for.items() <= _mark(folder).items():
        raise UserError(f"{folder} is not empty and does not hold the sample data of {name}; choose another folder")
    unfinished = in_the_making(folder)
    sweep_up(folder.parent)
    try:
        _fill(unfinished, name, drawings, tables)
        write_json(unfinished / MARK, what)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    except OSError as error:
        if _mark(folder) != what:  # another process may have drawn it meanwhile
            raise UserError(f"cannot write {folder}: {error.strerror or error}; free some space") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _mark(folder: Path) -> dict:
    """What the folder says it holds; nothing where it is no sample data."""
    return read_json(folder / MARK) if (folder / MARK).is_file() else {}


def _fill(folder: Path, name: str, drawings: Drawings, tables: Mapping[str, pd.DataFrame]) -> None:
    with Progress(len(drawings), f"drawing sample data of {name}") as progress:
        for path, draw in drawings:
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            drawn = draw()
            if isinstance(drawn, bytes):
                file.write_bytes(drawn)
            elif not cv2.imwrite(str(file), drawn):
                raise OSError(f"{path} was not written")
            progress.update(1)
    for path, table in tables.items():
        table.to_csv(folder / path, index=False)


def shares(counts: Sequence[int], n: int) -> np.ndarray:
    """n class labels, int64 and sorted, in the proportions of `counts`."""
    edges = np.round(np.cumsum(counts) / np.sum(counts) * n).astype(int)
    return np.searchsorted(edges, np.arange(n), side="right")


def soft_noise(random: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise, float32 (height, width) of mean about 0 and deviation about 1, with `cells` cells on a side."""
    coarse = random.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return noise * np.float32(1.3)
