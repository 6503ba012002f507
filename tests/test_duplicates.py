"""Copies among images: found whatever became of the file, and different images told apart."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from common.cache import Cache, concatenate
from common.duplicates import AT_MOST, distances, duplicates, hashes, perceptual_hash, words
from common.images import read_rgb, shrink
from common.prepare import prepare
from common.reader import Reader

MELANOMA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "melanoma" / "jpeg" / "train"


def scene(seed: int, channels: int = 3) -> np.ndarray:
    """A picture with structure at several scales, uint8 (90, 120, channels)."""
    random = np.random.default_rng(seed)
    picture = np.full((90, 120, channels), 128.0, np.float32)
    for side in (3, 6, 12, 24):
        coarse = random.normal(0, 90 / side**0.6, (side, side, channels)).astype(np.float32)
        picture += cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC).reshape(90, 120, channels)
    return picture.clip(0, 255).astype(np.uint8)


def recoded(image: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_COLOR)


def hash_of(images: list[np.ndarray]) -> np.ndarray:
    return np.stack([perceptual_hash(image) for image in images])


def read_array(path: str, at_least: int | None, channels: int) -> np.ndarray:
    return np.load(path)


def cache_of(images: list[np.ndarray], folder: Path, name: str) -> Cache:
    """A cache of other than RGB images, which needs no image format."""
    raw = folder / name
    raw.mkdir()
    for i, image in enumerate(images):
        np.save(raw / f"{i}.npy", image)
    table = pd.DataFrame({"id": [f"{name}{i}" for i in range(len(images))]})
    table["path"] = [str(raw / f"{i}.npy") for i in range(len(images))]
    reader = Reader(read_array, images[0].shape[2])
    return prepare(table, name, 64, folder / "cache", workers=1, format="raw", read=reader)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    return [scene(seed) for seed in range(12)]


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_an_image_written_again_as_jpeg_is_found(scenes, quality):
    copies = hash_of([recoded(image, quality) for image in scenes])
    assert duplicates(copies, hash_of(scenes), AT_MOST).all()


def test_an_image_of_another_size_or_aspect_is_found(scenes):
    for height, width in ((45, 60), (180, 240), (90, 90)):
        copies = hash_of([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in scenes])
        assert duplicates(copies, hash_of(scenes), AT_MOST).all()


def test_different_images_are_no_duplicates(scenes):
    others = hash_of([scene(seed) for seed in range(100, 112)])
    assert not duplicates(others, hash_of(scenes), AT_MOST).any()


@pytest.mark.skipif(not MELANOMA.is_dir(), reason="the real images are not here")
def test_real_lesions_are_told_apart_and_their_copies_found():
    images = [read_rgb(path) for path in sorted(MELANOMA.glob("*.jpg"))[:150]]
    known = hash_of(images)
    assert all(not duplicates(known[[i]], np.delete(known, i, axis=0), AT_MOST).any() for i in range(len(images)))
    half = [recoded(shrink(image, 112, 112), 75) for image in images]
    assert duplicates(hash_of(half), known, AT_MOST).all()


def test_distance_is_the_number_of_differing_bits():
    random = np.random.default_rng(0)
    of, among = random.integers(0, 256, (5, 32), np.uint8), random.integers(0, 256, (7, 32), np.uint8)
    among[0] = ~of[0]
    bits = [[np.unpackbits(one ^ other).sum() for other in among] for one in of]
    np.testing.assert_array_equal(distances(words(of), words(among)), bits)
    assert distances(words(of), words(among))[0, 0] == 256, "an inverted image is as far as can be"


def test_at_most_is_the_last_distance_that_counts_and_position_does_not_matter():
    random = np.random.default_rng(1)
    among = random.integers(0, 256, (5000, 32), np.uint8)
    of = random.integers(0, 256, (200, 32), np.uint8)
    of[[0, 70, 199]] = among[[4999, 0, 4096]]
    of[70, :4] ^= 255
    for at_most, expected in ((31, [0, 199]), (32, [0, 70, 199])):
        assert np.flatnonzero(duplicates(of, among, at_most)).tolist() == expected


def test_nothing_is_a_copy_where_there_is_nothing_to_copy():
    some, none = np.zeros((3, 32), np.uint8), np.zeros((0, 32), np.uint8)
    assert duplicates(some, none, AT_MOST).tolist() == [False] * 3
    assert duplicates(none, some, AT_MOST).shape == (0,)


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_hashes_of_a_cache_are_those_of_its_images_and_are_kept_beside_it(tmp_path, channels):
    cache = cache_of([scene(seed, channels) for seed in range(4)], tmp_path, "some")
    found = hashes(cache)
    assert (found.dtype, found.shape) == (np.uint8, (4, 32))
    np.testing.assert_array_equal(found, hash_of([cache[i] for i in range(4)]))
    (file,) = cache.folder.glob("hash-*.npy")
    np.save(file, found[::-1])
    np.testing.assert_array_equal(hashes(Cache(cache.folder)), found[::-1], "read, not computed again")
    cache.verify()


def test_hashes_of_joined_caches_are_those_of_the_parts_in_order(tmp_path):
    one = cache_of([scene(seed, 1) for seed in (0, 1)], tmp_path, "one")
    other = cache_of([scene(seed, 1) for seed in (2, 0, 3)], tmp_path, "other")
    joined = hashes(concatenate([one, other]))
    np.testing.assert_array_equal(joined, np.concatenate([hashes(one), hashes(other)]))
    assert duplicates(hashes(other), hashes(one), AT_MOST).tolist() == [False, True, False]
