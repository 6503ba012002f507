"""A folder of weights to carry to a machine without a network: `<backbone>.safetensors` beside their SHA256SUMS."""

from pathlib import Path

from common.errors import UserError
from common.files import sha256_of_file, write_text

SUMS = "SHA256SUMS"


def chosen_file(weights: str, backbone: str) -> Path:
    """The file that `--weights` names: itself, or in a folder that of the backbone."""
    path = Path(weights)
    return path / f"{backbone}.safetensors" if path.is_dir() else path


def checked_file(folder: Path, backbone: str) -> Path:
    """The backbone's file in a folder.

    Raises:
        UserError: there is none, or it is not the one that SHA256SUMS there lists.
    """
    file = folder / f"{backbone}.safetensors"
    fetch = f"`python -m common.models fetch {backbone} --to {folder}`"
    if not file.is_file():
        raise UserError(f"weights: no {file.name} in {folder}; with a network {fetch} puts it there")
    expected = checksums(folder).get(file.name)
    if expected is not None and sha256_of_file(file) != expected:
        raise UserError(f"weights: {file} is not what {folder / SUMS} lists; remove it and {fetch} again")
    return file


def checksums(folder: Path) -> dict[str, str]:
    """File name → SHA-256, as `sha256sum` writes them; empty where there is no list."""
    file = folder / SUMS
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return {name.lstrip(" *"): digest for digest, _, name in (line.partition(" ") for line in lines)}


def add_checksum(file: Path) -> None:
    """Write a file's checksum into the list beside it; `sha256sum -c SHA256SUMS` reads it."""
    sums = checksums(file.parent) | {file.name: sha256_of_file(file)}
    write_text(file.parent / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
