"""Features only: what a pre-trained network makes of every image of a competition, computed once, kept as parquet.

runs/<competition>/embeddings/<hash>/
    recipe.json     the fields that decide the features and the folds
    train.parquet   id, label, fold, group where there are groups, then `e0`, `e1`, … (float32)
    test.parquet    id, then the same, where there is a test set
"""

import torch

from common.feed import Feed
from common.models.build import Network
from common.progress import Progress

FIELDS = (
    *("backbone", "weights", "pooling", "input_size", "channels", "normalization", "color_order", "preparation"),
    *("split", "folds", "only_folds", "seed"),
)
"""Fields of a recipe that decide the features; the last line decides the column `fold`, and the seed what is random."""


@torch.no_grad()
def embed_rows(network: Network, feed: Feed, what: str) -> torch.Tensor:
    """float32 (n, D) on the feed's device, in the order of its rows: what the classifier is given, in evaluation."""
    network.eval()
    device, parts = feed.device, []
    with Progress(len(feed.rows), what) as progress:
        for images, rows in feed.epoch(0):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                parts.append(network.embed(network.normalize(images)).float())
            progress.update(len(rows))
    return torch.cat(parts)
