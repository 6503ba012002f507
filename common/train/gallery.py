"""The training images as an ArcFace network sees them: what it looks the nearest labels up in."""

import numpy as np
import torch
from torch.nn import functional as F

from common.feed import Feed
from common.models.build import Network
from common.outputs import EMBEDDING, Gallery
from common.predict import predict_outputs


def gallery_of(
    network: Network, feed: Feed, labels: np.ndarray, classes: int, metadata: torch.Tensor | None
) -> Gallery:
    """Embeddings float16 (m, EMBEDDING) and label rows float16 (m, classes) of the feed's images, on its device.

    Args:
        feed: the training rows in order, as they are seen in evaluation.
        labels: of every row of the cache: int (n,), or indicator rows (n, classes).
    """
    seen = predict_outputs(network, feed, feed.device, lambda outputs: outputs[:, :EMBEDDING], metadata=metadata)
    of_rows = torch.from_numpy(np.asarray(labels)[feed.rows]).long()
    rows = F.one_hot(of_rows, classes) if of_rows.ndim == 1 else of_rows
    return {
        "gallery.embeddings": torch.from_numpy(seen).half().to(feed.device),
        "gallery.labels": rows.half().to(feed.device),
    }


def identities(labels: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """int64 (n,): who is who for ArcFace. An image whose identity is known (a column `identity`, such as the antibody
    of a stain; missing or blank where it is not) is that one; any other stands for its set of labels.

    Args:
        labels: int (n,), or indicator rows (n, classes).
        known: (n,) text, or None.
    """
    sets = ["labels " + " ".join(map(str, np.atleast_1d(row).tolist())) for row in labels]
    if known is not None:
        named = [isinstance(name, str) and name.strip() for name in known]
        sets = [f"identity {name}" if name else of_labels for name, of_labels in zip(named, sets, strict=True)]
    return np.unique(sets, return_inverse=True)[1].astype(np.int64)
