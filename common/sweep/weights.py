"""Whether the weights of a grid can be had, before a night is spent on finding out."""

import os
import socket
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from common.models.folder import chosen_file
from common.recipe import Recipe

HUB_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def obstacle(recipe: Recipe) -> str:
    """Why a recipe's weights cannot be had on this machine, and the way out; empty where they can."""
    return _obstacle(recipe.weights, recipe.backbone)


@cache
def _obstacle(weights: str, backbone: str) -> str:
    if weights == "none":
        return ""
    folder = os.environ.get("WEIGHTS_DIR", "") if weights == "imagenet" else weights
    if folder:
        file = chosen_file(folder, backbone)
        return "" if file.is_file() else f"weights: there is no {file}"
    address = _address_unless_cached(backbone)
    if not address or _reachable(urlsplit(address).hostname or ""):
        return ""
    return (
        f"weights: those of {backbone} are not on this machine, and there is no network; with one "
        f"`python -m common.models fetch {backbone}` fills a folder for --weights"
    )


def _address_unless_cached(backbone: str) -> str:
    """Where the weights would come from; empty where they have come already."""
    import torch

    from common.models.registry import source_of

    source, hub = source_of(backbone), Path(torch.hub.get_dir()) / "checkpoints"
    if source.torchvision_weights:
        import torchvision

        url = torchvision.models.get_weight(source.weights).url
        return "" if (hub / Path(urlsplit(url).path).name).is_file() else url
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    config = timm.get_pretrained_cfg(source.weights)
    if config.hf_hub_id:
        names = {config.hf_hub_filename or HUB_FILES[0], *HUB_FILES}
        if any(isinstance(try_to_load_from_cache(config.hf_hub_id, name), str) for name in names):
            return ""
    if config.url and (hub / Path(urlsplit(config.url).path).name).is_file():
        return ""
    return constants.ENDPOINT if config.hf_hub_id else config.url or constants.ENDPOINT


@cache
def _reachable(host: str) -> bool:
    if {"https", "all"} & getproxies().keys():
        return True  # a proxy looks names up itself
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
