"""Images of one set that are copies of another's, re-encoded, resized or slightly recropped, found by perceptual hash.

The hash is ImageHash's `phash` of 256 bits: which of the 16 × 16 lowest frequencies of the grey image (discrete cosine
transform) lie above their median (C. Zauner, "Implementation and benchmarking of perceptual image hash functions",
2010). Copies differ in few bits, different images on average in 128. At `AT_MOST` = 32 bits, with `python -m
benchmarks.bench_duplicates FOLDER …`, these shares of copies were found, and of images taken for copies of another one:

                            images  JPEG 95  JPEG 60  half size  half, JPEG 75  crop 2%  taken  closest
    dermoscopy, 224×224      3,000   100.0%   100.0%     100.0%         100.0%    72.2%   0.0%  48 bits
    leaves, 800×600              5   100.0%   100.0%     100.0%         100.0%   100.0%   0.0%      112
    satellite tiles, 64×64     100   100.0%    95.0%     100.0%          69.0%    14.0%   0.0%       90
    one camera trap's frames 1,295   100.0%   100.0%     100.0%         100.0%    26.5%  77.1%        0
    drawn fundus images        600   100.0%   100.0%     100.0%         100.0%    47.5%   0.0%       36

So a copy that shows the whole image is found unless it is tiny, one that was recropped often not, and frames of one
fixed camera cannot be told from copies. At 40 bits 94% of the crops of dermoscopy images are found, and 3% of the drawn
fundus images are taken for copies.
"""

import imagehash
import numpy as np
from PIL import Image

from common.cache import Cache, Concatenation
from common.files import write_atomically
from common.prepare import save
from common.progress import Progress
from common.stored import read_array

SIDE = 16
"""Frequencies along a side. With 8 (64 bits) different dermoscopy images come closer (2 bits) than copies do."""
AT_MOST = 32
"""Bits in which copies may differ."""
ROWS, COLUMNS = 64, 4096
"""Hashes compared with hashes at once: what lies between stays in the processor's cache."""


def hashes(cache: Cache | Concatenation) -> np.ndarray:
    """The hash of every image, uint8 (n, 32): 256 packed bits. Computed once for a cache, and kept in its folder as
    `hash-phash256.npy`.

    Images of any number of channels count as their mean over the channels.

    Raises:
        UserError: the cache's folder cannot be written.
    """
    if isinstance(cache, Concatenation):
        return np.concatenate([hashes(part) for part in cache.caches])
    file = cache.folder / f"hash-phash{SIDE**2}.npy"
    if not file.exists():
        found = np.empty((len(cache), SIDE**2 // 8), np.uint8)
        with Progress(len(cache), f"hash {cache.folder.name}") as progress:
            for i in range(len(cache)):
                found[i] = perceptual_hash(cache[i])
                progress.update(1)
        write_atomically(file, lambda temporary: save(temporary, found))
    return read_array(file)


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, channels) → 256 bits as uint8 (32,)."""
    grey = np.rint(image.mean(axis=2, dtype=np.float32)).astype(np.uint8)
    return np.packbits(imagehash.phash(Image.fromarray(grey), hash_size=SIDE).hash)


def duplicates(of: np.ndarray, among: np.ndarray, at_most: int = AT_MOST) -> np.ndarray:
    """Which images have a copy in another set: bool (len(of),), True where a hash in `among` differs from that in `of`
    by no more than `at_most` bits.

    Args:
        of, among: uint8 (n, bytes) and (m, bytes), as `hashes` gives them.
    """
    of, among = words(of), words(among)
    found = np.zeros(len(of), bool)
    for row in range(0, len(of), ROWS):
        for column in range(0, len(among), COLUMNS):
            near = distances(of[row : row + ROWS], among[column : column + COLUMNS]) <= at_most
            found[row : row + ROWS] |= near.any(axis=1)
    return found


def words(hashes: np.ndarray) -> np.ndarray:
    """The same bits as uint64 (n, bytes / 8)."""
    return np.ascontiguousarray(hashes).view(np.uint64)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which two sets of `words` differ, uint16 (len(one), len(other))."""
    total = np.zeros((len(one), len(other)), np.uint16)
    for a, b in zip(one.T, other.T, strict=True):
        total += np.bitwise_count(a[:, None] ^ b)
    return total
