"""A file cut into volumes, `train.zip.001`, `train.zip.002` and so on, read as one without joining them on disk."""

import io
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from common.errors import UserError


def volumes(first: Path) -> list[Path]:
    """The volumes beside `first`, whose name ends in .001, in order.

    Raises:
        UserError: one between the first and the last is missing.
    """
    paths = sorted(path for path in first.parent.glob(f"{first.stem}.*") if path.suffix[1:].isdecimal())
    for number, path in enumerate(paths, start=1):
        if path.suffix != f".{number:03}":
            raise UserError(f"there is no {first.with_suffix(f'.{number:03}')}, and there is {path.name}: get it too")
    return paths


def joined(paths: list[Path]) -> io.BufferedReader:
    """The volumes as one binary file to read and to seek in."""
    return io.BufferedReader(_Joined(paths))


class _Joined(io.RawIOBase):
    def __init__(self, paths: list[Path]) -> None:
        self.files = [open(path, "rb") for path in paths]  # noqa: SIM115 (closed in `close`)
        self.ends = list(accumulate(path.stat().st_size for path in paths))
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.ends[-1]}[whence]
        return self.position

    def readinto(self, buffer) -> int:
        """As many bytes as the volume of this position still has, at most; 0 at the end of the last."""
        if self.position >= self.ends[-1]:
            return 0
        index = bisect_right(self.ends, self.position)
        file = self.files[index]
        file.seek(self.position - (self.ends[index - 1] if index else 0))
        count = file.readinto(buffer)
        self.position += count
        return count

    def close(self) -> None:
        for file in self.files:
            file.close()
        super().close()
