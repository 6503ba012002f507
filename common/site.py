"""Where the caches of one data set and input size lie, and who may work on them."""

import fcntl
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["raw", "jpeg"]
FORMATS: tuple[Format, ...] = ("raw", "jpeg")


@dataclass(frozen=True)
class Site:
    """Where the caches of one data set and size lie."""

    root: Path
    name: str
    input_size: int
    fingerprint: str

    def folder(self, format: str) -> Path:
        return self.root / f"{self.name}-{self.input_size}-{format}-{self.fingerprint[:8]}"

    def finished(self, formats: tuple[Format, ...]) -> Path | None:
        folders = (self.folder(format) for format in formats)
        return next((folder for folder in folders if (folder / "cache.json").exists()), None)

    def started(self, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(format for format in formats if (self.folder(format) / "done.log").exists())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of this name and size. Decoding processes inherit it, so that after a kill nobody else starts
        before the last of them is gone."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / f".{self.name}-{self.input_size}.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another process prepares {self.name} at {self.input_size}; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def remove_unfinished(self, keep: tuple[Path, ...]) -> None:
        """Remove unfinished caches of this name and size, and lists of bad images, that belong to another source or
        format. Finished ones stay: another folder's data, or the same with a part held out, may want them again."""
        ours = re.compile(rf"{re.escape(self.name)}-{self.input_size}-(raw|jpeg)-[0-9a-f]{{8}}(\.bad\.txt)?")
        kept = {folder.name for folder in keep}
        for path in self.root.iterdir():
            if not ours.fullmatch(path.name) or path.name.removesuffix(".bad.txt") in kept:
                continue
            if path.suffix == ".txt":
                path.unlink(missing_ok=True)
            elif not (path / "cache.json").exists():
                shutil.rmtree(path, ignore_errors=True)


def say(text: str) -> None:
    print(f"cache: {text}", file=sys.stderr, flush=True)
