"""Decoding: the whole picture, upright and in 8-bit RGB, or an error that says why not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from common.images import BadImage, image_size, read_rgb, shrink


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth colour picture, uint8 (60, 80, 3), that no mirror or turn leaves as it is."""
    y, x = np.mgrid[:60, :80]
    return np.stack([x * 3, y * 4, (x + y) * 255 // 138], axis=2).astype(np.uint8)


def test_a_lossless_picture_comes_back_as_it_was(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), picture)
    assert image_size(tmp_path / "a.png") == (60, 80)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
def test_a_truncated_file_is_refused_or_whole_but_never_partly_grey(tmp_path, picture, suffix):
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(picture).save(whole)
    data, expected = whole.read_bytes(), read_rgb(whole)
    refused = 0
    for length in [*np.linspace(0, len(data) - 1, 40).astype(int), len(data) - 2, len(data) - 3]:
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(data[:length])
        try:
            assert np.array_equal(read_rgb(cut), expected)
        except BadImage:
            refused += 1
    assert refused > 30


def test_a_jpeg_whose_end_was_never_downloaded_is_refused(tmp_path, picture):
    Image.fromarray(picture).resize((800, 600)).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(BadImage, match="zeros"):
        read_rgb(tmp_path / "a.jpg")
    (tmp_path / "padded.jpg").write_bytes(data + bytes(4096))
    assert read_rgb(tmp_path / "padded.jpg").shape == (600, 800, 3)


@pytest.mark.parametrize(
    ("name", "content", "reason"), [("no.png", None, "no such file"), ("text.jpg", b"hello", "not an image")]
)
def test_what_is_no_image_is_named_with_the_reason(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for reader in (read_rgb, image_size):
        with pytest.raises(BadImage) as caught:
            reader(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {reason}"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_to_pixels_and_size(tmp_path, picture, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(picture).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.array_equal(read_rgb(path), expected)
    assert image_size(path) == expected.shape[:2]


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    levels = np.array([[0, 257, 25700, 65535]], np.uint16)
    for suffix in ("png", "tif"):
        Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
        assert read_rgb(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 1, 100, 255]


def test_floating_point_pixels_are_refused_for_their_range_is_unknown(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(BadImage, match="floating-point"):
        read_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, picture, mode):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    stored = Image.fromarray(picture).convert(mode)
    stored.save(path)
    assert np.array_equal(read_rgb(path), np.asarray(stored.convert("RGB")))


def test_a_large_jpeg_is_decoded_small_but_at_least_twice_what_is_wanted(tmp_path, picture):
    Image.fromarray(picture).resize((1600, 1200), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", quality=95)
    assert read_rgb(tmp_path / "a.jpg", at_least=100).shape == (300, 400, 3)
    assert read_rgb(tmp_path / "a.jpg", at_least=160).shape == (600, 800, 3)
    assert read_rgb(tmp_path / "a.jpg", at_least=800).shape == (1200, 1600, 3)
    small, full = read_rgb(tmp_path / "a.jpg", at_least=100), read_rgb(tmp_path / "a.jpg")
    difference = np.abs(shrink(small, 150, 200).astype(int) - shrink(full, 150, 200))
    assert difference.mean() < 1


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 80 // 2 - 1)
    for reader in (read_rgb, image_size):
        with pytest.raises(BadImage, match="more pixels than are safe"):
            reader(tmp_path / "a.png")


def test_shrinking_averages_and_does_not_alias():
    checkered = np.indices((40, 60)).sum(0)[..., None] % 2 * np.full(3, 200)
    small = shrink(checkered.astype(np.uint8), 10, 15)
    assert small.shape == (10, 15, 3)
    assert np.abs(small.astype(int) - 100).max() <= 10
    assert shrink(small, 10, 15) is small


def test_real_photographs_are_read():
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "cassava" / "train_images"
    if not folder.is_dir():
        pytest.skip("the shared photographs are not here")
    for path in folder.iterdir():
        assert read_rgb(path).shape == (600, 800, 3)
