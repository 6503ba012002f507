"""Image files → 8-bit RGB arrays: the whole picture, upright, or a reason why not. Never a partly grey one."""

import errno
import io
import logging
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from common.errors import UserError
from common.files import regular

END_OF_JPEG = b"\xff\xd9"
ZERO_TAIL = bytes(512)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what turns the stored pixels upright; from 5 on it swaps the sides."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What pictures come in. Pillow reads more, and of EPS runs the program that it is."""


def says_more_than_the_error(record: logging.LogRecord) -> bool:
    """False for what Pillow logs of a TIFF of many bands right before it refuses it: one line an image, where the
    error tells the caller the same."""
    return not record.msg.startswith("More samples per pixel than can be decoded")


logging.getLogger("PIL.TiffImagePlugin").addFilter(says_more_than_the_error)


class BadImage(UserError):
    """A file that does not hold one whole picture: `path` and a one-line `reason`."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)


def read_rgb(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode an image file strictly.

    Grey, palette and CMYK become RGB, alpha is dropped, 16-bit values are divided by 257, the EXIF orientation is
    applied. With `at_least`, a large JPEG is decoded at the smallest of the scales 1, 1/2, 1/4, 1/8 (which cost a
    fraction of the time) whose short side is still at least `2 * at_least`.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        BadImage: missing, truncated, not an image, or of more pixels than Pillow holds for safe.
    """
    try:
        data = regular(path).read_bytes()
        if data.startswith(b"\xff\xd8"):
            check_jpeg_tail(data)
        with open_header(io.BytesIO(data)) as image:
            orientation = orientation_of(image)
            if at_least is not None:
                image.draft(None, (2 * at_least, 2 * at_least))
            image.load()
            rgb = to_rgb(image)
            return np.array(rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb)
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        raise fault(path, error) from error


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of the upright picture, from the file's header alone.

    Raises:
        BadImage: as `read_rgb`, as far as the header shows it.
    """
    try:
        with open_header(regular(path)) as image:
            width, height = image.size
            return (width, height) if orientation_of(image) >= 5 else (height, width)
    except Exception as error:
        raise fault(path, error) from error


def shrink(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` uint8 (H, W, C) scaled down to (height, width, C) by Pillow's bilinear filter, which averages over all
    the pixels that fall into one; itself where it has that shape already.

    The filter is the one with which torchvision and timm crop from the raw file. What a random crop then shows differs
    less from theirs than after OpenCV's INTER_AREA (1.85 against 2.02 grey levels, leaves of 600×800 to 256).
    """
    if image.shape[:2] == (height, width):
        return image
    if image.shape[2] != 3:
        return np.stack([shrink_plane(image[..., channel], height, width) for channel in range(image.shape[2])], axis=2)
    return shrink_plane(image, height, width)


def shrink_plane(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same for what Pillow takes as one image: (H, W) or (H, W, 3)."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def open_header(source: str | Path | io.BytesIO) -> Image.Image:
    """Pillow's lazy `open`, without its warning for pictures between one and two times its limit of 89 megapixels:
    those are large, not suspicious. Beyond, it raises `Image.DecompressionBombError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(source, formats=FORMATS)


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1..8. A TIFF counts as upright: Pillow turns it while loading. PNG's own `getexif` would decode
    the whole picture to look for a block behind the pixels."""
    if image.format == "TIFF":
        return 1
    try:
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken EXIF block does not make a broken picture
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture of any mode as 8-bit RGB."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; convert them to 8 or 16 bits")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("32-bit pixels have no fixed range; convert them to 8 or 16 bits")
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    return image.convert("RGB")


def check_jpeg_tail(data: bytes) -> None:
    """Refuse a JPEG whose end was never filled in (a broken-off download into a file of the full size): zeros are valid
    codes, so the decoder would make grey of them without a word."""
    if data.endswith(ZERO_TAIL) and not data.rstrip(b"\0").endswith(END_OF_JPEG):
        raise ValueError("ends in zeros where picture data should be")


def fault(path: str | Path, error: Exception) -> UserError:
    """The image's, as BadImage, unless the system just had no file left to open it with."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return UserError(f"{path}: {error.strerror}; `ulimit -n 1024` allows more")
    return BadImage(path, reason_of(error))


def reason_of(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "no such file"
        case Image.UnidentifiedImageError():
            return "not an image"
        case Image.DecompressionBombError():
            return "more pixels than are safe to decode"
        case OSError(strerror=str(text)) if text:
            return text
    return " ".join(str(error).split()) or type(error).__name__
