"""Zip archives: unpacked without trusting them, once, and so that a killed start goes on."""

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from common.errors import UserError
from common.files import content_hash
from common.locks import held
from common.progress import Progress
from common.volumes import joined, volumes

MEGABYTE = 1024**2
BOMB_RATIO, BOMB_SIZE = 100, 1024 * MEGABYTE
"""What unpacks to a hundred times its size and to more than this is no data set: tables shrink to a tenth at most."""

UNFINISHED = ".unfinished"
"""The name of a file while it is being unpacked."""

UNREADABLE = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError)
"""What zipfile raises for an archive that is broken, encrypted, or packed in a way that it does not know."""


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
        with held(root / f".{folder.name}.lock"):  # another process that unpacks the same is waited for
            if not folder.is_dir():
                unfinished.mkdir(exist_ok=True)
                unpack(archive, unfinished)
                unfinished.rename(folder)
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"cannot write {where}: {error.strerror or error}; free some space or mend it") from error
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


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack a zip into `folder`; files that are there with the right size stay. Of a zip in volumes, `train.zip.001`
    and so on, `archive` is the first.

    A file takes its name when it is whole and its checksum is right, so that what bears a name is to be trusted.

    Returns:
        The names of its files.

    Raises:
        UserError: the archive is broken (what is whole stays); or a member would lie outside the folder or is a link,
            or the whole is a bomb or too large for the disk: nothing is unpacked.
    """
    try:
        with _opened(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            _check(members, archive)
            folder.mkdir(parents=True, exist_ok=True)
            left = [member for member in members if not _is_there(folder / member.filename, member.file_size)]
            check_space(folder, sum(member.file_size for member in left), archive.name)
            done = len(members) - len(left)
            with Progress(len(members), f"unpacking {archive.name}", "files", done=done) as progress:
                for member in left:
                    _extract(packed, member, folder)
                    progress.update(1)
    except UNREADABLE as error:
        raise UserError(f"{archive} is broken ({error}): delete it and download again") from error
    return [member.filename for member in members]


def is_inner(name: str) -> bool:
    """Whether a file of an archive is itself one to unpack, directly in its folder: `train.zip`, `train.zip.001`."""
    return "/" not in name and name.endswith((".zip", ".zip.001"))


def unpack_inner(archive: Path) -> None:
    """Unpack `train.zip` (or its volumes) beside itself and delete it: into `train/`, unless that is where its contents
    begin, or it holds the one file `train`.

    Raises:
        UserError: as `unpack`; the archive stays.
    """
    name = archive.name.removesuffix(".001").removesuffix(".zip")
    try:
        with _opened(archive) as packed:
            begins = {member.filename.partition("/")[0] for member in packed.infolist()}
    except UNREADABLE as error:
        raise UserError(f"{archive} is broken ({error}): delete its folder and download again") from error
    unpack(archive, archive.parent if begins == {name} else archive.parent / name)
    for path in volumes(archive) if archive.suffix == ".001" else [archive]:
        path.unlink()


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises UserError where `folder`'s disk has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs {needed / MEGABYTE:,.0f} MB in {folder}, where {free / MEGABYTE:,.0f} MB are free: "
            "free some space or choose another folder"
        )


def _opened(archive: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(joined(volumes(archive)) if archive.suffix == ".001" else archive)


def _check(members: list[zipfile.ZipInfo], archive: Path) -> None:
    for member in members:
        _check_member(member, archive)
    size = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if size > max(BOMB_SIZE, BOMB_RATIO * packed):
        raise UserError(
            f"{archive} is not safe: {packed / MEGABYTE:,.1f} MB would become {size / MEGABYTE:,.0f} MB; nothing is "
            "unpacked"
        )


def _check_member(member: zipfile.ZipInfo, archive: Path) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{archive} is not safe: '{member.filename}' would lie outside the folder; nothing is unpacked")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{archive} is not safe: '{member.filename}' is a link; nothing is unpacked")


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """zipfile checks the checksum when the last byte is read: only then the file takes its name."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.parent / UNFINISHED
    try:
        with packed.open(member) as content, open(unfinished, "wb") as file:
            shutil.copyfileobj(content, file, MEGABYTE)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
