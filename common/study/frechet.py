"""The Fréchet distance between two sets of features, taken for Gaussians, and how far chance moves it.

Squared, d² = |μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) (Dowson and Landau, 1982): what the Fréchet inception distance
reports. With C = AᵀA and D = BᵀB the trace of (C D)^½ is the sum of the singular values of A Bᵀ, so that no root of a
matrix has to be taken and fewer images than features are no special case.

A covariance from few images is too sharp, and the distance therefore too large, by about c/n. Halves of the same images
show both: by how much two halves differ is chance, by how much they are further away than all of them is this bias.
"""

from dataclasses import dataclass

import numpy as np

NORMAL_95 = 1.96
SPLITS = 4


@dataclass(frozen=True)
class Gaussian:
    """`mean`: float64 (d,). `factor`: float64 (at most d, d), AᵀA is the covariance."""

    mean: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True)
class Distance:
    """`value` with its 95% interval, `low` and `high`: what chance in the choice of the images leaves open.

    `of_halves` is the mean distance of random halves of both sets, `without_bias` what is left where a bias of c/n is
    taken off, 2 `value` − `of_halves`.
    """

    value: float
    low: float
    high: float
    of_halves: float

    @property
    def without_bias(self) -> float:
        return 2 * self.value - self.of_halves


def gaussian(features: np.ndarray) -> Gaussian:
    """Mean and covariance (by n − 1) of features (n, d), n at least 2."""
    mean = features.mean(axis=0, dtype=np.float64)
    factor = (features - mean) / np.sqrt(len(features) - 1)
    if len(factor) > factor.shape[1]:
        factor = np.linalg.qr(factor, mode="r")
    return Gaussian(mean, factor)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The squared Fréchet distance, at least 0."""
    between = ((one.mean - other.mean) ** 2).sum()
    traces = (one.factor**2).sum() + (other.factor**2).sum()
    root = np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum()
    return max(0.0, float(between + traces - 2 * root))


def distance_with_error(one: np.ndarray, other: np.ndarray, splits: int = SPLITS, seed: int = 0) -> Distance:
    """The distance between two sets of features, (n, d) and (m, d), n and m at least 4, with what halves tell.

    Two disjoint halves err independently of each other, and each by twice the variance of the whole. A bootstrap would
    not do: an image drawn twice sharpens the covariance, and so moves the distance itself.
    """
    value = frechet_distance(gaussian(one), gaussian(other))
    random = np.random.default_rng(seed)
    pairs = np.empty((splits, 2))
    for split in range(splits):
        halves = zip(in_halves(one, random), in_halves(other, random), strict=True)
        pairs[split] = [frechet_distance(gaussian(a), gaussian(b)) for a, b in halves]
    half = NORMAL_95 * np.sqrt(np.mean((pairs[:, 0] - pairs[:, 1]) ** 2)) / 2
    return Distance(value, max(0.0, value - half), value + half, float(pairs.mean()))


def in_halves(features: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The rows in random order, cut in the middle."""
    order = random.permutation(len(features))
    middle = len(features) // 2
    return features[order[:middle]], features[order[middle:]]
