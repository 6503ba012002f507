"""What can be wrong with an image file, and what only looks wrong."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from common.cache import Cache
from tests.bad_input.case import PREPARE, Case
from tests.bad_input.worlds import FIRST, NAMES, picture

LISTED = ("aptos", "cassava", "cct20", "hpa", "melanoma")
"""Those whose tables name their images."""
PICTURE = Image.fromarray(picture())


def encoded(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def first(raw: Path) -> Path:
    return raw / FIRST[raw.name]


def replaced(content: bytes) -> Callable[[Path], None]:
    """The first picture holds this in place of itself, whatever its suffix says."""
    return lambda raw: first(raw).write_bytes(content) and None


def cut(share: float) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        data = first(raw).read_bytes()
        first(raw).write_bytes(data[: int(share * len(data))])

    return spoil


def zero_filled(raw: Path) -> None:
    """As a broken-off download leaves a file whose size was reserved."""
    data = encoded(PICTURE.resize((400, 400)), "jpeg", quality=95)
    first(raw).write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def folder_in_its_place(raw: Path) -> None:
    first(raw).unlink()
    first(raw).mkdir()
    (first(raw) / "kept.txt").write_text("not to be lost")


def link_to_nowhere(raw: Path) -> None:
    first(raw).unlink()
    first(raw).symlink_to("nowhere")


def link_to_itself(raw: Path) -> None:
    first(raw).unlink()
    first(raw).symlink_to(first(raw).name)


def pipe_in_its_place(raw: Path) -> None:
    """Whoever reads it waits until somebody writes."""
    first(raw).unlink()
    os.mkfifo(first(raw))


def link_to_a_device(raw: Path) -> None:
    """Zeros without end."""
    first(raw).unlink()
    first(raw).symlink_to("/dev/zero")


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header says that it is so large, and whose pixels are zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def png_of_a_wrong_checksum() -> bytes:
    data = bytearray(encoded(PICTURE, "png"))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    return bytes(data)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PICTURE, "png", exif=exif)


def animated(format: str) -> bytes:
    others = [Image.fromarray(picture(seed)) for seed in (1, 2)]
    return encoded(PICTURE, format, save_all=True, append_images=others, lossless=True)


def shows(expected: np.ndarray, tolerance: float = 1) -> Callable[[Path, str], None]:
    """The cache holds the picture, right to a mean of `tolerance` grey levels."""

    def check(raw: Path, _: str) -> None:
        (folder,) = Path("cache").glob(f"{raw.name}-train-*")
        image = Cache(folder)[0]
        assert image.shape == expected.shape
        assert np.abs(image.astype(int) - expected).mean() <= tolerance

    return check


def as_rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def reads(
    name: str, content: bytes, expected: np.ndarray, tolerance: float = 1, competitions: tuple[str, ...] = ("aptos",)
) -> Case:
    """What is taken for what it is."""
    words, check = (*PREPARE, "--preparation", "plain"), shows(expected, tolerance)
    return Case(name, replaced(content), "12 images ready", competitions, words, handled=True, check=check)


GREY = PICTURE.convert("L")
JPEG = encoded(PICTURE, "jpeg", quality=100, subsampling=0)
PALETTE = PICTURE.quantize(64)
SEE_THROUGH = PICTURE.copy()
SEE_THROUGH.putalpha(GREY)
SIXTEEN = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
WEB_PAGE = b"<!DOCTYPE html><html><body>Sign in to download</body></html>"

CASES = [
    Case(
        "no image file",
        lambda raw: first(raw).unlink(),
        "no such file",
        ("aptos", "cassava", "cct20", "hpa", "melanoma"),
    ),
    Case("an image of no bytes", replaced(b""), "not an image", NAMES),
    Case("an image cut within its first bytes", cut(0.01), "images cannot be read", ("aptos", "cassava")),
    Case("an image cut in the middle", cut(0.5), "images cannot be read", NAMES),
    Case("an image cut shortly before its end", cut(0.95), "images cannot be read", ("aptos", "cassava", "hpa")),
    Case("a JPEG that ends in zeros", zero_filled, "ends in zeros where picture data should be", ("cassava", "cct20")),
    Case("a PNG of a wrong checksum", replaced(png_of_a_wrong_checksum()), "images cannot be read"),
    Case("text called an image", replaced(b"hello, world\n" * 99), "not an image"),
    Case("a PostScript program called an image", replaced(encoded(PICTURE, "eps")), "not an image"),
    Case("a web page called an image", replaced(WEB_PAGE), "not an image", ("melanoma",)),
    Case("a folder in an image's place", folder_in_its_place, "Is a directory", ("aptos", "cassava", "hpa")),
    Case("a link to nowhere in an image's place", link_to_nowhere, "no such file"),
    Case("a link to itself in an image's place", link_to_itself, "symbolic links"),
    Case(
        "a pipe in an image's place", pipe_in_its_place, "is a pipe, a socket or a device", ("aptos", "hpa", "eurosat")
    ),
    Case("a device in an image's place", link_to_a_device, "is a pipe, a socket or a device"),
    Case("a decompression bomb", replaced(png_claiming(60_000, 60_000)), "more pixels than are safe", NAMES),
    Case("a header of more pixels than the file has", replaced(png_claiming(800, 600)), "truncated"),
    Case("an image of no width", replaced(png_claiming(0, 40)), FIRST["aptos"]),
    Case("floating-point pixels", replaced(encoded(GREY.convert("F"), "tiff")), "floating-point pixels"),
    Case("32-bit pixels", replaced(encoded(GREY.convert("I").point(lambda v: v * 999), "tiff")), "32-bit pixels"),
    reads("a PNG whatever its suffix", encoded(PICTURE, "png"), picture(), 1, ("cassava", "melanoma")),
    reads("a JPEG called .png", JPEG, picture(), 2),
    reads("a JPEG 2000 of another suffix", encoded(PICTURE, "jpeg2000"), picture(), 2),
    reads("a WebP of another suffix", encoded(PICTURE, "webp", lossless=True), picture()),
    reads("16 bits of grey", encoded(SIXTEEN, "png"), as_rgb(GREY)),
    reads("CMYK", encoded(PICTURE.convert("CMYK"), "jpeg", quality=100, subsampling=0), picture(), 3),
    reads("grey", encoded(GREY, "png"), as_rgb(GREY)),
    reads("black and white", encoded(PICTURE.convert("1"), "png"), as_rgb(PICTURE.convert("1"))),
    reads("a palette", encoded(PALETTE, "png"), as_rgb(PALETTE)),
    reads("a palette with a transparent colour", encoded(PALETTE, "png", transparency=3), as_rgb(PALETTE)),
    reads("alpha", encoded(SEE_THROUGH, "png"), picture()),
    reads("grey and alpha", encoded(SEE_THROUGH.convert("LA"), "png"), as_rgb(GREY)),
    reads("an EXIF orientation", turned(6), np.rot90(picture(), -1)),
    reads("a mirroring EXIF orientation", turned(2), picture()[:, ::-1]),
    reads("an animated GIF: its first picture", animated("gif"), picture(), 3),
    reads("an animated PNG: its first picture", animated("png"), picture()),
    reads("an animated WebP: its first picture", animated("webp"), picture(), 2),
    reads("a TIFF of several pages: the first", animated("tiff"), picture()),
    reads("a progressive JPEG", encoded(PICTURE, "jpeg", quality=100, subsampling=0, progressive=True), picture(), 2),
    Case(
        "a strip of one pixel's width",
        replaced(encoded(PICTURE.resize((1, 20_000)), "png")),
        "12 images ready",
        words=(*PREPARE, "--preparation", "ben-graham"),
        handled=True,
    ),
    reads("bytes behind the end of a JPEG", JPEG + b"\1" * 99, picture(), 2),
    reads("a broken EXIF block", encoded(PICTURE, "png", exif=b"Exif\0\0MM\0\x2a\xff\xff"), picture()),
    reads("a colour profile that is none", encoded(PICTURE, "png", icc_profile=b"no profile"), picture()),
]
