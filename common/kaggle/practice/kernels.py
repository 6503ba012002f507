"""The notebooks of the practice leaderboard: pushed in versions, each of which is run once."""

import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kagglesdk.kernels.types import kernels_api_service as api
from kagglesdk.kernels.types.kernels_enums import KernelWorkerStatus

from common.kaggle.practice.board import Board
from common.kaggle.practice.datasets import Datasets
from common.kaggle.practice.kernel_store import KernelStore, KernelVersion, Session
from common.kaggle.practice.paging import number, page
from common.kaggle.practice.refused import Refused
from common.kaggle.practice.settings import OWNER

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{4,49}")


class Kernels:
    """One method a call of the protocol; all raise `Refused`. What Kaggle answers with an `error` field, this does.

    `queued` is set whenever there is something new to run.
    """

    def __init__(self, board: Board, datasets: Datasets) -> None:
        self.board, self.datasets, self.store = board, datasets, KernelStore(board.store)
        self.queued = threading.Event()

    def save(self, request: api.ApiSaveKernelRequest, url: str) -> api.ApiSaveKernelResponse:
        """A new version, and a session that runs it unless a source is not there."""
        owner, _, slug = request.slug.rpartition("/")
        _check_owner(owner)
        response = api.ApiSaveKernelResponse()
        if error := _fault(request, slug):
            response.error = error
            return response
        sources = {name: self._ready_version(name) for name in request.dataset_data_sources}
        response.invalid_dataset_sources = [name for name, number in sources.items() if number is None]
        competitions = request.competition_data_sources
        response.invalid_competition_sources = [name for name in competitions if name not in self.board.competitions]
        response.invalid_kernel_sources = request.kernel_data_sources
        response.invalid_model_sources = request.model_data_sources
        version = self.store.add_version(slug, request.to_dict(), {k: v for k, v in sources.items() if v})
        invalid = [*response.invalid_dataset_sources, *response.invalid_competition_sources]
        invalid += [*response.invalid_kernel_sources, *response.invalid_model_sources]
        if invalid:
            self.store.add_session(version, failure=f"not run: no {', '.join(invalid)} here")
        else:
            self.run(version)
        response.ref, response.url = f"/code/{OWNER}/{slug}", f"{url}/code/{OWNER}/{slug}"
        response.version_number, response.kernel_id = version.number, self.store.versions(slug)[-1].id
        return response

    def run(self, version: KernelVersion, ref: int | None = None) -> None:
        """Queue a session, of the version as it is or for the submission `ref`."""
        self.store.add_session(version, ref)
        self.queued.set()

    def get(self, request: api.ApiGetKernelRequest) -> api.ApiGetKernelResponse:
        version = self.version(request.user_name, request.kernel_slug, request.version_label)
        versions, pushed = self.store.versions(version.slug), api.ApiSaveKernelRequest.from_dict(version.request)
        metadata, blob, response = api.ApiKernelMetadata(), api.ApiKernelBlob(), api.ApiGetKernelResponse()
        metadata.id, metadata.ref, metadata.slug = versions[-1].id, f"{OWNER}/{version.slug}", version.slug
        metadata.title, metadata.author = pushed.new_title or version.slug, OWNER
        metadata.last_run_time = datetime.fromtimestamp(version.created, UTC).replace(tzinfo=None)
        metadata.current_version_number = versions[0].number
        for field in ("is_private", "enable_gpu", "enable_tpu", "enable_internet", "machine_shape", "docker_image"):
            setattr(metadata, field, getattr(pushed, field))
        competitions = [name for name in pushed.competition_data_sources if name in self.board.competitions]
        metadata.dataset_data_sources, metadata.competition_data_sources = list(version.datasets), competitions
        metadata.category_ids, blob.slug, blob.source = pushed.category_ids, version.slug, pushed.text
        metadata.language = blob.language = pushed.language
        metadata.kernel_type = blob.kernel_type = pushed.kernel_type
        response.metadata, response.blob = metadata, blob
        return response

    def status(self, request: api.ApiGetKernelSessionStatusRequest) -> api.ApiGetKernelSessionStatusResponse:
        session = self.store.session(self.version(request.user_name, request.kernel_slug, request.version_label))
        response = api.ApiGetKernelSessionStatusResponse()
        response.status, response.failure_message = KernelWorkerStatus[session.status], session.failure
        return response

    def output(
        self, request: api.ApiListKernelSessionOutputRequest, sign: Callable[[str], str]
    ) -> api.ApiListKernelSessionOutputResponse:
        """The files of a finished session, a page of them, and the log up to now. `sign` makes an address of a path."""
        version = self.version(request.user_name, request.kernel_slug, request.version_label)
        everything = list(self.output_files(version))
        response = api.ApiListKernelSessionOutputResponse()
        names, response.next_page_token = page(everything, request)
        for name in names:
            listed = api.ApiKernelSessionOutputFile()
            listed.file_name, listed.url = name, sign(f"/output/{version.slug}/{version.number}/{name}")
            response.files.append(listed)
        response.log = log(self.store.session(version).folder)
        return response

    def output_files(self, version: KernelVersion) -> dict[str, Path]:
        """Name and path of what a session left, sorted; nothing before it ended."""
        session = self.store.session(version)
        if session.status not in ("COMPLETE", "ERROR"):
            return {}
        paths = [path for path in sorted(session.working.rglob("*")) if path.is_file() and not path.is_symlink()]
        return {path.relative_to(session.working).as_posix(): path for path in paths}

    def output_file(self, slug: str, number: int, name: str) -> Path:
        files = self.output_files(self.version(OWNER, slug, str(number)))
        if name not in files:
            raise Refused(404, f"no file '{name}' in version {number} of notebook '{slug}'")
        return files[name]

    def version(self, owner: str, slug: str, label: str = "") -> KernelVersion:
        """Of `slug` or `slug/number` the version that the label names (`3`, `Version 3`), or the latest."""
        _check_owner(owner)
        slug, _, behind = slug.partition("/")
        versions = self.store.versions(slug)
        if not versions:
            raise Refused(404, f"no notebook '{OWNER}/{slug}' here")
        if not (wanted := label or behind):
            return versions[0]
        digits = re.sub(r"^(version\s*|v)", "", wanted, flags=re.IGNORECASE)
        found = [version for version in versions if version.number == number(digits)]
        if not found:
            raise Refused(404, f"no version '{wanted}' of notebook '{OWNER}/{slug}' here")
        return found[0]

    def version_of(self, session: Session) -> KernelVersion:
        return self.version(OWNER, session.slug, str(session.number))

    def _ready_version(self, name: str) -> int | None:
        """Of the dataset `owner/slug`, or `owner/slug/number`."""
        owner, slug, wanted, *_ = [*name.split("/"), "", ""]
        version = number(wanted or "0")
        if owner != OWNER or version is None:
            return None
        found = self.datasets.ready(slug, version)
        return found.number if found else None


def log(folder: Path) -> str:
    """What a session has written, as Kaggle gives it: a JSON list of `stream_name`, `time` in seconds and `data`."""
    path = folder / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return "[" + "\n,".join(lines) + "\n]" if lines else ""


def _check_owner(owner: str) -> None:
    if owner != OWNER:
        raise Refused(403, f"Permission 'kernels.get' was denied: notebooks here belong to '{OWNER}'")


def _fault(request: api.ApiSaveKernelRequest, slug: str) -> str:
    if not SLUG.fullmatch(slug):
        return "A notebook's slug must be 5 to 50 lower-case letters, digits and hyphens"
    if request.language != "python" or request.kernel_type not in ("notebook", "script"):
        return "Only notebooks and scripts in Python are run here"
    if request.kernel_type == "notebook":
        try:
            return "" if isinstance(json.loads(request.text)["cells"], list) else "The notebook has no cells"
        except (ValueError, KeyError, TypeError):
            return "The text is no notebook"
    return "" if request.text else "The script is empty"
