"""Copies that the perceptual hash finds, and different images that it takes for copies, on folders of images:
`python -m benchmarks.bench_duplicates FOLDER …`.

Every image of a folder is compared with every other, and 400 of them with copies of themselves. A folder must hold
different images for the last columns to mean anything: the frames of one camera are close to copies of each other.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common.duplicates import AT_MOST, distances, duplicates, perceptual_hash, words
from common.images import read_rgb, shrink

SUFFIXES = {".jpg", ".jpeg", ".png"}
COPIED = 400


def recoded(image: np.ndarray, quality: int) -> np.ndarray:
    """Written as JPEG and read again."""
    jpeg = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def half(image: np.ndarray) -> np.ndarray:
    return shrink(image, image.shape[0] // 2, image.shape[1] // 2)


def cropped(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Two hundredths of each side cut off, somewhere."""
    cut = np.ceil(0.02 * np.array(image.shape[:2])).astype(int)
    top, left = random.integers(0, cut + 1)
    return image[top : image.shape[0] - cut[0] + top, left : image.shape[1] - cut[1] + left]


def copies(random: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {
        "JPEG 95": lambda image: recoded(image, 95),
        "JPEG 60": lambda image: recoded(image, 60),
        "half size": half,
        "half, JPEG 75": lambda image: recoded(half(image), 75),
        "crop 2%": lambda image: cropped(image, random),
    }


def measure(folder: Path) -> dict[str, str]:
    """One line of the table: heading → value."""
    random = np.random.default_rng(0)
    images = [read_rgb(path) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    hashes = np.stack([perceptual_hash(image) for image in images])
    chosen = random.permutation(len(images))[:COPIED]
    line = {"folder": folder.name, "images": f"{len(images):,}"}
    for kind, copy in copies(random).items():
        hits = [duplicates(perceptual_hash(copy(images[i]))[None], hashes[[i]])[0] for i in chosen]
        line[kind] = f"{np.mean(hits):.1%}"
    between = distances(words(hashes), words(hashes))
    np.fill_diagonal(between, hashes.shape[1] * 8)
    return line | {"taken for copies": f"{(between.min(axis=1) <= AT_MOST).mean():.1%}", "closest": f"{between.min()}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    lines = [measure(folder) for folder in parser.parse_args().folders]
    widths = {heading: max(len(heading), *(len(line[heading]) for line in lines)) for heading in lines[0]}
    for line in [{heading: heading for heading in widths}, *lines]:
        print("  ".join(text.rjust(widths[heading]) for heading, text in line.items()))


if __name__ == "__main__":
    main()
