"""The protocol over HTTP: POST /v1/<Service>/<Method> with JSON, PUT for uploads, GET for signed downloads."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from kagglesdk.competitions.types import competition_api_service as api
from kagglesdk.kaggle_object import KaggleObject
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from common.kaggle.practice import data
from common.kaggle.practice.board import Board, Refused
from common.kaggle.practice.store import Upload

CONTENT_RANGE = re.compile(r"bytes (?:\*|(\d+)-(\d+))/(\d+)")
OCTETS = "application/octet-stream"


def build(board: Board) -> FastAPI:
    """The application that serves `board`."""
    app = FastAPI(title="Practice leaderboard", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    app.add_exception_handler(Refused, lambda _, refused: _refusal(refused))
    calls, secret = _calls(board), board.store.secret()

    @app.post("/v1/competitions.CompetitionApiService/{method}")
    async def call(method: str, request: Request) -> Response:
        if method not in calls:
            raise Refused(404, f"the practice leaderboard has no {method}")
        schema, answer = calls[method]
        try:
            message = schema.from_dict(await request.json())
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise Refused(400, f"this is no {schema.__name__}: {error}") from error
        response = await run_in_threadpool(answer, message, str(request.base_url).rstrip("/"))
        return response if isinstance(response, Response) else JSONResponse(response.to_dict())

    @app.put("/uploads/{token}")
    async def upload(token: str, request: Request) -> Response:
        found = await run_in_threadpool(board.store.upload, token)
        if found is None:
            raise Refused(404, "no such upload")
        return await _receive(found, request)

    @app.get("/data/{slug}.zip")
    def archive(slug: str, expires: str = "0", signature: str = "") -> Response:
        data.check_signature(f"/data/{slug}.zip", expires, signature, secret)
        return FileResponse(data.archive(board.competition(slug), board.store.state), media_type=OCTETS)

    @app.get("/data/{slug}/{name:path}")
    def file(slug: str, name: str, expires: str = "0", signature: str = "") -> Response:
        data.check_signature(f"/data/{slug}/{name}", expires, signature, secret)
        return FileResponse(data.file(board.competition(slug), name), media_type=OCTETS)

    return app


def _calls(board: Board) -> dict[str, tuple[type[KaggleObject], Callable[[Any, str], KaggleObject | Response]]]:
    """The methods of the official client's competition service: request class, and answer to (request, base URL)."""
    secret = board.store.secret()

    def start_upload(request: api.ApiStartSubmissionUploadRequest, base: str) -> KaggleObject:
        started = board.start_upload(request)
        response = api.ApiStartSubmissionUploadResponse()
        response.token, response.create_url = started.token, f"{base}/uploads/{started.token}"
        return response

    def create(request: api.ApiCreateSubmissionRequest, _: str) -> Response:
        submission = board.create(request)
        response = api.ApiCreateSubmissionResponse()
        response.ref = submission.ref
        response.message = f"Successfully submitted to {board.competition(submission.slug).title}"
        score = BackgroundTask(board.score, submission) if submission.status == "PENDING" else None
        return JSONResponse(response.to_dict(), background=score)

    def download_all(request: api.ApiDownloadDataFilesRequest, base: str) -> Response:
        slug = board.competition(request.competition_name).slug
        return RedirectResponse(base + data.sign(f"/data/{slug}.zip", secret), status_code=302)

    def download_one(request: api.ApiDownloadDataFileRequest, base: str) -> Response:
        practice = board.competition(request.competition_name)
        data.file(practice, request.file_name)
        return RedirectResponse(base + data.sign(f"/data/{practice.slug}/{request.file_name}", secret), status_code=302)

    return {
        "StartSubmissionUpload": (api.ApiStartSubmissionUploadRequest, start_upload),
        "CreateSubmission": (api.ApiCreateSubmissionRequest, create),
        "ListSubmissions": (api.ApiListSubmissionsRequest, lambda request, _: board.submissions(request)),
        "GetSubmission": (api.ApiGetSubmissionRequest, lambda request, _: board.submission(request)),
        "GetSubmissionLimits": (api.ApiGetSubmissionLimitsRequest, lambda request, _: board.limits(request)),
        "ListDataFiles": (api.ApiListDataFilesRequest, lambda request, _: _list_files(board, request)),
        "DownloadDataFiles": (api.ApiDownloadDataFilesRequest, download_all),
        "DownloadDataFile": (api.ApiDownloadDataFileRequest, download_one),
    }


def _list_files(board: Board, request: api.ApiListDataFilesRequest) -> api.ApiListDataFilesResponse:
    everything = list(data.files(board.competition(request.competition_name)))
    start = int(request.page_token) if request.page_token.isdigit() else 0
    end = start + (request.page_size or 20)
    response = api.ApiListDataFilesResponse()
    response.files = [_listed(name, path) for name, path in everything[start:end]]
    response.next_page_token = str(end) if end < len(everything) else ""
    return response


def _listed(name: str, path: Path) -> api.ApiDataFile:
    listed = api.ApiDataFile()
    listed.ref = listed.name = name
    listed.total_bytes = path.stat().st_size
    listed.creation_date = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
    return listed


async def _receive(upload: Upload, request: Request) -> Response:
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


def _refusal(refused: Refused) -> JSONResponse:
    return JSONResponse({"code": refused.status, "message": refused.reason}, status_code=refused.status)
