"""Raw images → one cache per (data set, input size), decoded once and in parallel, shared by all runs and processes.

An epoch of small random crops does not need 12-megapixel PNGs: it needs pictures just large enough that no crop is
enlarged. `prepare` makes those, says beforehand what they take on disk, and may be killed at any moment: the same call
goes on with what is done. `common.cache` reads the result.
"""

import hashlib
import math
import os
import shutil
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from common.cache import Cache, Concatenation, concatenate
from common.decode import Decoders, Task
from common.errors import DiskError, MachineError, UserError, listing
from common.files import sha256_of_file, write_atomically, write_record, write_text
from common.journal import Journal
from common.progress import Progress, clock
from common.reader import Reader
from common.site import FORMATS, Format, Site, say

__all__ = ["Cache", "Concatenation", "concatenate", "prepare", "stored_size"]

VERSION = 1
"""Raise it when the same source gives other bytes than before."""
SMALLEST_CROP, NARROWEST_CROP = 0.65, 3 / 4
"""Area and aspect ratio of the smallest random resized crop (the paper's)."""
HEADROOM = 1.3
RGB = Reader()
DISK_MARGIN = 500_000_000
"""Bytes that a cache leaves free on its disk."""
JPEG_SAMPLES = 16
"""Images encoded to estimate the size of a JPEG cache."""


def stored_size(height: int, width: int, input_size: int) -> tuple[int, int]:
    """(height, width) in the cache of an image of `height` × `width`.

    The short side is at least 1.3 × the input, and no crop of at least 0.65 of the area with an aspect ratio in
    [3/4, 4/3] is enlarged in either direction. Never larger than the image itself.
    """
    headroom = HEADROOM * input_size / min(height, width)
    crop = input_size / math.sqrt(SMALLEST_CROP * NARROWEST_CROP * height * width)
    scale = min(1.0, max(headroom, crop))
    return min(height, math.ceil(scale * height)), min(width, math.ceil(scale * width))


@dataclass(frozen=True)
class Source:
    """What is to be cached: `ids` and `paths`, one an image, and the hash that says whether a cache is still theirs."""

    ids: list[str]
    paths: list[str]
    fingerprint: str

    @classmethod
    def of(cls, images: pd.DataFrame, input_size: int, read: Reader) -> "Source":
        ids, paths = images["id"].astype(str).tolist(), images["path"].astype(str).tolist()
        digest = hashlib.sha256(f"{VERSION} {input_size} {read.name}".encode())
        for id, path in zip(ids, paths, strict=True):
            digest.update(f"\n{id}".encode())
            for file in map(Path, read.files(path)):
                try:
                    status = file.stat()
                    digest.update(f"\0{status.st_size} {status.st_mtime_ns}".encode())
                except OSError:
                    digest.update(b"\0missing")
        return cls(ids, paths, digest.hexdigest())

    def named(self, bad: dict[int, str]) -> list[tuple[str, str, str]]:
        """(id, path, reason) of the rows in `bad`, in order."""
        return [(self.ids[row], self.paths[row], bad[row]) for row in sorted(bad)]


def prepare(
    images: pd.DataFrame,
    name: str,
    input_size: int,
    root: Path,
    *,
    format: Literal["auto", "raw", "jpeg"] = "auto",
    workers: int | None = None,
    skip_bad: bool = False,
    read: Reader = RGB,
) -> Cache:
    """The cache of `images` at `input_size` under `root`: opened where it is there and still valid, else made.

    Args:
        images: columns `id` and `path`, one row an image.
        name: of the data set, the first part of the cache's own name.
        input_size: side of the square the network will see.
        root: folder of the caches.
        format: `raw` uint8 rows, `jpeg` of quality 95 (smaller, slower to read; lossless for other than three
            channels), or `auto`: raw where it fits.
        workers: decoding processes; None: one a core.
        skip_bad: leave out images that cannot be read (`cache.skipped`) in place of refusing.
        read: how an image file is read; RGB unless a competition says otherwise.

    Raises:
        UserError: no images, bad images (all of them in one message), a folder that cannot be written, too little disk,
            a decoding process that was killed.
    """
    root = Path(root)
    if images.empty:
        raise UserError(f"no images to prepare for '{name}'")
    source = Source.of(images, input_size, read)
    site = Site(root, name, input_size, source.fingerprint)
    formats = FORMATS if format == "auto" else (format,)
    if not (folder := site.finished(formats)):
        try:
            with site.alone():
                folder = site.finished(formats) or make(source, site, formats, workers or cores(), skip_bad, read)
        except OSError as error:
            raise DiskError(
                f"cannot write the cache under {root}: {error.strerror or error}; what is done is kept: free some "
                "space, or choose another folder with --cache DIR"
            ) from error
        except BrokenProcessPool as error:
            raise MachineError(
                f"a process that decoded images for {root} was killed (out of memory?); the same command continues, "
                "--workers N takes fewer"
            ) from error
    forget_journal(folder)
    cache = Cache(folder)
    if cache.skipped and not skip_bad:
        raise bad_images(cache.skipped, folder)
    return cache


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


def make(source: Source, site: Site, formats: tuple[Format, ...], workers: int, skip_bad: bool, read: Reader) -> Path:
    """Fill and complete the cache folder; the caller holds the lock."""
    with Decoders(workers, read) as decoders:
        sizes, bad = measure(decoders, source, site.input_size)
        if not sizes:
            raise bad_images(source.named(bad), site.folder(formats[0]))
        format = choose_format(decoders, source, site, sizes, formats)
        folder = site.folder(format)
        with Journal(folder, len(source.ids)) as journal:
            bad |= fill(decoders, journal, source, sizes, format, f"prepare {site.name} at {site.input_size}")
    skipped = source.named(bad)
    if len(bad) == len(source.ids) or (skipped and not skip_bad):
        raise bad_images(skipped, folder)
    if skipped:
        say(f"left out {len(bad):,} images that cannot be read: {listing(path for _, path, _ in skipped)}")
    kept = np.setdiff1d(np.arange(len(source.ids)), list(bad))
    facts = {"name": site.name, "input_size": site.input_size, "format": format, "fingerprint": source.fingerprint}
    facts["channels"] = read.channels
    write_atomically(folder / "index.npy", lambda path: save(path, journal.entries[kept]))
    facts["index"] = sha256_of_file(folder / "index.npy")
    write_record(folder / "cache.json", facts | {"ids": [source.ids[row] for row in kept], "skipped": skipped})
    forget_journal(folder)
    site.remove_unfinished(keep=(folder,))
    return folder


def forget_journal(folder: Path) -> None:
    """Of a cache that is complete; a process that was killed at its very end has left it there."""
    with suppress(OSError):
        (folder / "done.log").unlink()


def measure(decoders: Decoders, source: Source, input_size: int) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """From the headers: row → (height, width) in the cache, and row → reason of the images that have none."""
    sizes, bad = {}, {}
    with Progress(len(source.paths), "read headers") as progress:
        for results in decoders.sizes(source.paths):
            for row, size in results:
                if isinstance(size, str):
                    bad[row] = size
                else:
                    sizes[row] = stored_size(*size, input_size)
            progress.update(len(results))
    return dict(sorted(sizes.items())), bad


def choose_format(
    decoders: Decoders, source: Source, site: Site, sizes: dict[int, tuple[int, int]], formats: tuple[Format, ...]
) -> Format:
    """The first of `formats` that fits on the disk; where one of them was begun, that one. Says what it will take."""
    formats = site.started(formats) or formats
    site.remove_unfinished(keep=tuple(map(site.folder, formats)))
    raw = sum(height * width * decoders.channels for height, width in sizes.values())
    for format in formats:
        need = raw if format == "raw" else round(raw * jpeg_ratio(decoders, source, sizes))
        free = shutil.disk_usage(site.root).free
        if need - allocated(site.folder(format) / "pixels.bin") + DISK_MARGIN <= free:
            about = "" if format == "raw" else "about "
            say(f"{len(sizes):,} images, {about}{size_text(need)} at {site.folder(format)}")
            return format
    way_out = (
        "--cache-format jpeg takes a fourth to a tenth, " if formats == ("raw",) and decoders.channels == 3 else ""
    )
    raise DiskError(
        f"the cache of {len(sizes):,} images of '{site.name}' at {site.input_size} needs {size_text(need)} and "
        f"{site.root} has {size_text(free)} free ({size_text(DISK_MARGIN)} of it are left alone): {way_out}--cache DIR "
        "puts it elsewhere"
    )


def jpeg_ratio(decoders: Decoders, source: Source, sizes: dict[int, tuple[int, int]]) -> float:
    """Bytes of a JPEG cache for each byte of a raw one, measured on a few images spread over the data set."""
    rows = list(sizes)[:: max(1, len(sizes) // JPEG_SAMPLES)]
    tasks = [Task(row, source.paths[row], *sizes[row]) for row in rows]
    encoded = [result for results in decoders.decode(tasks, None) for result in results if not result.reason]
    if not encoded:
        return 1.0
    pixels = sum(math.prod(sizes[result.row]) for result in encoded)
    return sum(len(result.blob) for result in encoded) / (pixels * decoders.channels)


def fill(
    decoders: Decoders, journal: Journal, source: Source, sizes: dict[int, tuple[int, int]], format: Format, what: str
) -> dict[int, str]:
    """Decode the images that the journal does not have yet; returns row → reason of those that cannot be read."""
    rows = list(sizes)
    offsets = np.cumsum([0] + [height * width * decoders.channels for height, width in sizes.values()]).tolist()
    if format == "raw":
        journal.allocate(offsets[-1])
    tasks = [
        Task(row, source.paths[row], *sizes[row], offset)
        for row, offset in zip(rows, offsets, strict=False)
        if not journal.done[row]
    ]
    if len(tasks) < len(rows):
        say(f"going on: {len(rows) - len(tasks):,} of {len(rows):,} images are there already")
    bad = {}
    with Progress(len(rows), what, done=len(rows) - len(tasks)) as progress:
        for results in decoders.decode(tasks, journal.pixels if format == "raw" else None):
            for result in results:
                if result.reason:
                    bad[result.row] = result.reason
                else:
                    offset = result.offset if format == "raw" else journal.append(result.blob)
                    journal.add(result.row, offset, result.length, *sizes[result.row], result.crc)
            journal.flush()
            progress.update(len(results))
        say(f"{len(tasks) - len(bad):,} images in {clock(progress.seconds)}, {progress.rate:,.0f} images/s")
    return bad


def bad_images(bad: list[tuple[str, str, str]], folder: Path) -> UserError:
    """The error that names `bad` images, (id, path, reason), with the whole list in a file beside the cache folder."""
    report = folder.with_name(f"{folder.name}.bad.txt")
    write_text(report, "".join(f"{path}\t{reason}\n" for _, path, reason in bad))
    named = listing(f"{path} ({reason})" for _, path, reason in bad)
    return UserError(
        f"{len(bad):,} images cannot be read: {named}; the whole list is in {report}; mend them, or leave them out "
        "with --skip-bad"
    )


def allocated(path: Path) -> int:
    """Bytes of disk that a file takes already."""
    return path.stat().st_blocks * 512 if path.exists() else 0


def size_text(n: float) -> str:
    """`1234567890` → `1.2 GB`."""
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.1f} MB"


def save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:  # np.save would add .npy to the temporary name
        np.save(file, array)
