"""Predictions: folds × checkpoints × test-time views, averaged as probabilities."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import ttach

from common.errors import UserError
from common.feed import Feed
from common.models import Network
from common.models.weights import read_weights
from common.progress import Progress

VIEWS = {
    "none": [],
    "flip": [ttach.HorizontalFlip()],
    "flips": [ttach.HorizontalFlip(), ttach.VerticalFlip()],
    "d4": [ttach.HorizontalFlip(), ttach.Rotate90([0, 90, 180, 270])],
}


@torch.inference_mode()
def predict_outputs(
    network: Network,
    feed: Feed,
    device: torch.device,
    activate: Callable[[torch.Tensor], torch.Tensor],
    tta: str = "none",
    progress: Progress | None = None,
) -> np.ndarray:
    """Mean over the views of the activated outputs, float32 (n,) or (n, K), in the order of the feed's rows."""
    network.eval()
    views, batches = ttach.Compose(VIEWS[tta]), []
    for images, rows in feed.epoch(0):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            inputs = network.normalize(images)
            seen = [activate(network.backbone(view.augment_image(inputs))) for view in views]
        batches.append(torch.stack(seen).mean(0))
        if progress:
            progress.update(len(rows))
    return torch.cat(batches).cpu().numpy()


def predict_members(
    network: Network,
    weights: Sequence[Path],
    feed: Feed,
    device: torch.device,
    activate: Callable[[torch.Tensor], torch.Tensor],
    tta: str,
    what: str,
) -> np.ndarray:
    """One prediction for each weights file: (members, n) or (members, n, K)."""
    members = []
    with Progress(len(weights) * len(feed.rows), what) as progress:
        for file in weights:
            network.backbone.load_state_dict(read_weights(file))
            network.to(device, memory_format=torch.channels_last)
            members.append(predict_outputs(network, feed, device, activate, tta, progress))
    return np.stack(members)


def to_table(ids: Sequence[str], outputs: np.ndarray, **columns) -> pd.DataFrame:
    """`id`, the extra columns, and `output` for (n,) or `p0`, `p1`, … for (n, K)."""
    if outputs.ndim == 1:
        return pd.DataFrame({"id": ids, **columns, "output": outputs})
    return pd.DataFrame({"id": ids, **columns, **{f"p{k}": outputs[:, k] for k in range(outputs.shape[1])}})


def from_table(table: pd.DataFrame) -> np.ndarray:
    """The outputs of `to_table`: (n,) or (n, K)."""
    if "output" in table:
        return table["output"].to_numpy()
    columns = [name for name in table if name[0] == "p" and name[1:].isdigit()]
    if not columns:
        raise UserError(f"a prediction table needs `output` or `p0`, `p1`, …; found {', '.join(table)}")
    return table[sorted(columns, key=lambda name: int(name[1:]))].to_numpy()
