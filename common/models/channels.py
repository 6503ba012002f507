"""First layers for images of other than three channels, from weights made for three."""

from collections.abc import Sequence

import torch
from torch import nn


def adapt_first_layer(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A convolution's weights (O, 3, h, w) → (O, channels, h, w).

    The first three channels keep theirs, every further one gets their mean, and all are scaled by 3 / channels; fewer
    than three get the mean alone. So a grey image repeated over the channels is answered as it was before, exactly, in
    contrast to `timm.models.adapt_input_conv`, which repeats the first channels where 3 does not divide the number.
    """
    mean = weight.mean(dim=1, keepdim=True)
    kept = weight if channels >= 3 else weight[:, :0]
    further = mean.expand(-1, channels - kept.shape[1], -1, -1)
    return torch.cat((kept, further), dim=1) * (3 / channels)


def adapted_state(state: dict[str, torch.Tensor], model: nn.Module, channels: int) -> dict[str, torch.Tensor]:
    """`state` with the first layer's weights adapted, where they are a convolution of three channels."""
    if channels == 3:
        return state
    weights = {name: state[name] for layer in first_layers(model) if (name := f"{layer}.weight") in state}
    return state | {
        name: adapt_first_layer(weight, channels)
        for name, weight in weights.items()
        if weight.ndim == 4 and weight.shape[1] == 3
    }


def first_layers(model: nn.Module) -> tuple[str, ...]:
    """The names of the layers that see the image: timm says so, elsewhere it is the first convolution."""
    named = getattr(model, "pretrained_cfg", {}).get("first_conv")
    if named is None:
        named = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return (named,) if isinstance(named, str) else tuple(named)


def widen_first_layer(model: nn.Module, channels: int) -> None:
    """Put a fresh first convolution of `channels` channels into a network that was built for three."""
    (name,) = first_layers(model)
    old = model.get_submodule(name)
    bias = old.bias is not None
    parent, _, leaf = name.rpartition(".")
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=bias)
    setattr(model.get_submodule(parent), leaf, new)


def extended(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """The mean or standard deviation of three channels for `channels` of them: further ones get the average."""
    kept = tuple(values) if channels >= 3 else ()
    return kept + (sum(values) / len(values),) * (channels - len(kept))
