"""The last resumable state of a fold: written whole or not at all, checked by its digest, read without pickled code."""

import hashlib
import io
from pathlib import Path

import torch

from common.errors import UserError
from common.files import write_atomically

DIGEST = hashlib.sha256().digest_size


def save_state(path: Path, state: dict) -> None:
    """Write a dict of tensors and plain values: the SHA-256 of the rest, then the rest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).digest()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(digest)
            file.write(payload)

    write_atomically(path, write)


def load_state(path: Path, device: torch.device) -> dict | None:
    """The state, or None where there is none or it is damaged: the fold then starts again and ends the same.

    Raises:
        UserError: it is whole, and not ours: it holds more than tensors and plain values.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        return None
    try:
        return torch.load(io.BytesIO(content[DIGEST:]), map_location=device, weights_only=True)
    except Exception as error:  # pickled code, which is not run
        raise UserError(
            f"{path} is not what a training leaves: remove it, and the same command starts the fold again"
        ) from error
