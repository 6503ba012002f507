"""Which images of a cache are on the disk already: what lets a killed preparation go on.

`done.log` holds one fixed-size record an image, appended after its pixels were written, and now and then a seal, which
says that the pixels before it have reached the disk, and holds the CRC-32 of the records before it. After a crash the
records behind the last seal are believed only if their pixels' checksum holds; where a seal does not fit, none is.
"""

import os
import time
import zlib
from pathlib import Path

import numpy as np

from common.cache import ENTRY
from common.files import write_atomically

RECORD = np.dtype([("row", "<i8"), *ENTRY.descr])
SEAL = -1
SEAL_EVERY = 30.0
"""Seconds between two seals, and so the most work that is checked again after a crash."""


class Journal:
    """The unfinished state of a cache folder of `n` rows; one writer. Use as a context manager.

    Attributes:
        entries: structured array (n,) of `ENTRY`; valid where `done`.
        done: bool (n,).
        pixels: path of the file the images go to.
    """

    def __init__(self, folder: Path, n: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.pixels = folder / "pixels.bin"
        self.entries = np.zeros(n, ENTRY)
        self.done = np.zeros(n, bool)
        self._pixels = os.open(self.pixels, os.O_RDWR | os.O_CREAT, 0o644)
        self._recover(folder / "done.log")
        self._log = open(folder / "done.log", "ab")  # noqa: SIM115
        self._end = int((self.entries["offset"] + self.entries["length"])[self.done].max(initial=0))
        self._seal()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exception) -> None:
        try:
            if exception[0] is None:
                self._seal()
        finally:
            self._log.close()
            os.close(self._pixels)

    def allocate(self, size: int) -> None:
        """Give the pixel file its final size, backed by the disk, so that no write into it can meet a full one."""
        before = os.fstat(self._pixels).st_size
        try:
            os.posix_fallocate(self._pixels, 0, size)
        except OSError:
            os.ftruncate(self._pixels, before)
            raise

    def append(self, blob: bytes) -> int:
        """Write `blob` behind what is there; returns its offset."""
        offset = self._end
        write_at(self._pixels, blob, offset)
        self._end += len(blob)
        return offset

    def add(self, row: int, offset: int, length: int, height: int, width: int, crc: int) -> None:
        """Note that the pixels of `row` are written."""
        self.entries[row] = (offset, length, height, width, crc)
        self.done[row] = True
        record = np.array([(row, offset, length, height, width, crc)], RECORD).tobytes()
        self._log.write(record)
        self._crc = zlib.crc32(record, self._crc)

    def flush(self) -> None:
        """Let the notes survive a kill of this process and, every `SEAL_EVERY` seconds, of the machine."""
        self._log.flush()
        if time.monotonic() - self._sealed_at > SEAL_EVERY:
            self._seal()

    def _seal(self) -> None:
        os.fdatasync(self._pixels)
        self._log.write(np.array([(SEAL, 0, 0, 0, 0, self._crc)], RECORD).tobytes())
        self._log.flush()
        os.fdatasync(self._log.fileno())
        self._sealed_at = time.monotonic()

    def _recover(self, log: Path) -> None:
        """Take over what an earlier process noted, without the records that do not hold."""
        records = np.frombuffer(whole_records(log.read_bytes()), RECORD) if log.exists() else np.empty(0, RECORD)
        seals = np.flatnonzero(records["row"] == SEAL)
        last = seals[-1] if len(seals) else 0
        before = records[:last][records["row"][:last] != SEAL]
        if len(seals) and records["crc"][last] not in (0, zlib.crc32(before.tobytes())):  # 0: of an earlier version
            before, records = before[:0], records[:0]
        held = [*before, *(record for record in records[last:] if self._holds(record))]
        for record in held:
            row, *entry = record.tolist()
            self.entries[row], self.done[row] = tuple(entry), True
        content = np.array(held, RECORD).tobytes()
        self._crc = zlib.crc32(content)
        write_atomically(log, lambda path: path.write_bytes(content))

    def _holds(self, record: np.void) -> bool:
        if not 0 <= record["row"] < len(self.done):
            return False
        try:
            data = os.pread(self._pixels, int(record["length"]), int(record["offset"]))
        except (OSError, OverflowError, MemoryError):  # no place in any file
            return False
        return len(data) == record["length"] and zlib.crc32(data) == record["crc"]


def whole_records(log: bytes) -> bytes:
    """Without the torn record that a kill may have left at the end."""
    return log[: len(log) // RECORD.itemsize * RECORD.itemsize]


def write_at(file: int, data, offset: int) -> None:
    """All of `data` at `offset`. A full disk is an OSError here, where a store through a memory map would be SIGBUS."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
