"""EuroSAT tiles → uint8 arrays: RGB files as they are, the thirteen bands of a TIFF on one fixed scale a band.

Pillow and OpenCV decode at most four bands. The tiles are plain, uncompressed TIFF files: Pillow reads their tags, and
the pixels stand in the file as they are.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    IMAGELENGTH,
    IMAGEWIDTH,
    PLANAR_CONFIGURATION,
    SAMPLESPERPIXEL,
    STRIPBYTECOUNTS,
    STRIPOFFSETS,
    ImageFileDirectory_v2,
)

from common.errors import UserError
from common.files import regular
from common.images import BadImage, read_rgb, reason_of

WHITE = {
    "B01": 4000,  # aerosols
    "B02": 4000,  # blue
    "B03": 4000,  # green
    "B04": 4000,  # red
    "B05": 4000,  # red edge
    "B06": 6000,
    "B07": 6000,
    "B08": 6000,  # near infrared
    "B09": 3000,  # water vapour
    "B10": 100,  # cirrus: next to nothing
    "B11": 6000,  # short-wave infrared
    "B12": 4000,
    "B8A": 6000,  # narrow near infrared; the files have it last
}
"""Band, in the order of the files → the value that becomes 255, in ten-thousandths of reflectance.

The same for every tile, of training and test: how bright a tile is tells what it shows, and a stretch of each tile to
its own range would hide it. Of the pixels of 100 tiles less than 0.1% of any band lie above, and are cut off.
"""


def read_image(path: str, at_least: int | None, channels: int) -> np.ndarray:
    """uint8 (H, W, channels): the bands of a .tif in the order of `WHITE`, or the RGB of any other image file. Where an
    RGB tile has its .tif beside it, `channels` says which of the two is read.

    Raises:
        UserError: the recipe asks for another number of channels than this kind of file has.
        BadImage: the file cannot be read, or is no tile of thirteen 16-bit bands.
    """
    if channels == len(WHITE):
        path = str(files(path)[-1])
    if Path(path).suffix.lower() != ".tif":
        if channels != 3:
            raise UserError(
                f"{path} is RGB and not of {channels} channels: use --channels 3, or point DATA at .tif files"
            )
        return read_rgb(path, at_least)
    if channels != len(WHITE):
        raise UserError(f"{path} has {len(WHITE)} bands and not {channels} channels: use --channels {len(WHITE)}")
    return to_bytes(read_bands(path))


def files(path: str) -> list[Path]:
    """The tile's file, and the .tif of the same name beside an RGB one, where there is one."""
    rgb, bands = Path(path), Path(path).with_suffix(".tif")
    return [rgb, bands] if bands != rgb and bands.is_file() else [rgb]


def to_bytes(bands: np.ndarray) -> np.ndarray:
    """uint16 (H, W, 13) → uint8 (H, W, 13) by the scale of each band, rounded, cut off at 255."""
    scale = 255 / np.array(list(WHITE.values()), np.float32)
    return np.minimum(bands * scale + 0.5, 255).astype(np.uint8)


def read_bands(path: str) -> np.ndarray:
    """The pixels of an uncompressed TIFF, uint16 (H, W, 13). Raises BadImage."""
    try:
        data = regular(path).read_bytes()
        return pixels_of(data, tags_of(data))
    except Exception as error:  # Pillow's parser raises whatever it stumbles over
        raise BadImage(path, reason_of(error)) from error


def tags_of(data: bytes) -> ImageFileDirectory_v2:
    tags = ImageFileDirectory_v2(data[:8])
    with warnings.catch_warnings(), io.BytesIO(data) as file:
        warnings.simplefilter("error")  # Pillow only warns of tags that are not whole
        file.seek(tags.next)
        tags.load(file)
    return tags


def pixels_of(data: bytes, tags: ImageFileDirectory_v2) -> np.ndarray:
    """The strips of a TIFF file, band beside band in each pixel. Raises ValueError for any other arrangement."""
    bits = set(tags.get(BITSPERSAMPLE, (1,)))
    if tags.get(SAMPLESPERPIXEL) != len(WHITE) or bits != {16}:
        raise ValueError(f"has {tags.get(SAMPLESPERPIXEL, 1)} bands of {listed(bits)} bits, not {len(WHITE)} of 16")
    if tags.get(COMPRESSION, 1) != 1 or tags.get(PLANAR_CONFIGURATION, 1) != 1 or STRIPOFFSETS not in tags:
        raise ValueError(
            "is compressed, tiled or in planes; `gdal_translate -co COMPRESS=NONE -co INTERLEAVE=PIXEL` converts it"
        )
    strips = zip(tags[STRIPOFFSETS], tags[STRIPBYTECOUNTS], strict=True)
    pixels = b"".join(data[start : start + length] for start, length in strips)
    shape = (tags[IMAGELENGTH], tags[IMAGEWIDTH], len(WHITE))
    if len(pixels) != 2 * np.prod(shape):
        raise ValueError("is truncated")
    order = "<u2" if data.startswith(b"II") else ">u2"
    return np.frombuffer(pixels, order).reshape(shape).astype(np.uint16)


def listed(bits: set[int]) -> str:
    return " and ".join(map(str, sorted(bits)))
