"""What a transformer knows by position, from weights made at another input size."""

import sys

import torch
from torch import nn


def resampled_state(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """`state` with position embeddings resampled to the model's own grid by timm (bicubic; in networks with windows the
    biases of relative positions too), where they are of another shape; unchanged where all fit."""
    ours = model.state_dict()
    misfits = [name for name, value in state.items() if name in ours and ours[name].shape != value.shape]
    resample = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if resample is None or not any("pos" in name for name in misfits):
        return state
    try:
        return resample(state, model)
    except RuntimeError:  # positions of no square grid: `load_weights` names them
        return state
