"""Where a network looked: Grad-CAM for maps of features, attention roll-out for sequences of tokens.

Grad-CAM (Selvaraju et al., 2017): each channel of the last map counts by the mean gradient of the output over the map,
and what is left above zero speaks for the output. Only the head is differentiated, which makes it cheap. Roll-out
(Abnar and Zuidema, 2020): attention, averaged over heads and mixed with the residual by halves, is multiplied through
the layers; it says what was looked at, and not what for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from common.models.build import Network

LAST_MAPS = ("features", "layer4", "conv5", "Mixed_7c")
"""Where torchvision's networks end before they pool; timm's tell it themselves."""


def looked_at(network: Network, images: torch.Tensor, outputs: torch.Tensor | None) -> tuple[str, np.ndarray] | None:
    """How, in words, and float32 (n, h, w) in [0, 1], coarse; None where this kind of network is not understood.

    Args:
        images: uint8 (n, C, H, W) on the network's device.
        outputs: int (n,): for which output of the network the evidence is.
    """
    network.eval()
    inputs, backbone = network.normalize(images), network.backbone
    if hasattr(backbone, "forward_features"):
        with attention_kept(backbone) as layers, torch.no_grad():
            features = backbone.forward_features(inputs)
        if isinstance(features, torch.Tensor) and features.ndim == 4:
            last = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
            return "Grad-CAM", grad_cam(backbone.forward_head, features, outputs, channels_last=last)
        return ("attention roll-out", rolled_out(backbone, layers)) if layers else None
    if ends := [name for name in LAST_MAPS if hasattr(backbone, name)]:
        features, head = opened_at(backbone, ends[0], inputs)
        return "Grad-CAM", grad_cam(head, features, outputs)
    return None


def grad_cam(
    head: Callable[[torch.Tensor], torch.Tensor],
    features: torch.Tensor,
    outputs: torch.Tensor,
    channels_last: bool = False,
) -> np.ndarray:
    """float32 (n, h, w) in [0, 1] of a feature map (n, C, h, w), or (n, h, w, C), and what follows it."""
    features = features.detach().requires_grad_()
    # The head gets a copy, for it may change it in place.
    chosen = head(features.clone()).gather(1, outputs[:, None].to(features.device)).sum()
    (gradient,) = torch.autograd.grad(chosen, features)
    place, channel = ((1, 2), 3) if channels_last else ((2, 3), 1)
    evidence = (gradient.mean(place, keepdim=True) * features).sum(channel).relu()
    return scaled(evidence)


def opened_at(
    backbone: nn.Module, name: str, inputs: torch.Tensor
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """What the module gives for the inputs, and the network from there on as a function of that."""
    part, kept = backbone.get_submodule(name), []
    hook = part.register_forward_hook(lambda module, given, result: kept.append(result.clone()))
    with torch.no_grad():
        backbone(inputs)
    hook.remove()

    def head(features: torch.Tensor) -> torch.Tensor:
        hook = part.register_forward_hook(lambda module, given, result: features)
        try:
            return backbone(inputs)
        finally:
            hook.remove()

    return kept[0], head


@contextmanager
def attention_kept(backbone: nn.Module) -> Iterator[list[torch.Tensor]]:
    """While it is open, what each layer of a transformer attends to, mean over heads (n, T, T), is added to the list.
    It is seen on its way through the dropout behind the softmax, which fused attention skips."""
    kept: list[torch.Tensor] = []
    fused = [module for module in backbone.modules() if getattr(module, "fused_attn", False)]
    drops = [module for name, module in backbone.named_modules() if name.endswith("attn_drop")]

    def keep(module, given, result) -> None:
        if result.ndim == 4 and result.shape[-1] == result.shape[-2]:
            kept.append(result.mean(1))

    hooks = [module.register_forward_hook(keep) for module in drops]
    for module in fused:
        module.fused_attn = False
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()
        for module in fused:
            module.fused_attn = True


def rolled_out(backbone: nn.Module, layers: list[torch.Tensor]) -> np.ndarray:
    """float32 (n, h, w) in [0, 1]: how much of each patch reaches what is pooled, the class token or all patches."""
    tokens = layers[0].shape[-1]
    identity = torch.eye(tokens, device=layers[0].device)
    reached = identity.expand_as(layers[0])
    for attention in layers:
        reached = (attention + identity) / 2 @ reached
    before = getattr(backbone, "num_prefix_tokens", 0)
    own_pooling = getattr(backbone, "attn_pool", None) is not None
    from_token = before and not own_pooling and getattr(backbone, "global_pool", "") == "token"
    patches = (reached[:, 0] if from_token else reached[:, before:].mean(1))[:, before:]
    height, width = backbone.patch_embed.grid_size
    return scaled(patches.unflatten(1, (height, width)))


def scaled(maps: torch.Tensor) -> np.ndarray:
    """(n, h, w) → float32 in [0, 1], each map by itself; a map that is the same everywhere is all 0."""
    flat = maps.detach().float().flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return ((flat - low) / (high - low).clamp(min=1e-12)).reshape(maps.shape).cpu().numpy()
