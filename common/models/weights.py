"""Pre-trained weights, mapped by name and shape. What was asked for is what is loaded, or the command stops."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from common.errors import UserError, listing
from common.models.folder import checked_file
from common.models.pooling import GatedAttention, GeM
from common.models.registry import Source, source_of
from common.models.tensors import read_tensors

BRANCH, GALLERY = "metadata.", "gallery."
"""What a run's weights file holds beside the backbone: the branch for metadata, ArcFace's embeddings of images."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types whose values are the weights themselves: those of fewer bits mean something with scales that lie elsewhere."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a .safetensors file, or of a .pth / .pt file read without unpickling code.

    Raises:
        UserError: the file is missing, is not such a file, is damaged, or holds a value that is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights: no file {path}; give --weights FILE.safetensors or --weights none")
    try:
        state = read_tensors(path) if path.suffix == ".safetensors" else read_pickled(path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"weights: cannot read {path}: {str(error) or type(error).__name__}") from error
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.float().isfinite().all()]
    if broken:
        raise UserError(f"weights: {path} holds NaN or infinite values in {listing(broken)}")
    return state


def read_pickled(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of a .pth / .pt file; code in it is not run. Raises UserError where it holds anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # whose text tells how to run the code
        raise UserError(
            f"weights: cannot read {path}: it is no file of tensors alone, and code in it is not run; save its state "
            "dict as .safetensors"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"weights: {path} holds a {type(state).__name__} in place of a state dict, names with tensors")
    if others := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise UserError(f"weights: {path} holds more than a state dict: {listing(others)}; save that alone")
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
    packed = [
        f"{name} {state[name].dtype}"
        for name in fitting
        if ours[name].is_floating_point() and state[name].dtype not in FLOATS and not name.startswith(free)
    ]
    problems = [
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", misshapen),
        ("not of 16, 32 or 64 bits", packed),
    ]
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


def find_weights(weights: str, backbone: str) -> dict[str, torch.Tensor]:
    """The state dict that a recipe asks for: 'imagenet' is `hub_weights`; else a file, or a folder that holds the
    backbone's (see `common.models.folder`).

    Raises:
        UserError: as `hub_weights`, `read_weights` and `checked_file`.
    """
    if weights == "imagenet":
        return hub_weights(backbone)
    folder = Path(weights).is_dir()
    return read_weights(checked_file(Path(weights), backbone) if folder else Path(weights))


def hub_weights(backbone: str) -> dict[str, torch.Tensor]:
    """The weights that a name stands for: those of the zoo for its names, timm's default or the tag given (`name.tag`)
    for other networks of timm, torchvision's first (V1) for its own. From the folder WEIGHTS_DIR of the environment
    where that is set, else from the libraries' caches or the network.

    Raises:
        UserError: there are none, or they cannot be had (no network and no cache).
    """
    folder = os.environ.get("WEIGHTS_DIR")
    if folder:
        return read_weights(checked_file(Path(folder), backbone))
    try:
        return download(backbone)
    except UserError as error:
        raise UserError(
            f"{error}; give --weights FILE.safetensors, a folder filled by `python -m common.models fetch {backbone}`, "
            "or none to start at random"
        ) from error


def download(backbone: str) -> dict[str, torch.Tensor]:
    """`hub_weights`, from the libraries alone."""
    source = source_of(backbone)
    try:
        return _torchvision_weights(source) if source.torchvision_weights else _timm_weights(source)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"weights: ImageNet weights of {backbone} cannot be had ({reason})") from error


def _torchvision_weights(source: Source) -> dict[str, torch.Tensor]:
    import torchvision

    # Through the network, since DenseNet's file has older names than its constructor.
    weights = torchvision.models.get_weight(source.weights)
    return torchvision.models.get_model(source.constructor, weights=weights).state_dict()


def has_weights(source: Source) -> bool:
    """False for some of timm's networks; torchvision has weights for all of its own."""
    import timm

    return source.torchvision_weights or timm.get_pretrained_cfg(source.weights).has_weights


def _timm_weights(source: Source) -> dict[str, torch.Tensor]:
    import timm

    if not has_weights(source):
        raise LookupError("timm has none, and would start at random")  # it only warns
    with _no_vain_retries():
        return timm.create_model(source.weights, pretrained=True).state_dict()


@contextmanager
def _no_vain_retries() -> Iterator[None]:
    """Where the hub's name cannot even be looked up, only its cache is tried: it would retry for most of a minute."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        if not {"https", "all"} & getproxies().keys():  # a proxy looks names up itself
            socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
