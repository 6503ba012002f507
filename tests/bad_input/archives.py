"""What can be wrong with an archive of a download."""

import io
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import PREPARE, Case
from tests.bad_input.tables import READY
from tests.bad_input.worlds import NAMES

ZIPPED = (*PREPARE, "--data", "download.zip")


def zipped(raw: Path, inside: str = "", **settings) -> zipfile.ZipFile:
    """`download.zip` in the working folder, of the whole download, which is then gone; still open."""
    archive = zipfile.ZipFile(raw.parent.parent / "download.zip", "w", **settings)
    for file in sorted(path for path in raw.rglob("*") if path.is_file()):
        archive.write(file, Path(inside, file.relative_to(raw)))
        file.unlink()
    return archive


def whole(inside: str = "", **settings) -> Callable[[Path], None]:
    return lambda raw: zipped(raw, inside, **settings).close()


def with_member(name: str, content: bytes = b"x", kind: int = stat.S_IFREG) -> Callable[[Path], None]:
    """The whole, and behind it one member of this name and kind."""

    def spoil(raw: Path) -> None:
        member = zipfile.ZipInfo(name)
        member.external_attr = (kind | 0o644) << 16
        with zipped(raw) as archive:
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)

    return spoil


def bytes_in_its_place(content: bytes) -> Callable[[Path], None]:
    def spoil(raw: Path) -> None:
        shutil.rmtree(raw)
        (raw.parent.parent / "download.zip").write_bytes(content)

    return spoil


def changed(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The bytes of the whole archive, changed."""

    def spoil(raw: Path) -> None:
        zipped(raw).close()
        path = raw.parent.parent / "download.zip"
        path.write_bytes(edit(path.read_bytes()))

    return spoil


def flipped(data: bytes) -> bytes:
    """One bit of the first member's content is another."""
    at = data.index(b"IHDR")
    return data[:at] + b"IHDS" + data[at + 4 :]


def encrypted(data: bytes) -> bytes:
    """The flag of encryption is set for every member."""
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            flags = struct.unpack_from("<H", data, at + offset)[0] | 1
            data = data[: at + offset] + struct.pack("<H", flags) + data[at + offset + 2 :]
            at = data.find(signature, at + 4)
    return data


def of_method(method: int) -> Callable[[bytes], bytes]:
    """Every member is said to be packed in this way."""

    def edit(data: bytes) -> bytes:
        for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            at = data.find(signature)
            while at >= 0:
                data = data[: at + offset] + struct.pack("<H", method) + data[at + offset + 2 :]
                at = data.find(signature, at + 4)
        return data

    return edit


def claims(size: int) -> Callable[[bytes], bytes]:
    """The table of contents says of the last member that it unpacks to this size."""

    def edit(data: bytes) -> bytes:
        at = data.rindex(b"PK\x01\x02")
        return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]

    return edit


def nothing_unpacked(raw: Path, _: str) -> None:
    """Beside the working folder or in it: of the archive there is nothing but an empty lock."""
    assert not list(raw.parent.parent.parent.glob("outside*"))
    assert not Path("/tmp/outside-5cc23def.png").exists()
    left = [path for path in raw.parent.rglob("*") if path.is_file() and path.stat().st_size]
    assert not left


def a_plain_file(raw: Path, _: str) -> None:
    (member,) = raw.parent.glob("aptos-download-*/outside")
    assert stat.S_ISREG(member.lstat().st_mode)


EMPTY = io.BytesIO()
zipfile.ZipFile(EMPTY, "w").close()


def unsafe(name: str, spoil: Callable[[Path], None], said: str) -> Case:
    return Case(f"an archive {name}", spoil, said, words=ZIPPED, check=nothing_unpacked)


def broken(name: str, spoil: Callable[[Path], None], said: str) -> Case:
    """What was whole before the fault may stay under a hidden name, for an archive that is downloaded again."""
    return Case(f"an archive {name}", spoil, said, words=ZIPPED)


def read(name: str, spoil: Callable[[Path], None], competitions: tuple[str, ...] = ("aptos",), check=None) -> Case:
    return Case(f"an archive {name}", spoil, READY, competitions, ZIPPED, handled=True, check=check)


CASES = [
    read("of the download", whole(), NAMES),
    read("with everything in a folder", whole("inner"), NAMES),
    read("packed by LZMA", whole(compression=zipfile.ZIP_LZMA)),
    read("with a comment", changed(lambda data: data[:-2] + b"\5\0hello")),
    read("with a program before it", changed(lambda data: b"#!/bin/sh\n" + data)),
    read("with a device, which becomes a plain file", with_member("outside", b"", stat.S_IFCHR), check=a_plain_file),
    unsafe("that leads out of its folder", with_member("../outside.png"), "'../outside.png' would lie outside"),
    unsafe("that leads out further on", with_member("a/../../outside.png"), "would lie outside the folder"),
    unsafe(
        "of an absolute path", with_member("/tmp/outside-5cc23def.png"), "'/tmp/outside-5cc23def.png' would lie outside"
    ),
    unsafe("of a path of Windows", with_member("C:\\outside.png"), "would lie outside the folder"),
    unsafe("that leads out by backslashes", with_member("..\\outside.png"), "would lie outside the folder"),
    unsafe("with a link", with_member("outside", b"/etc/passwd", stat.S_IFLNK), "'outside' is a link"),
    unsafe("that is a bomb", changed(claims(2**31)), "0.0 MB would become 2,048 MB"),
    unsafe("that is encrypted", changed(encrypted), "encrypted"),
    unsafe("packed in an unknown way", changed(of_method(99)), "is broken"),
    unsafe("that breaks off", changed(lambda data: data[: len(data) // 2]), "download it again"),
    unsafe("whose table of contents breaks off", changed(lambda data: data[:-60]), "download.zip"),
    unsafe("of no files", bytes_in_its_place(EMPTY.getvalue()), "train.csv"),
    unsafe("of no bytes", bytes_in_its_place(b""), "cannot be read as a zip archive"),
    unsafe("that is a tar", bytes_in_its_place(b"\x1f\x8b\x08\0" + bytes(99)), "cannot be read as a zip archive"),
    unsafe("that is a web page", bytes_in_its_place(b"<html>Sign in</html>"), "cannot be read as a zip archive"),
    broken("that holds more than it says", changed(claims(10)), "is broken"),
    broken("with a name too long for the disk", with_member("x" * 300), "xxx: File name too long"),
    broken("with a file where a folder should be", with_member("train.csv/outside"), "train.csv: "),
    broken("of a wrong checksum", changed(flipped), "is broken"),
]
