"""Zip archives: unpacked without trusting them, once, and so that a killed start goes on."""

import fcntl
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.files import content_hash
from common.progress import Progress

MEGABYTE = 1024**2


def unpacked(archive: Path, root: Path, name: str) -> Path:
    """The folder `root/<name>-<archive's stem>-<8 hex digits of its table of contents>` that holds what is in a zip:
    there already, or unpacked beside it, going on where an earlier start stopped, and then renamed.

    Raises:
        UserError: as `unpack`; the folder cannot be written.
    """
    folder = root / f"{name}-{archive.stem}-{contents_hash(archive)}"
    if folder.is_dir():
        return folder
    unfinished = root / f".{folder.name}.unfinished"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f".{folder.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process that unpacks the same is waited for
            if not folder.is_dir():
                unfinished.mkdir(exist_ok=True)
                unpack(archive, unfinished)
                unfinished.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; free some space or mend it") from error
    return folder


def folders_in(folder: Path) -> list[Path]:
    """The folders directly in it, sorted; neither hidden ones nor those that macOS adds to its archives."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def contents_hash(archive: Path) -> str:
    """8 hex digits over names, sizes and checksums in a zip's table of contents: quick, and the same wherever it lies.

    Raises:
        UserError: the file is no zip.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            return content_hash([(member.filename, member.file_size, member.CRC) for member in packed.infolist()], 8)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{archive} cannot be read as a zip archive ({error}): download it again") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into `folder`; files that are there with the right size stay.

    Raises:
        UserError: the archive is broken, or a member would lie outside the folder or is a link: nothing is unpacked.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            for member in members:
                _check_member(member, archive)
            left = [member for member in members if not _is_there(folder / member.filename, member.file_size)]
            check_space(folder, sum(member.file_size for member in left), archive.name)
            with Progress(
                len(members), f"unpacking {archive.name}", "files", done=len(members) - len(left)
            ) as progress:
                for member in left:
                    packed.extract(member, folder)
                    progress.update(1)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UserError(f"{archive} is broken ({error}): delete it and download again") from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises UserError where `folder`'s disk has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs {needed / MEGABYTE:,.0f} MB in {folder}, where {free / MEGABYTE:,.0f} MB are free: "
            "free some space or choose another folder"
        )


def _check_member(member: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{archive} is not safe: '{member.filename}' would lie outside the folder; nothing is unpacked")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{archive} is not safe: '{member.filename}' is a link; nothing is unpacked")


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
