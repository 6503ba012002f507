"""How the images of a data set are read: RGB from any image file, or what a competition says for its own files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from common.competition import Competition
from common.errors import UserError
from common.images import BadImage, image_size, read_rgb, reason_of

ReadImage = Callable[[str, int | None, int], np.ndarray]


@dataclass(frozen=True)
class Reader:
    """`reader(path, at_least)` → uint8 (H, W, channels): `read_rgb`, or a competition's `read_image`."""

    read_image: ReadImage | None = None
    channels: int = 3

    def __call__(self, path: str, at_least: int | None = None) -> np.ndarray:
        """The whole upright image, at any scale whose short side is not below `at_least`.

        Raises:
            BadImage: it cannot be read, or is not what was asked for.
        """
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
        """(height, width), from the header where Pillow knows the format; it does not know every one with more than
        four channels. Raises BadImage."""
        try:
            return image_size(path)
        except BadImage:
            if self.read_image is None:
                raise
        return self(path).shape[:2]

    @property
    def name(self) -> str:
        """What tells caches of different readers apart."""
        if self.read_image is None:
            return name_of(read_rgb)
        return f"{name_of(self.read_image)} {self.channels}"


def reader_of(competition: Competition, channels: int) -> Reader:
    """Raises UserError where the competition cannot read so many channels."""
    if competition.read_image is None and channels != 3:
        raise UserError(f"channels: images of {competition.name} have 3 channels, not {channels}; use --channels 3")
    return Reader(competition.read_image, channels)


def name_of(function: Callable) -> str:
    """`module.function`, also of a function that a `partial` looks up by its arguments."""
    if isinstance(function, partial):
        return " ".join([name_of(function.func), *map(str, function.args)])
    return f"{function.__module__}.{function.__qualname__}"
