"""How the images of a data set are read: RGB from any image file, or what a competition says for its own files; and
what is done to each, once, before it is cached."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from common.competition import Competition
from common.errors import UserError
from common.fundus import NEUTRAL, ben_graham, circle
from common.images import BadImage, image_size, read_rgb, reason_of

ReadImage = Callable[[str, int | None, int], np.ndarray]
ImageFiles = Callable[[str], list[Path]]
PREPARATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"circle": circle, "ben-graham": ben_graham}
"""`Recipe.preparation`, besides 'plain': uint8 (H, W, 3) → uint8 (h, w, 3), both of the shape that `circle` gives."""
SURROUND = {"plain": 0, "circle": 0, "ben-graham": NEUTRAL}
"""Preparation → the grey value around a retina."""


@dataclass(frozen=True)
class Reader:
    """`reader(path, at_least)` → uint8 (H, W, channels): `read_rgb` or a competition's `read_image`, then the
    preparation.

    Raises:
        UserError: a preparation of other than three channels.
    """

    read_image: ReadImage | None = None
    channels: int = 3
    preparation: str = "plain"
    image_files: ImageFiles | None = None

    def __post_init__(self) -> None:
        if self.preparation != "plain" and self.channels != 3:
            raise UserError(
                f"preparation '{self.preparation}' takes RGB photographs, not {self.channels} channels; use --channels "
                "3 or --preparation plain"
            )

    def __call__(self, path: str, at_least: int | None = None) -> np.ndarray:
        """The whole upright image, at any scale whose short side is not below `at_least`.

        An image to be prepared is read at its full size: how much of it is left is known only then.

        Raises:
            BadImage: it cannot be read, or is not what was asked for.
        """
        if self.preparation == "plain":
            return self._read(path, at_least)
        return PREPARATIONS[self.preparation](self._read(path, None))

    def _read(self, path: str, at_least: int | None) -> np.ndarray:
        if self.read_image is None:
            return read_rgb(path, at_least)
        try:
            image = self.read_image(path, at_least, self.channels)
        except (OSError, ValueError) as error:
            raise BadImage(path, reason_of(error)) from error
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.channels:
            raise BadImage(path, f"was read as {image.dtype} {image.shape} in place of {self.channels} 8-bit channels")
        return image

    def size(self, path: str) -> tuple[int, int]:
        """(height, width) of what a call returns, from the header where Pillow knows the format; it does not know every
        one with more than four channels. A preparation has to see the image itself. Raises BadImage."""
        if self.preparation != "plain":
            return circle(self._read(path, None)).shape[:2]
        try:
            return image_size(path)
        except BadImage:
            if self.read_image is None:
                raise
        return self._read(path, None).shape[:2]

    def files(self, path: str) -> list[str | Path]:
        """All the files that a call reads."""
        return self.image_files(path) if self.image_files else [path]

    @property
    def name(self) -> str:
        """What tells caches of different readers apart."""
        name = name_of(read_rgb) if self.read_image is None else f"{name_of(self.read_image)} {self.channels}"
        return name if self.preparation == "plain" else f"{name} {self.preparation}"


def reader_of(competition: Competition, channels: int, preparation: str = "plain") -> Reader:
    """Raises UserError where the competition cannot read so many channels, or the preparation does not take them."""
    if competition.read_image is None and channels != 3:
        raise UserError(f"channels: images of {competition.name} have 3 channels, not {channels}; use --channels 3")
    return Reader(competition.read_image, channels, preparation, competition.image_files)


def name_of(function: Callable) -> str:
    """`module.function`, also of a function that a `partial` looks up by its arguments."""
    if isinstance(function, partial):
        return " ".join([name_of(function.func), *map(str, function.args)])
    return f"{function.__module__}.{function.__qualname__}"
