"""Gaussian noise that is read from one table, so that the worker path and the device path add the same to an image."""

from functools import cache
from typing import Any

import albumentations as A
import numpy as np
import torch
from torch import Tensor

PERIOD = 1 << 21
"""Numbers in the table: more than in a colour image of 800 pixels a side."""
SEEDS, APART = 1 << 16, 32
"""A seed's noise begins at its own place, so many numbers from the next one's; together they go once round."""


@cache
def table() -> np.ndarray:
    """Standard normal, float32 (PERIOD,)."""
    return np.random.default_rng(0).standard_normal(PERIOD, dtype=np.float32)


@cache
def table_on(device: torch.device) -> Tensor:
    return torch.from_numpy(table()).to(device)


def field(seed: int, count: int) -> np.ndarray:
    """Standard normal float32 (count,) for a seed in [0, SEEDS)."""
    return table().take(np.arange(seed * APART, seed * APART + count), mode="wrap")


def fields(seeds: Tensor, count: int) -> Tensor:
    """The same for each of some seeds, int64 (m,) → (m, count), on their device."""
    places = seeds[:, None] * APART + torch.arange(count, device=seeds.device)
    return table_on(seeds.device)[places % PERIOD]


class TableNoise(A.GaussNoise):
    def drawn(self) -> tuple[float, float, int]:
        """Mean and standard deviation in grey levels, and a seed."""
        sigma, mean = (255 * self.py_random.uniform(*bounds) for bounds in (self.std_range, self.mean_range))
        return mean, sigma, int(self.random_generator.integers(0, SEEDS))

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, np.ndarray]:
        mean, sigma, seed = self.drawn()
        image = data["image"]
        return {"noise_map": (mean + sigma * field(seed, image.size)).astype(np.float32).reshape(image.shape)}
