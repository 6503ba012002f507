"""Tensors that we write for ourselves: .safetensors files that any reader takes, and that say if they are whole."""

import hashlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from common.files import damaged, write_atomically

DIGEST = "sha256"
"""The name of the digest in the file's metadata."""


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write named tensors, whole or not at all. Raises UserError: see `write_atomically`."""
    content = save(tensors, metadata={DIGEST: digest_of(tensors)})
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, of whatever origin; compared with the digest where the file has one.

    Raises:
        UserError: its bytes are not those that were written.
        SafetensorError: it is no such file, or not a whole one.
    """
    with safe_open(path, framework="pt") as file:
        digest = (file.metadata() or {}).get(DIGEST)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if digest is not None and digest != digest_of(tensors):
        raise damaged(path)
    return tensors


def digest_of(tensors: dict[str, torch.Tensor]) -> str:
    """Over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
