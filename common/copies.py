"""Rows whose images are the same files, bit for bit, under other names: who is trained on one knows the other."""

import hashlib
import os
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

HEAD = 16 * 1024
"""Bytes that are read of files of one size; only where those agree too is the whole read."""


def same_content(images: Sequence[Sequence[Path]]) -> np.ndarray:
    """int (n,): rows have the same number where all their files do. A file that is not there is like no other."""
    codes = np.zeros(len(images), dtype=np.int64)
    for look in (size, head, whole):
        shared = Counter(codes.tolist())
        keys: list[Hashable] = [
            (code, *(map(look, files) if shared[code] > 1 else ()))
            for code, files in zip(codes.tolist(), images, strict=True)
        ]
        numbers: dict[Hashable, int] = {}
        codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    return codes


def size(file: Path) -> Hashable:
    return os.stat(file).st_size if os.path.isfile(file) else str(file)  # noqa: PTH116, PTH113 (of 100,000 files)


def head(file: Path) -> Hashable:
    return digest(file, HEAD)


def whole(file: Path) -> Hashable:
    return digest(file, -1)


def digest(file: Path, length: int) -> Hashable:
    """Of the first bytes, or all. A file that cannot be read is named when it is prepared."""
    try:
        with open(file, "rb") as content:
            return hashlib.sha256(content.read(length)).digest()
    except OSError:
        return str(file)
