"""Resumable uploads: what a PUT to the address of one brings, and where it goes on after a break."""

import re
from shutil import disk_usage

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from common.kaggle.practice.refused import Refused
from common.kaggle.practice.store import Store, Upload

CONTENT_RANGE = re.compile(r"bytes (?:\*|(\d{1,18})-(\d{1,18}))/(\d{1,18})")
FILE_NAME = re.compile(r"[\w][\w .()+=-]*")
LONGEST_NAME = 200


def start(store: Store, slug: str, name: str, size: int, largest: int, what: str) -> Upload:
    """Announce an upload for the competition `slug`, or for a dataset where that is ""."""
    if not FILE_NAME.fullmatch(name) or len(name.encode()) > LONGEST_NAME:
        raise Refused(400, f"{what}'s file name is a plain name of at most {LONGEST_NAME} bytes, without a folder")
    if not 0 < size <= largest:
        raise Refused(400, f"{what} has 1 to {largest:,} bytes, not {size:,}")
    if size > (free := disk_usage(store.state).free):
        raise Refused(400, f"{what} of {size:,} bytes does not fit on the server's disk, where {free:,} are free")
    return store.add_upload(slug, name, size)


async def receive(upload: Upload, request: Request) -> Response:
    """One PUT of a resumable upload: the whole file, the bytes from where it stopped, or the question where that is.

    Answers 200 when all bytes are there, else 308 with `Range: bytes=0-<last>` (none where nothing has come), after
    https://cloud.google.com/storage/docs/performing-resumable-uploads.
    """
    header = request.headers.get("Content-Range", f"bytes 0-{upload.size - 1}/{upload.size}")
    form = CONTENT_RANGE.fullmatch(header)
    if form is None or int(form[3]) != upload.size:
        raise Refused(400, f"Content-Range '{header}' does not fit an upload of {upload.size} bytes")
    if form[1] is not None and upload.received < upload.size:
        start = int(form[1])
        if start > upload.received:
            raise Refused(400, f"bytes {upload.received}-{start - 1} have not come yet")
        await _append(upload, start, request)
    if upload.received == upload.size:
        return JSONResponse({})
    headers = {"Range": f"bytes=0-{upload.received - 1}"} if upload.received else {}
    return Response(status_code=308, headers=headers)


async def _append(upload: Upload, start: int, request: Request) -> None:
    """Write the body from byte `start` on. What has come of a connection that breaks is kept."""
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    upload.path.touch()
    with open(upload.path, "r+b") as file:
        file.truncate(start)
        file.seek(start)
        try:
            async for chunk in request.stream():
                if file.tell() + len(chunk) > upload.size:
                    raise Refused(400, f"more bytes than the {upload.size} announced")
                file.write(chunk)
        except ClientDisconnect:
            pass
