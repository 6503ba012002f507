"""Zip archives whose bytes depend on their contents alone: sorted names, fixed times, no compression."""

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip archive can hold."""
MEGABYTE = 1024**2


def write_zip(target: Path | BinaryIO, files: Mapping[str, Path | bytes]) -> None:
    """Write `files`, name in the archive → the file or its bytes. Weights and wheels get no smaller, sources are small:
    so nothing is compressed, and no version of zlib can change a byte."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name in sorted(files):
            _add(packed, name, files[name])


def zip_bytes(files: Mapping[str, Path | bytes]) -> bytes:
    """The same as bytes."""
    buffer = io.BytesIO()
    write_zip(buffer, files)
    return buffer.getvalue()


def _add(packed: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file of Unix, whatever system packs it
    if isinstance(content, bytes):
        packed.writestr(entry, content)
        return
    entry.file_size = content.stat().st_size  # beyond 4 GB the entry must know it beforehand
    with open(content, "rb") as source, packed.open(entry, "w") as file:
        shutil.copyfileobj(source, file, MEGABYTE)
