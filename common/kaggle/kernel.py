"""A notebook on the leaderboard's server: pushed once, its version kept, waited for, its output brought back."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from kagglesdk.kernels.types.kernels_api_service import (
    ApiGetKernelRequest,
    ApiGetKernelResponse,
    ApiGetKernelSessionStatusRequest,
    ApiGetKernelSessionStatusResponse,
    ApiKernelSessionOutputFile,
    ApiListKernelSessionOutputRequest,
    ApiListKernelSessionOutputResponse,
)

from common.errors import UserError, listing
from common.files import write_atomically, write_json
from common.kaggle.client import Client
from common.kaggle.polling import Polling
from common.kaggle.reasons import none_if_unknown
from common.progress import clock

if TYPE_CHECKING:
    from kaggle import KaggleApi

PATIENCE = 12 * 3600.0
"""Seconds: nine hours to run, and time in the queue."""
NOT_FOUND_YET = 120.0
LOG_LINES = 12
INVALID = ("invalid_dataset_sources", "invalid_competition_sources", "invalid_kernel_sources", "invalid_model_sources")


class KernelFailed(UserError):
    """The notebook came to an end without an answer; waiting on does not help."""


def push_once(
    notebook: Path, slug: str, dataset: str, competition: str, client: Client, internet: bool, again: bool = False
) -> tuple[str, int]:
    """The notebook as `owner/slug`, and its version's number: the latest, where that has the same cells already and
    `again` does not ask for another run; else a new one.

    It runs on two T4, with the dataset and the competition's data attached.

    Raises:
        UserError: the server refuses the notebook, or does not know what is to be attached.
    """
    ref = f"{client.owner}/{slug}"
    folder = notebook.parent
    metadata = {
        "id": ref,
        "title": slug.replace("-", " "),
        "code_file": notebook.name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "machine_shape": "NvidiaTeslaT4",
        "enable_internet": internet,
        "dataset_sources": [dataset],
        "competition_sources": [competition],
    }
    write_json(folder / "kernel-metadata.json", metadata)
    cells = _cells(notebook.read_text(encoding="utf-8"))

    def push(api: "KaggleApi") -> int:
        there = None if again else _kernel(api, ref)
        attached = {dataset, competition} <= _attached(there)
        if attached and _cells(there.blob.source) == cells:
            return there.metadata.current_version_number
        answer = api.kernels_push(str(folder))
        if answer.error:
            raise UserError(f"{client.leaderboard}: notebook {ref} was refused: {answer.error}")
        if invalid := [source for kind in INVALID for source in getattr(answer, kind) or []]:
            raise UserError(
                f"{client.leaderboard}: notebook {ref} cannot attach {listing(invalid)}: join the competition "
                f"at https://www.kaggle.com/competitions/{competition}/rules and run the same command again"
            )
        return answer.version_number

    return ref, client.call(push, f"notebook {ref}")


def await_kernel(ref: str, version: int, client: Client) -> None:
    """Wait until the notebook has run.

    Raises:
        KernelFailed: it failed (with the end of its log) or was cancelled, or another version was pushed meanwhile.
        UserError: it does not come to an end; the same command waits on.
    """
    polling = Polling(f"{client.leaderboard}: notebook {ref} version {version}")
    what = polling.what
    while True:
        answer = polling.ask(lambda: client.call(lambda api: _status(api, ref), f"notebook {ref}"))
        state = "not known yet" if answer is None else answer.status.name
        if state == "COMPLETE" and _is_latest(ref, version, client, what):
            return
        if state == "ERROR" or state.startswith("CANCEL"):
            raise KernelFailed(f"{what} ended with {state}: {answer.failure_message or ''} {_log_tail(client, ref)}")
        if polling.waited > (NOT_FOUND_YET if answer is None else PATIENCE):
            raise UserError(f"{what} is {state} after {clock(polling.waited)}: run the same command again to wait on")
        polling.what = f"{what} is {state}"
        polling.pause()


def _is_latest(ref: str, version: int, client: Client, what: str) -> bool:
    """False where what is COMPLETE is a version before: a status without a number is of the latest that is known."""
    kernel = client.call(lambda api: _kernel(api, ref), f"notebook {ref}")
    latest = version if kernel is None else kernel.metadata.current_version_number
    if latest > version:
        raise KernelFailed(f"{what} is not the latest any more, {latest} is")
    return latest == version


def fetch_output(ref: str, folder: Path, client: Client, prefix: str = "") -> list[Path]:
    """Files of the notebook's output whose names start with `prefix`, written below `folder`; each whole or not at all.

    Raises:
        UserError: a name leads out of the folder, or a file does not come whole.
    """

    def fetch(api: "KaggleApi") -> list[Path]:
        """What is not there yet, by addresses that were given just now, for they expire."""
        files = {file.file_name: file.url for file in _outputs(api, ref) if file.file_name.startswith(prefix)}
        for name, url in files.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{client.leaderboard}: notebook {ref} has an output outside its folder: {name}")
            if not path.is_file():
                _download(url, path)
        return [folder / name for name in files]

    return client.call(fetch, f"notebook {ref}")


def _download(url: str, path: Path) -> None:
    with requests.get(url, stream=True) as response:
        response.raise_for_status()
        if "html" in response.headers.get("Content-Type", "") and path.suffix != ".html":
            raise requests.ConnectionError(f"a web page came in place of {path.name}")

        def save(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                for chunk in response.iter_content(1 << 20):
                    file.write(chunk)

        write_atomically(path, save)


def _cells(source: str) -> list[tuple[str, str]]:
    """Kind and text of each cell: what a server may not change when it keeps a notebook."""
    try:
        cells = json.loads(source)["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return []


def _attached(kernel: ApiGetKernelResponse | None) -> set[str]:
    """A version that could not attach its data is kept all the same, and is not the one that is wanted."""
    if kernel is None:
        return set()
    metadata = kernel.metadata
    return {*(metadata.dataset_data_sources or []), *(metadata.competition_data_sources or [])}


def _kernel(api: "KaggleApi", ref: str) -> ApiGetKernelResponse | None:
    return none_if_unknown(lambda: _answer(api, "get_kernel", ApiGetKernelRequest(), ref))


def _status(api: "KaggleApi", ref: str) -> ApiGetKernelSessionStatusResponse | None:
    return none_if_unknown(lambda: _answer(api, "get_kernel_session_status", ApiGetKernelSessionStatusRequest(), ref))


def _answer(api: "KaggleApi", method: str, request: Any, ref: str) -> Any:
    """What the client's service of notebooks answers to a request about one of them."""
    request.user_name, request.kernel_slug = ref.split("/")
    with api.build_kaggle_client() as kaggle:
        return getattr(kaggle.kernels.kernels_api_client, method)(request)


def _outputs(api: "KaggleApi", ref: str) -> Iterator[ApiKernelSessionOutputFile]:
    token = None
    while token != "":
        page = _output(api, ref, token)
        yield from page.files or []
        token = page.next_page_token or ""


def _output(api: "KaggleApi", ref: str, token: str | None) -> ApiListKernelSessionOutputResponse:
    request = ApiListKernelSessionOutputRequest()
    request.page_size = 100
    if token:
        request.page_token = token
    return _answer(api, "list_kernel_session_output", request, ref)


def _log_tail(client: Client, ref: str) -> str:
    """The last lines that the notebook wrote, in one."""
    log = client.call(lambda api: _output(api, ref, None), f"notebook {ref}").log or ""
    with suppress(ValueError, KeyError, TypeError):
        log = "".join(record["data"] for record in json.loads(log))
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return f"(the log ends: {' / '.join(lines[-LOG_LINES:])})" if lines else ""
