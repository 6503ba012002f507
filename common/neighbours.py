"""Labels by the nearest neighbours in an embedding."""

import torch
from torch.nn import functional as F

ELEMENTS = 2**24
"""Most similarities, or gathered labels, that are held at once: 64 MiB of each."""


def nearest_labels(
    embeddings: torch.Tensor,
    gallery: torch.Tensor,
    labels: torch.Tensor,
    k: int = 10,
    temperature: float = 0.05,
) -> torch.Tensor:
    """Mean label row of the `k` rows of the gallery with the highest cosine similarity, weighted by
    softmax(similarity / temperature) over these k; a smaller gallery is used whole.

    Args:
        embeddings: (n, d), of any length; gallery: (m, d), m > 0; both float, on one device.
        labels: float (m, K) in [0, 1], of the gallery's rows.

    Returns:
        float32 (n, K) in [0, 1]. Rows that are looked up among themselves find themselves first.
    """
    queries, gallery, labels = F.normalize(embeddings.float()), F.normalize(gallery.float()), labels.float()
    k = min(k, len(gallery))
    found = []
    for part in queries.split(max(1, ELEMENTS // max(len(gallery), k * labels.shape[1]))):
        similarity, rows = (part @ gallery.T).topk(k)
        weights = (similarity / temperature).softmax(1)
        found.append((weights[..., None] * labels[rows]).sum(1))
    return torch.cat(found).clamp(0, 1)  # rounding alone leads out of it
