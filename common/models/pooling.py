"""Pooling between the feature map and the classifier, and its place in a network that was built with the average.

Average and maximum side by side are timm's `catavgmax`; the others are here.
"""

import torch
from torch import nn
from torchvision.ops import Permute

from common.errors import UserError


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


class GatedAttention(nn.Module):
    """Mean over the positions h of a feature map, weighted by softmax of w·(tanh(V h) ⊙ sigmoid(U h)).

    Ilse, Tomczak and Welling 2018, equation 9, with biases. w starts at zero, so that training starts from average
    pooling, exactly. Input (N, C, H, W); output (N, C, 1, 1), or (N, C) with `flatten`.
    """

    def __init__(self, channels: int, hidden: int = 128, flatten: bool = True) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, hidden, 1)
        self.gate = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1, bias=False)  # a bias would shift all positions alike
        nn.init.zeros_(self.score.weight)
        self.flatten = flatten

    def attention(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → float32 (N, 1, H, W), the weights of the positions, which sum to 1."""
        scores = self.score(self.value(features).tanh() * self.gate(features).sigmoid()).float()
        return scores.flatten(1).softmax(1).view_as(scores)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pooled = (self.attention(features) * features).sum((2, 3), keepdim=True).to(features.dtype)
        return pooled.flatten(1) if self.flatten else pooled


class OverTokens(nn.Module):
    """A pooling of feature maps over a transformer's patches: tokens (N, L, C), of which the first `prefix` are not
    patches, → (N, C), or (N, 2 C) for average and maximum.

    Tokens are signed, and GeM sees their positive part alone.
    """

    def __init__(self, pooling: nn.Module, prefix: int) -> None:
        super().__init__()
        self.pooling, self.prefix = pooling, prefix

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.pooling(tokens[:, self.prefix :].transpose(1, 2).unsqueeze(-1))


def pool_tokens(model: nn.Module, pooling: str, backbone: str) -> None:
    """Put `pooling` over the patches of a transformer of timm, in place of its class token or average.

    Raises:
        UserError: its weights come with an attention pooling of their own, or a normalization behind the pooling that
            does not take twice the width.
    """
    if model.attn_pool is not None:
        raise UserError(f"pooling '{pooling}': {backbone} was made with an attention pooling; use --pooling avg")
    if pooling == "avgmax" and not isinstance(model.fc_norm, nn.Identity):
        raise UserError(f"pooling 'avgmax': {backbone} normalizes what it pooled, of one width; use --pooling avg")
    model.attn_pool = OverTokens(pooling_of(pooling, model.embed_dim), model.num_prefix_tokens)
    model.pool_include_prefix = True  # timm's networks differ in what they hand over; this one takes all tokens
    if pooling == "avgmax":
        model.head = nn.Linear(2 * model.head.in_features, model.head.out_features)


def pooling_of(name: str, channels: int, flatten: bool = True) -> nn.Module:
    """(N, channels, H, W) → (N, channels), or twice that for 'avgmax'; with H = W = 1 kept unless `flatten`."""
    from timm.layers import SelectAdaptivePool2d

    if name == "gem":
        return GeM(flatten=flatten)
    if name == "attention":
        return GatedAttention(channels, flatten=flatten)
    return SelectAdaptivePool2d(pool_type="catavgmax", flatten=flatten)


def replace_pooling(model: nn.Module, pooling: str, kind: type, channels: int, backbone: str) -> None:
    """Put `pooling` where the one average pooling to a single position stands, a module of `kind` on `channels`.

    Raises:
        UserError: there is none, or more than one.
    """
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, kind) and getattr(module, "output_size", 1) in (1, (1, 1))
    ]
    if len(found) != 1:
        raise UserError(f"pooling '{pooling}': {backbone} has no single average pooling to replace; use --pooling avg")
    name, old = found[0]
    parent, _, leaf = name.rpartition(".")
    # timm's heads tell their width, which in VGG is not that of the feature map.
    channels = getattr(model.get_submodule(parent), "in_features", channels)
    # timm's fast pooling, that of networks whose channels come last, flattens by itself and names its dimensions.
    inner = getattr(old, "pool", old)
    flatten = isinstance(getattr(old, "flatten", None), nn.Flatten) or getattr(inner, "flatten", False)
    new = pooling_of(pooling, channels, flatten)
    if getattr(inner, "dim", (2, 3)) == (1, 2):
        new = nn.Sequential(Permute([0, 3, 1, 2]), new)
    setattr(model.get_submodule(parent), leaf, new)


def widened_state(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """`state` of a network with average pooling, for the same one with average and maximum side by side.

    A layer behind the pooling (in MobileNet V3 not the classifier, but a convolution) keeps its weights for the
    average and starts with none for the maximum, so that the network answers as before.
    """
    widened = {}
    for name, ours in model.state_dict().items():
        theirs = state.get(name)
        if (
            theirs is not None
            and ours.ndim > 1
            and ours.shape == (theirs.shape[0], 2 * theirs.shape[1], *ours.shape[2:])
        ):
            widened[name] = torch.cat((theirs, torch.zeros_like(theirs)), dim=1)
    return state | widened
