"""Metric learning: a loss that pulls the images of one identity together on a sphere."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class ArcFace(nn.Module):
    """Softmax cross-entropy over identities, whose logits are scaled cosines between an embedding and a learned
    prototype of each identity, with `margin` (radians) added to the angle to the true one.

    Deng, Guo, Xue and Zafeiriou 2019, equation 3. Where angle and margin add up to more than π, the cosine would rise
    again; there, as in the authors' code, the logit goes on falling as cos θ - margin·sin margin.
    """

    def __init__(self, dim: int, identities: int, scale: float = 30.0, margin: float = 0.5) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.empty(identities, dim))
        nn.init.xavier_uniform_(self.prototypes)
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: torch.Tensor, identities: torch.Tensor) -> torch.Tensor:
        """Embeddings (n, dim) of any length and whole numbers (n, 1), float or int, in [0, identities) → mean loss."""
        identities = identities.long()
        # In float32: bfloat16 cannot tell small angles apart.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = F.linear(F.normalize(embeddings.float()), F.normalize(self.prototypes.float()))
            true = with_margin(cosines.gather(1, identities), self.margin)
            return F.cross_entropy(self.scale * cosines.scatter(1, identities, true), identities[:, 0])


def with_margin(cosine: torch.Tensor, margin: float) -> torch.Tensor:
    """cos θ → cos(θ + margin), continued as above; its gradient is finite at θ = 0 and θ = π too."""
    # Below what float32 resolves beside 1, but not 0, where the root has no derivative.
    sine = (1 - cosine**2).clamp(min=1e-8).sqrt()
    moved = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), moved, cosine - margin * math.sin(margin))
