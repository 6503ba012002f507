"""Wheels of what Kaggle's image lacks, or has in another version, rebuilt from what is installed here: no network.

Only pure-Python packages can travel so. The compiled ones that the project uses (torch, torchvision, numpy, pandas,
pyarrow, scikit-learn, scipy, OpenCV, Pillow, PyWavelets, pydantic, safetensors) are in the image.
"""

import base64
import csv
import hashlib
import io
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import PurePosixPath

from common.errors import UserError
from common.zipped import zip_bytes

PACKAGES = ("timm", "ttach", "ImageHash", "tyro", "typeguard", "docstring-parser")
"""What prediction and training import and the image may lack: the networks, whose names and outputs depend on timm's
version; the views; hashes of images; the command line, with what it needs. The image has albumentations 2.0.8 too."""
OF_THE_INSTALLER = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")


def versions() -> dict[str, str]:
    """Package → version of what `wheels` holds."""
    return {name: installed(name).version for name in PACKAGES}


def wheels() -> dict[str, bytes]:
    """File name → content of every wheel, the same bytes for the same installed files.

    Raises:
        UserError: a package is not installed here, or is not pure Python.
    """
    return dict(wheel(installed(name)) for name in PACKAGES)


def installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise UserError(f"package {name} is not installed here, so it cannot go to Kaggle; `make setup`") from None


def wheel(package: Distribution) -> tuple[str, bytes]:
    """`name-version-py3-none-any.whl` and its content."""
    tags = [line.split()[1] for line in (package.read_text("WHEEL") or "").splitlines() if line.startswith("Tag:")]
    if not any(tag.endswith("-none-any") and "py3" in tag for tag in tags):
        raise UserError(f"package {package.name} is not pure Python ({', '.join(tags)}): Kaggle's image must bring it")
    files = {str(path): path.locate().read_bytes() for path in package.files or () if belongs(PurePosixPath(path))}
    about = next(PurePosixPath(name).parent for name in files if name.endswith(".dist-info/METADATA"))
    files[f"{about}/RECORD"] = record(files, f"{about}/RECORD")
    return f"{about.name.removesuffix('.dist-info')}-py3-none-any.whl", zip_bytes(files)


def belongs(path: PurePosixPath) -> bool:
    """Whether an installed file came out of the wheel: not a script or a manual beside the packages, not compiled
    since, not the installer's own."""
    inside = not path.is_absolute() and ".." not in path.parts
    of_installer = path.parent.suffix == ".dist-info" and path.name in OF_THE_INSTALLER
    return inside and "__pycache__" not in path.parts and not of_installer


def record(files: dict[str, bytes], own_name: str) -> bytes:
    """The list of files that a wheel carries, as PEP 427 wants it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(files[name])])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()
