"""A folder of images decoded once, read through a memory map that every process shares.

    <name>-<input size>-<format>-<fingerprint>/
        pixels.bin   the images one after the other: uint8 rows (raw) or JPEG files (jpeg; see `compress`)
        index.npy    where each one lies, its shape and its CRC-32
        cache.json   ids, what was left out, fingerprint, digest of the index; written last: a folder that has it is
                     complete

`common.prepare` fills it. An image is compared with its CRC-32 when it is read for the first time, by whichever of the
processes that share the cache: a disk that lost a bit is found out, and the epochs after the first cost what they did.
"""

import hashlib
import io
import mmap
import zlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from common.errors import DiskError, UserError, listing
from common.files import read_record

ENTRY = np.dtype([("offset", "<u8"), ("length", "<u8"), ("height", "<u4"), ("width", "<u4"), ("crc", "<u4")])
JPEG_PARAMETERS = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
RELEASE_AFTER = 64 << 20
"""Bytes read through the map before its pages are given back. File pages count as resident memory of each process that
has read them, so that without this a worker seems to grow to the size of the cache."""


class Cache:
    """Images of different shapes: `len(cache)`, `cache[i]` → uint8 (H, W, channels), read-only where the format is raw.

    Attributes:
        ids: of the images, in order.
        skipped: (id, path, reason) of the images that were left out.
        fingerprint: hex digest of the source and the input size.
        channels: of every image; three are RGB.

    Cheap to open, may be pickled, and may be used on both sides of a fork.

    Raises:
        UserError: the folder is no complete cache, or, when an image is read, its bytes have changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            facts = read_record(self.folder / "cache.json")
            index = (self.folder / "index.npy").read_bytes()
            if facts.get("index") not in (None, hashlib.sha256(index).hexdigest()):
                raise self._damaged("index.npy")
            entries = np.load(io.BytesIO(index), allow_pickle=False)
            with open(self.folder / "pixels.bin", "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder} is no complete cache ({error}); remove it and prepare again") from error
        self.ids: list[str] = facts["ids"]
        self.skipped: list[tuple[str, str, str]] = [tuple(item) for item in facts["skipped"]]
        self.fingerprint: str = facts["fingerprint"]
        self.format: str = facts["format"]
        self.input_size: int = facts["input_size"]
        self.channels: int = facts.get("channels", 3)
        self._pixels = np.frombuffer(self._map, np.uint8)
        self._entries = entries
        self._begin = entries["offset"].astype(np.int64)
        self._end = self._begin + entries["length"].astype(np.int64)
        self._shape = np.stack([entries["height"], entries["width"]], axis=1).astype(np.int64)
        self._read_since_release = 0
        self._whole = mmap.mmap(-1, max(1, len(entries)))
        """A byte an image: 1 once it was compared with its checksum. Shared with the processes forked from this one."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shapes(self) -> np.ndarray:
        """int64 (n, 2): height and width of each image."""
        return self._shape

    def raw(self) -> tuple[mmap.mmap, np.ndarray] | None:
        """Memory that holds all images, uint8 rows, and where in it each begins, int64 (n,); None: they are JPEGs."""
        return (self._map, self._begin) if self.format == "raw" else None

    def __getitem__(self, i: int) -> np.ndarray:
        begin, end = self._begin[i], self._end[i]
        self._release_pages(int(end - begin))
        stored = self._pixels[begin:end]
        if not self._whole[i]:
            self.check([i])
        if self.format == "raw":
            return stored.reshape(*self._shape[i], self.channels)
        return decompress(stored, self.channels)

    def _release_pages(self, coming: int) -> None:
        """Views handed out before stay valid: a page that is touched again comes back from the page cache."""
        self._read_since_release += coming
        if self._read_since_release > RELEASE_AFTER:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read_since_release = coming

    def check(self, rows: Iterable[int]) -> None:
        """Compare those images with their checksums that were not read before. For whoever reads `raw`.

        Raises:
            UserError: names the images whose bytes have changed since they were written.
        """
        wrong = [row for row in rows if not (self._whole[row] or self._compare(row))]
        if wrong:
            ids = listing(self.ids[row] for row in wrong)
            raise self._damaged(f"{len(wrong)} of {len(self)} images: {ids}")

    def _compare(self, row: int) -> bool:
        begin, end = self._begin[row], self._end[row]
        self._release_pages(int(end - begin))
        same = zlib.crc32(self._pixels[begin:end]) == self._entries["crc"][row]
        self._whole[row] = int(same)
        return bool(same)

    def verify(self) -> None:
        """Read everything and compare it with the checksums. Raises UserError: see `check`."""
        self.check(range(len(self)))

    def _damaged(self, what: str) -> DiskError:
        return DiskError(f"{self.folder} is damaged ({what}); remove it and prepare again")

    def __getstate__(self) -> dict:
        return {"folder": self.folder}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["folder"])


class Concatenation:
    """Several caches as one, in order: training images and external ones."""

    def __init__(self, caches: list) -> None:
        self.caches = list(caches)
        self._ends = np.cumsum([len(cache) for cache in self.caches])
        self.ids = [id for cache in self.caches for id in cache.ids]
        self.skipped = [item for cache in self.caches for item in cache.skipped]
        self.channels = self.caches[0].channels
        self.fingerprint = hashlib.sha256("".join(cache.fingerprint for cache in self.caches).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> np.ndarray:
        if not 0 <= i < len(self):
            raise IndexError(i)
        which = int(np.searchsorted(self._ends, i, side="right"))
        return self.caches[which][i - (self._ends[which - 1] if which else 0)]

    @property
    def shapes(self) -> np.ndarray:
        return np.concatenate([cache.shapes for cache in self.caches])

    def raw(self) -> None:
        """There is no one memory that holds all images."""

    def verify(self) -> None:
        for cache in self.caches:
            cache.verify()


def concatenate(caches: list) -> Cache | Concatenation:
    """One cache whose images are those of `caches` in order; the cache itself where there is one only."""
    return caches[0] if len(caches) == 1 else Concatenation(caches)


def compress(image: np.ndarray) -> bytes:
    """uint8 (H, W, C) → a JPEG file, or for other than three channels, which JPEG would blend as colours, a lossless
    PNG file of the channels one above the other."""
    if image.shape[2] == 3:
        return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), JPEG_PARAMETERS)[1].tobytes()
    return cv2.imencode(".png", np.concatenate(np.moveaxis(image, 2, 0)))[1].tobytes()


def decompress(stored: np.ndarray, channels: int) -> np.ndarray:
    """The image, uint8 (H, W, channels), of the bytes that `compress` gave."""
    if channels == 3:
        return cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB)
    planes = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)
    return np.ascontiguousarray(np.moveaxis(planes.reshape(channels, -1, planes.shape[1]), 0, 2))
