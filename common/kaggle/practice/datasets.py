"""The datasets of the practice leaderboard: private, in versions, each unpacked as Kaggle does."""

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from kagglesdk.blobs.types.blob_api_service import ApiBlobType, ApiStartBlobUploadRequest
from kagglesdk.datasets.types import dataset_api_service as api
from kagglesdk.datasets.types.dataset_enums import DatabundleVersionStatus

from common.archive import unpack
from common.errors import UserError
from common.kaggle.practice import blobs
from common.kaggle.practice.claim import claimed
from common.kaggle.practice.dataset_store import Dataset, DatasetStore, Version
from common.kaggle.practice.paging import page
from common.kaggle.practice.refused import Refused
from common.kaggle.practice.settings import OWNER, Settings
from common.kaggle.practice.store import Store, Upload

LARGEST_FILE = 20 * 1024**3
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{4,48}[a-z0-9]")
STATUS = {
    "PENDING": DatabundleVersionStatus.NOT_YET_PERSISTED,
    "READY": DatabundleVersionStatus.READY,
    "FAILED": DatabundleVersionStatus.FAILED,
}


class Datasets:
    """One method a call of the protocol; all raise `Refused`. What Kaggle answers with an `error` field, this does."""

    def __init__(self, uploads: Store, settings: Settings) -> None:
        self.uploads, self.store, self.settings = uploads, DatasetStore(uploads), settings

    def start_upload(self, request: ApiStartBlobUploadRequest) -> Upload:
        if request.type != ApiBlobType.DATASET:
            raise Refused(400, "only files of datasets can be uploaded here")
        return blobs.start(self.uploads, "", request.name, request.content_length, LARGEST_FILE, "a file")

    def create(self, request: api.ApiCreateDatasetRequest, url: str) -> tuple[api.ApiCreateDatasetResponse, Version]:
        """The answer, and the version that `unpack` is to follow for, None where the answer is an error."""
        self._check_owner(request.owner_slug or OWNER)
        if error := self._fault(request) or self._upload_fault(request.files):
            return _created(error=error), None
        if not self.store.add(request.slug, request.title, request.license_name, request.is_private):
            taken = (
                f'The requested title "{request.title}" is already in use by a dataset. Please choose another title.'
            )
            return _created(error=taken), None
        version = self.store.add_version(request.slug, "Initial release", [file.token for file in request.files])
        return _created(request.slug, url), version

    def create_version(
        self, request: api.ApiCreateDatasetVersionRequest, url: str
    ) -> tuple[api.ApiCreateDatasetResponse, Version]:
        """As `create`."""
        dataset = self._dataset(request.owner_slug, request.dataset_slug)
        body = request.body or api.ApiCreateDatasetVersionRequestBody()
        if error := self._upload_fault(body.files):
            return _created(error=error), None
        tokens = [file.token for file in body.files]
        version = self.store.add_version(dataset.slug, body.version_notes or "", tokens)
        return _created(dataset.slug, url), version

    def unpack(self, version: Version) -> None:
        """PENDING to READY, or to FAILED. Never raises: a broken archive must not stop the server."""
        unfinished = version.folder.with_name(f".{version.number}.unfinished")
        with claimed(version.folder.with_name(f".{version.number}.lock"), wait=True):
            if version not in self.store.pending():
                return
            try:
                uploads = [self.uploads.upload(token) for token in version.tokens]
                for upload in uploads:
                    _place(upload, unfinished)
                shutil.rmtree(version.folder, ignore_errors=True)  # of a server that was killed right here
                unfinished.rename(version.folder)
            except (UserError, OSError) as error:
                logging.getLogger(__name__).warning("practice: dataset '%s' failed: %s", version.slug, error)
                self.store.finish(version, "FAILED", str(error))
                return
            self.store.finish(version, "READY")
            for upload in uploads:
                upload.path.unlink(missing_ok=True)

    def unpack_pending(self) -> None:
        """What an earlier server took and did not come to unpack."""
        for version in self.store.pending():
            self.unpack(version)

    def status(self, request: api.ApiGetDatasetStatusRequest) -> api.ApiGetDatasetStatusResponse:
        dataset = self._dataset(request.owner_slug, request.dataset_slug)
        response = api.ApiGetDatasetStatusResponse()
        response.status = self._status(self.store.versions(dataset.slug)[0])
        return response

    def get(self, request: api.ApiGetDatasetRequest, url: str) -> api.ApiDataset:
        dataset = self._dataset(request.owner_slug, request.dataset_slug)
        current = self.ready(dataset.slug)
        response = api.ApiDataset()
        response.id, response.ref, response.title = dataset.id, f"{OWNER}/{dataset.slug}", dataset.title
        response.url = _address(dataset.slug, url)
        response.owner_name = response.owner_ref = response.creator_name = OWNER
        response.license_name, response.is_private = dataset.licence, dataset.private
        response.versions = [self._listed(version) for version in self.store.versions(dataset.slug)]
        response.last_updated = response.versions[0].creation_date
        response.current_version_number = current.number if current else 0
        response.total_bytes = sum(path.stat().st_size for _, path in _files(current)) if current else 0
        return response

    def list_files(self, request: api.ApiListDatasetFilesRequest) -> api.ApiListDatasetFilesResponse:
        version = self.version(request)
        everything = list(_files(version))
        response = api.ApiListDatasetFilesResponse()
        files, response.next_page_token = page(everything, request)
        response.dataset_files = [_listed_file(name, path) for name, path in files]
        return response

    def version(self, request: api.ApiListDatasetFilesRequest | api.ApiDownloadDatasetRequest) -> Version:
        """The one that is asked for, or the latest."""
        slug = self._dataset(request.owner_slug, request.dataset_slug).slug
        version = self.ready(slug, request.dataset_version_number)
        if version is None:
            raise Refused(404, f"dataset '{OWNER}/{slug}' has no such version that is ready")
        return version

    def ready(self, slug: str, number: int | None = None) -> Version | None:
        """That version, or the latest, of those that are ready."""
        for version in self.store.versions(slug):
            if self._status(version) == DatabundleVersionStatus.READY and number in (None, 0, version.number):
                return version
        return None

    def files(self, slug: str, number: int) -> Iterator[tuple[str, Path]]:
        """Name and path of each file of a version, sorted by name."""
        return _files(next(version for version in self.store.versions(slug) if version.number == number))

    def _dataset(self, owner: str, slug: str) -> Dataset:
        """As Kaggle, does not tell a stranger's dataset that is private from one that is not there."""
        self._check_owner(owner)
        dataset = self.store.dataset(slug)
        if dataset is None:
            raise Refused(404, f"no dataset '{OWNER}/{slug}' here")
        return dataset

    def _check_owner(self, owner: str) -> None:
        if owner != OWNER:
            raise Refused(403, f"Permission 'datasets.get' was denied: datasets here belong to '{OWNER}'")

    def _fault(self, request: api.ApiCreateDatasetRequest) -> str:
        if not SLUG.fullmatch(request.slug):
            return "The dataset slug must be 6 to 50 lower-case letters, digits and hyphens"
        if not 6 <= len(request.title) <= 50:
            return "The dataset title must be between 6 and 50 characters"
        return "" if request.license_name else "Please specify exactly one license"

    def _upload_fault(self, files: list[api.ApiDatasetNewFile] | None) -> str:
        uploads = [self.uploads.upload(file.token) for file in files or []]
        if not uploads:
            return "A dataset needs at least one file"
        if any(upload is None or upload.slug or upload.received != upload.size for upload in uploads):
            return "A file was not uploaded completely"
        return ""

    def _status(self, version: Version) -> DatabundleVersionStatus:
        young = version.status == "READY" and time.time() < version.created + self.settings.dataset_seconds
        return STATUS["PENDING" if young else version.status]

    def _listed(self, version: Version) -> api.ApiDatasetVersion:
        listed = api.ApiDatasetVersion()
        listed.version_number, listed.version_notes = version.number, version.notes
        listed.creation_date = datetime.fromtimestamp(version.created, UTC).replace(tzinfo=None)
        listed.creator_name = listed.creator_ref = OWNER
        listed.status = self._status(version).name.title()
        return listed


def _place(upload: Upload, folder: Path) -> None:
    """An upload `NAME.zip` becomes the folder NAME/, anything else a file."""
    folder.mkdir(parents=True, exist_ok=True)
    if upload.file_name.lower().endswith(".zip"):
        unpack(upload.path, folder / upload.file_name[: -len(".zip")])
    elif not (folder / upload.file_name).exists():
        os.link(upload.path, folder / upload.file_name)


def _files(version: Version) -> Iterator[tuple[str, Path]]:
    for path in sorted(version.folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(version.folder).as_posix(), path


def _listed_file(name: str, path: Path) -> api.ApiDatasetFile:
    listed = api.ApiDatasetFile()
    listed.ref = listed.name = name
    listed.total_bytes = path.stat().st_size
    listed.creation_date = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
    return listed


def _created(slug: str = "", url: str = "", error: str = "") -> api.ApiCreateDatasetResponse:
    response = api.ApiCreateDatasetResponse()
    response.status = "error" if error else "ok"
    response.error = error
    if slug:
        response.ref, response.url = f"/{OWNER}/{slug}", _address(slug, url)
    return response


def _address(slug: str, url: str) -> str:
    return f"{url}/datasets/{OWNER}/{slug}"
