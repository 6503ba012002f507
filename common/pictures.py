"""Pictures of images and of decisions, for notebooks: matplotlib figures with labelled axes."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure


def image_grid(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6, side: float = 1.7) -> Figure:
    """Images row by row, each below its title.

    Args:
        images: uint8 (H, W, 3) each, of any shape.
        side: of a tile, in inches.
    """
    rows = -(-len(images) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(side * columns, (side + 0.3) * rows), squeeze=False, layout="constrained"
    )
    for place, image, title in zip_longest(axes.flat, images, titles):
        place.axis("off")
        if image is not None:
            place.imshow(image)
            place.set_title(title, fontsize=8)
    return figure


def confusion(labels: np.ndarray, decided: np.ndarray, classes: Sequence[str]) -> Figure:
    """How many images of each class, a row, were decided for which, a column; colours are shares of the row.

    labels, decided: int (n,) in 0..len(classes)-1.
    """
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (labels, decided), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.6 + 0.55 * len(classes)
    figure, axes = pyplot.subplots(figsize=(size + 0.6, size), layout="constrained")
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.5
        axes.text(column, row, count, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("decided")
    axes.set_ylabel("label")
    figure.colorbar(drawn, label="share of the label's images", shrink=0.8)
    return figure
