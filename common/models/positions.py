"""What a network knows by position, from weights made at another input size."""

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
        return with_attention_pool(resample(state, model), model)
    except RuntimeError:  # positions of no square grid: `load_weights` names them
        return state


def with_attention_pool(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The same for the positions of the attention pooling in CLIP's ResNets, (1 + positions, C), which timm resamples
    when the network runs and not when its weights are read."""
    from timm.layers import AttentionPool2d, resample_abs_pos_embed

    pools = {f"{name}.pos_embed": m for name, m in model.named_modules() if isinstance(m, AttentionPool2d)}
    return state | {
        name: resample_abs_pos_embed(state[name][None], list(pool.feat_size), num_prefix_tokens=1)[0]
        for name, pool in pools.items()
        if name in state
    }
