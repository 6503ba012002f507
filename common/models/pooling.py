"""Pooling between the feature map and the classifier."""

import torch
from torch import nn


class GeM(nn.Module):
    """Generalized mean pooling: (mean x^p)^(1/p) over the positions of a feature map, with a learned p.

    p = 1 is average pooling, p → ∞ tends to the maximum (Radenović, Tolias and Chum 2018, equation 3). Features are
    clamped to `eps` from below, as the power needs. Input (N, C, H, W); output (N, C, 1, 1), or (N, C) with `flatten`.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6, flatten: bool = True) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)))
        self.eps = eps
        self.flatten = flatten

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # In float32: a power of a bfloat16 feature loses most of its digits.
        with torch.autocast(features.device.type, enabled=False):
            pooled = features.float().clamp(min=self.eps).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)
        pooled = pooled.to(features.dtype)
        return pooled.flatten(1) if self.flatten else pooled
