"""The file of a study: Optuna's journal, one JSON object a line, in which every line holds its own CRC-32."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from common.errors import DiskError
from common.files import cannot_write
from common.locks import held

CRC = "crc32"
"""The name of the checksum in a line. Optuna looks at the names it knows alone, so that its own tools read the file."""


def journal_at(path: Path) -> JournalStorage:
    """The storage in a journal file.

    Raises:
        DiskError: it cannot be written, or a line is damaged: here, and whenever lines are written or read.
    """
    try:
        mend(path)
        return JournalStorage(Checked(str(path)))
    except OSError as error:
        raise cannot_write(path, error) from error


class Checked(JournalFileBackend):
    """A line without a checksum, as an earlier version wrote it, is taken as it is.

    Writers lock the journal itself, which is free when its process dies. The lock files of Optuna outlive a process
    that is killed, and every other one would wait half a minute for it.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """All lines or none: half a line, on a full disk, would spoil what another worker writes behind it."""
        lines = [json.dumps(log | {CRC: crc_of(log)}, separators=(",", ":")) + "\n" for log in logs]
        try:
            with held(Path(self._file_path)), open(self._file_path, "ab", buffering=0) as file:
                append(file, "".join(lines).encode())
        except OSError as error:
            raise cannot_write(Path(self._file_path), error) from error

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        begins = self._log_number_offset
        first = log_number_from if log_number_from in begins else 0
        with open(self._file_path, "rb") as file:
            file.seek(begins[first])
            for number, line in enumerate(file, first):
                if not line.endswith(b"\n"):
                    return  # another worker writes it just now
                begins[number + 1] = begins[number] + len(line)
                if number >= log_number_from:
                    yield self.said_in(line, number)

    def said_in(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            return said(line)
        except ValueError as error:
            raise self.damaged(number) from error

    def damaged(self, number: int) -> DiskError:
        return DiskError(
            f"{self._file_path} is damaged in line {number + 1}: its bytes are not those that were written; put a copy "
            "of it back, or remove it: the trials' runs are kept, and a new study finds them"
        )


def append(file: FileIO, lines: bytes) -> None:
    """Onto the disk, or nothing of it."""
    before, rest = file.tell(), memoryview(lines)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file)
    except OSError:
        file.truncate(before)
        raise


def crc_of(log: dict[str, Any]) -> int:
    """Of all that a line says, however its JSON is written."""
    return zlib.crc32(json.dumps(log, sort_keys=True, separators=(",", ":")).encode())


def said(line: bytes) -> dict[str, Any]:
    """What a line says. Raises ValueError: it is damaged."""
    log = json.loads(line)
    crc = log.pop(CRC, None) if isinstance(log, dict) else -1
    if crc is not None and crc != crc_of(log):
        raise ValueError("not the line that was written")
    return log


def mend(path: Path) -> None:
    """A line that a killed machine left half written is taken off: Optuna could not read the ones after it. A line of
    which the end alone is spoilt is given it back."""
    if not path.is_file():
        return
    with held(path):
        content = path.read_bytes()
        if content.endswith(b"\n"):
            return
        lines, _, last = content.rpartition(b"\n")
        with open(path, "r+b") as file, suppress(ValueError):
            file.truncate(len(lines) + 1 if lines else 0)
            said(last[:-1])
            file.seek(0, os.SEEK_END)
            file.write(last[:-1] + b"\n")
