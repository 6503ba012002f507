"""Pre-trained weights, mapped by name and shape. What was asked for is what is loaded, or the command stops."""

from pathlib import Path

import torch
from torch import nn

from common.errors import UserError, listing
from common.models.pooling import GatedAttention, GeM

BRANCH, GALLERY = "metadata.", "gallery."
"""What a run's weights file holds beside the backbone: the branch for metadata, ArcFace's embeddings of images."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a .safetensors file, or of a .pth / .pt file read without unpickling code.

    Raises:
        UserError: the file is missing, is not such a file, or holds a value that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights: no file {path}; give --weights FILE.safetensors or --weights none")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"weights: cannot read {path}: {error}") from error
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise UserError(f"weights: {path} holds NaN or infinite values in {listing(broken)}")
    return state


def load_weights(model: nn.Module, state: dict[str, torch.Tensor], head: str, old_head: str, source: str) -> None:
    """Copy `state` into `model`, strictly but for the classifier and a pooling that is learned.

    `head` and `old_head` are the names of the classifier in `model` and in the original constructor. A classifier of
    another shape keeps its fresh values; anything else that is missing, unexpected or of another shape is an error.

    Raises:
        UserError: lists every key that does not fit.
    """
    ours = model.state_dict()
    fitting = {name: value for name, value in state.items() if name in ours and ours[name].shape == value.shape}
    free = (head + ".", old_head + ".")
    pooling = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, (GeM, GatedAttention)))
    missing = [name for name in ours if name not in state and not name.startswith(free + pooling)]
    unexpected = [name for name in state if name not in ours and not name.startswith(free)]
    misshapen = [
        f"{name} {tuple(state[name].shape)} for {tuple(ours[name].shape)}"
        for name in state
        if name in ours and name not in fitting and not name.startswith(free)
    ]
    problems = [("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen)]
    if any(names for _, names in problems):
        told = "; ".join(f"{what}: {listing(names, 6)}" for what, names in problems if names)
        raise UserError(f"weights: {source} does not fit this backbone: {told}")
    model.load_state_dict(fitting, strict=False)


def split(state: dict[str, torch.Tensor], prefix: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The tensors whose names lack the prefix, and those that have it, named without it."""
    rest = {name: value for name, value in state.items() if not name.startswith(prefix)}
    return rest, {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}


def load_branch(branch: nn.Module | None, state: dict[str, torch.Tensor]) -> None:
    """Copy a run's branch for metadata into a network's, if the network has one and all tensors fit.

    It belongs to the classifier, and as that it stays fresh where it is of another shape, and is left out where the
    network has none.
    """
    ours = {} if branch is None else branch.state_dict()
    if ours and {name: value.shape for name, value in ours.items()} == {name: state[name].shape for name in state}:
        branch.load_state_dict(state)


def hub_weights(library: str, backbone: str) -> dict[str, torch.Tensor]:
    """The ImageNet weights from the hub or its cache: timm's default tag, or torchvision's first (V1) weights.

    Raises:
        UserError: there are none, or they cannot be had (no network and no cache).
    """
    try:
        if library == "timm":
            import timm

            return timm.create_model(backbone, pretrained=True).state_dict()
        import torchvision

        enum = torchvision.models.get_model_weights(backbone)
        return enum["IMAGENET1K_V1"].get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(
            f"weights: ImageNet weights of {backbone} cannot be had ({reason}); give --weights FILE.safetensors, "
            "or --weights none to start at random"
        ) from error
