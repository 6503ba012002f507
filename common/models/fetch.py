"""Filling a folder with weights, to carry to a machine without a network."""

from pathlib import Path

from common.errors import UserError, listing
from common.files import write_atomically
from common.models.folder import SUMS, add_checksum, checked_file, checksums
from common.models.registry import source_of


def fetch(names: tuple[str, ...], folder: Path) -> None:
    """Write `<name>.safetensors` and its checksum for every name; what is there already is checked and kept.

    Raises:
        UserError: a name is unknown or has no weights (before anything is fetched), weights cannot be had, or the
            folder not be written.
    """
    from common.models.weights import has_weights

    sources = {name: source_of(name) for name in names}
    if without := [name for name, source in sources.items() if not has_weights(source)]:
        raise UserError(f"fetch: timm has no weights for {listing(without)}; leave that out")
    for number, (name, source) in enumerate(sources.items(), 1):
        file = folder / f"{name}.safetensors"
        there = file.is_file() and file.name in checksums(folder)
        if not there:
            _write(name, file)
        checked_file(folder, name)
        state = "there already" if there else f"from {source.weights}"
        print(f"[{number}/{len(sources)}] {file}: {file.stat().st_size / 1e6:,.1f} MB, {state}", flush=True)
    print(f"carry {folder} along with its {SUMS}; there, --weights {folder} or WEIGHTS_DIR={folder} takes them")


def _write(name: str, file: Path) -> None:
    from safetensors.torch import save_file

    from common.models.weights import download

    try:
        state = download(name)
    except UserError as error:
        raise UserError(f"{error}; with a network the same command goes on from here") from error
    tensors = {key: value.contiguous() for key, value in state.items()}
    write_atomically(file, lambda temporary: save_file(tensors, temporary))
    add_checksum(file)
