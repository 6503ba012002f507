"""Data sets whose labels are the folders that the images lie in."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from common.errors import UserError, listing


def class_folders(
    root: Path, classes: Sequence[str], suffixes: Sequence[str], complete: bool = True, siblings: bool = True
) -> pd.DataFrame:
    """`root/<class>/**/<image>` → id, path (absolute), label (position of the folder's name in `classes`).

    Rows stand in the order of torchvision's ImageFolder: folders sorted, then files. An id is the path below `root`
    without suffix; of files that differ in their suffix alone, `siblings`, the one whose suffix comes first in
    `suffixes` (".jpg", in any case) counts. Hidden files are passed over.

    Raises:
        UserError: no such folder, a folder of no class, a class without a folder (where they should be `complete`), a
            file of another suffix, no images; siblings, where these are not the same image in several formats.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; it should hold one folder for each class: {listing(classes, 5)}")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if unknown := sorted(set(names) - set(classes)):
        raise UserError(f"{root} has folders of no class: {listing(unknown)}; the classes are {listing(classes, 30)}")
    if complete and (missing := sorted(set(classes) - set(names))):
        raise UserError(f"{root} has no folder for {listing(missing)}; are the data whole, and is that a class?")
    rows = [
        (id, path, classes.index(name)) for name in names for id, path in images_below(root, name, suffixes, siblings)
    ]
    if not rows:
        raise UserError(f"there is no image ({', '.join(suffixes)}) in the class folders of {root}")
    return pd.DataFrame(rows, columns=["id", "path", "label"])


def images_below(root: Path, folder: str, suffixes: Sequence[str], siblings: bool = True) -> list[tuple[str, str]]:
    """(id, path) of the images in one class folder and below it. Raises UserError, as `class_folders`."""
    found: dict[str, list[tuple[int, str]]] = {}
    for where, _, files in sorted(os.walk(root / folder, followlinks=True)):
        for file in sorted(files):
            stem, suffix = os.path.splitext(f"{where}/{file}")  # noqa: PTH122 (plain strings are quick)
            if file.startswith("."):
                continue
            if suffix.lower() not in suffixes:
                raise UserError(f"{where}/{file} is no image ({', '.join(suffixes)}); remove it")
            known = (suffixes.index(suffix.lower()), f"{where}/{file}")
            found.setdefault(os.path.relpath(stem, root), []).append(known)
    several = [" and ".join(path for _, path in files) for files in found.values() if len(files) > 1]
    if several and not siblings:
        raise UserError(f"{listing(several, 3)} differ in the suffix alone, which an id has not; rename or remove one")
    return [(id, min(files)[1]) for id, files in found.items()]
