"""The methods of the protocol, by service: the official client's request class, and the answer to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse, RedirectResponse, Response
from kagglesdk.blobs.types import blob_api_service as blob_api
from kagglesdk.competitions.types import competition_api_service as api
from kagglesdk.datasets.types import dataset_api_service as dataset_api
from kagglesdk.kaggle_object import KaggleObject
from kagglesdk.kernels.types import kernels_api_service as kernel_api
from starlette.background import BackgroundTask

from common.kaggle.practice import code_submission, data
from common.kaggle.practice.addresses import WEEK, sign
from common.kaggle.practice.board import Board
from common.kaggle.practice.datasets import Datasets
from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.leaderboard import leaderboard
from common.kaggle.practice.paging import page

OCTETS = "application/octet-stream"

Calls = dict[str, tuple[type[KaggleObject], Callable[[Any, str], KaggleObject | Response]]]
"""Method to request class and answer to (request, base URL)."""


def services(kernels: Kernels) -> dict[str, Calls]:
    """Everything that is answered."""
    return {
        "competitions.CompetitionApiService": _competitions(kernels.board) | _code_submissions(kernels),
        "blobs.BlobApiService": _blobs(kernels.datasets),
        "datasets.DatasetApiService": _datasets(kernels.datasets),
        "kernels.KernelsApiService": _kernels(kernels),
    }


def _competitions(board: Board) -> Calls:
    secret = board.store.secret()

    def start_upload(request: api.ApiStartSubmissionUploadRequest, base: str) -> KaggleObject:
        started = board.start_upload(request)
        response = api.ApiStartSubmissionUploadResponse()
        response.token, response.create_url = started.token, _upload_address(started.token, secret, base)
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
        return RedirectResponse(base + sign(f"/data/{slug}.zip", secret), status_code=302)

    def download_one(request: api.ApiDownloadDataFileRequest, base: str) -> Response:
        practice = board.competition(request.competition_name)
        data.file(practice, request.file_name)
        return RedirectResponse(base + sign(f"/data/{practice.slug}/{request.file_name}", secret), status_code=302)

    def download_leaderboard(request: api.ApiDownloadLeaderboardRequest, _: str) -> Response:
        slug = board.competition(request.competition_name).slug
        return Response(leaderboard(board.store, slug), media_type=OCTETS)

    return {
        "StartSubmissionUpload": (api.ApiStartSubmissionUploadRequest, start_upload),
        "CreateSubmission": (api.ApiCreateSubmissionRequest, create),
        "ListSubmissions": (api.ApiListSubmissionsRequest, lambda request, _: board.submissions(request)),
        "GetSubmission": (api.ApiGetSubmissionRequest, lambda request, _: board.submission(request)),
        "GetSubmissionLimits": (api.ApiGetSubmissionLimitsRequest, lambda request, _: board.limits(request)),
        "ListDataFiles": (api.ApiListDataFilesRequest, lambda request, _: _list_files(board, request)),
        "DownloadDataFiles": (api.ApiDownloadDataFilesRequest, download_all),
        "DownloadDataFile": (api.ApiDownloadDataFileRequest, download_one),
        "DownloadLeaderboard": (api.ApiDownloadLeaderboardRequest, download_leaderboard),
    }


def _code_submissions(kernels: Kernels) -> Calls:
    def create(request: api.ApiCreateCodeSubmissionRequest, _: str) -> KaggleObject:
        submission = code_submission.submit(kernels, request)
        response = api.ApiCreateCodeSubmissionResponse()
        response.ref = submission.ref
        response.message = f"Successfully submitted to {kernels.board.competition(submission.slug).title}"
        return response

    return {"CreateCodeSubmission": (api.ApiCreateCodeSubmissionRequest, create)}


def _blobs(datasets: Datasets) -> Calls:
    secret = datasets.uploads.secret()

    def start_upload(request: blob_api.ApiStartBlobUploadRequest, base: str) -> KaggleObject:
        started = datasets.start_upload(request)
        response = blob_api.ApiStartBlobUploadResponse()
        response.token, response.create_url = started.token, _upload_address(started.token, secret, base)
        return response

    return {"StartBlobUpload": (blob_api.ApiStartBlobUploadRequest, start_upload)}


def _datasets(datasets: Datasets) -> Calls:
    def create(request: dataset_api.ApiCreateDatasetRequest, base: str) -> Response:
        return unpacked(*datasets.create(request, base))

    def create_version(request: dataset_api.ApiCreateDatasetVersionRequest, base: str) -> Response:
        return unpacked(*datasets.create_version(request, base))

    def download(request: dataset_api.ApiDownloadDatasetRequest, base: str) -> Response:
        version = datasets.version(request)
        address = sign(f"/datasets/{version.slug}/{version.number}.zip", datasets.uploads.secret())
        return RedirectResponse(base + address, status_code=302)

    def unpacked(response: KaggleObject, version) -> Response:
        return JSONResponse(response.to_dict(), background=version and BackgroundTask(datasets.unpack, version))

    return {
        "CreateDataset": (dataset_api.ApiCreateDatasetRequest, create),
        "CreateDatasetVersion": (dataset_api.ApiCreateDatasetVersionRequest, create_version),
        "GetDatasetStatus": (dataset_api.ApiGetDatasetStatusRequest, lambda request, _: datasets.status(request)),
        "GetDataset": (dataset_api.ApiGetDatasetRequest, datasets.get),
        "DownloadDataset": (dataset_api.ApiDownloadDatasetRequest, download),
        "ListDatasetFiles": (dataset_api.ApiListDatasetFilesRequest, lambda request, _: datasets.list_files(request)),
    }


def _kernels(kernels: Kernels) -> Calls:
    secret = kernels.board.store.secret()

    def output(request: kernel_api.ApiListKernelSessionOutputRequest, base: str) -> KaggleObject:
        return kernels.output(request, lambda path: base + sign(path, secret))

    return {
        "SaveKernel": (kernel_api.ApiSaveKernelRequest, kernels.save),
        "GetKernel": (kernel_api.ApiGetKernelRequest, lambda request, _: kernels.get(request)),
        "GetKernelSessionStatus": (
            kernel_api.ApiGetKernelSessionStatusRequest,
            lambda request, _: kernels.status(request),
        ),
        "ListKernelSessionOutput": (kernel_api.ApiListKernelSessionOutputRequest, output),
    }


def _upload_address(token: str, secret: str, base: str) -> str:
    return base + sign(f"/uploads/{token}", secret, WEEK)


def _list_files(board: Board, request: api.ApiListDataFilesRequest) -> api.ApiListDataFilesResponse:
    everything = list(data.files(board.competition(request.competition_name)))
    response = api.ApiListDataFilesResponse()
    files, response.next_page_token = page(everything, request)
    response.files = [_listed(name, path) for name, path in files]
    return response


def _listed(name: str, path: Path) -> api.ApiDataFile:
    listed = api.ApiDataFile()
    listed.ref = listed.name = name
    listed.total_bytes = path.stat().st_size
    listed.creation_date = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
    return listed
