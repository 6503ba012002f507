"""What happened: a run is a folder, readable with nothing but pandas and safetensors.

runs/<competition>/<run-id>/
    run.json             state, competition, recipe, data fingerprint, times, skipped images
    environment.json     versions and machine
    metrics.json         the competition's metric with its interval, per fold and in all; the fitted decision rule
    out_of_fold.parquet  id, fold, label, group where there are groups, then `output` or `p0`, `p1`, …
    test.parquet         id, member, fold, then the same, once `predict` has run; `<part>.parquet` of labelled parts
    fold-<k>/            curve.csv, tensorboard/, weights-<epoch>.safetensors, last.state (to resume)
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from common.errors import DiskError, UserError, listing
from common.files import content_hash, read_record, sha256_of_file, write_json, write_record
from common.locks import held
from common.models.folder import chosen_file
from common.recipe import Recipe, recipe_from_dict

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "albumentations",
    "numpy",
    "pandas",
    "scikit-learn",
    "opencv-python-headless",
)


class Busy(UserError):
    """Another process works on the run."""


@dataclass(frozen=True)
class Run:
    """One run folder. Its id is the content hash of competition + recipe + data, with `-2`, `-3` … for repeats."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def about(self) -> dict[str, Any]:
        return read_record(self.folder / "run.json")

    @property
    def recipe(self) -> Recipe:
        return recipe_from_dict(self.about["recipe"])

    @property
    def fingerprint(self) -> str:
        return self.about["data"]

    @property
    def finished(self) -> bool:
        return (self.folder / "metrics.json").is_file()

    @property
    def metrics(self) -> dict[str, Any]:
        """`score` (None where nothing was held out), `interval`, `metric`, `folds`, `rule`."""
        return read_record(self.folder / "metrics.json")

    def weights(self) -> list[tuple[int, Path]]:
        """(fold, file) of every checkpoint that the finished folds kept, fold by fold, the best first."""
        folds = {int(done.parent.name.removeprefix("fold-")): done for done in self.folder.glob("fold-*/done")}
        return [
            (fold, done.parent / name) for fold, done in sorted(folds.items()) for name in read_record(done)["weights"]
        ]

    def update(self, **fields: Any) -> None:
        write_record(self.folder / "run.json", {**self.about, **fields})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while the run is worked on, and freed by the system when the process dies.

        Raises:
            Busy: another process holds it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.folder / ".lock", wait=False))
            except BlockingIOError:
                raise Busy(f"run {self.id} is being worked on by another process; wait for it or stop it") from None
            yield


def identity(competition: str, recipe: Recipe, fingerprint: str) -> str:
    """12 hex digits: the same question, answered the same way, on the same data. Weights count by their content."""
    weights = recipe.weights
    if weights not in ("imagenet", "none") and (file := chosen_file(weights, recipe.backbone)).is_file():
        weights = _sha256(file, file.stat().st_mtime_ns)
    return content_hash([competition, recipe.identity(), weights, fingerprint])


@cache
def _sha256(file: Path, changed: int) -> str:
    """Of a weights file as it was at a time: a grid asks for it thousands of times."""
    return sha256_of_file(file)


def open_run(root: Path, competition: str, recipe: Recipe, fingerprint: str, again: bool = False) -> Run:
    """The run with this identity: finished, unfinished (to be resumed) or new. `again` starts another attempt, unless
    the latest attempt is unfinished, which is then resumed.

    Raises:
        UserError: the folder cannot be made, or another process opens the same run just now (`Busy`).
    """
    name = identity(competition, recipe, fingerprint)
    found = [Run(path.parent) for path in (root / competition).glob(f"{name}*/run.json")]
    attempts = [run for run in found if re.fullmatch(rf"{name}(-\d+)?", run.id)]
    latest = max(attempts, key=_attempt, default=None)
    if latest is not None and not (again and latest.finished):
        return latest
    folder = root / competition / (name if latest is None else f"{name}-{_attempt(latest) + 1}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make the run folder {folder}: {error.strerror}; choose another with --runs") from error
    about = {
        "competition": competition,
        "recipe": recipe.to_dict(),
        "data": fingerprint,
        "started": now(),
        "skipped": [],
    }
    run = Run(folder)
    with run.lock():
        if not (folder / "run.json").is_file():  # another process that opened it at the same time may be ahead
            write_json(folder / "environment.json", environment())
            write_record(folder / "run.json", about)
    return run


def _attempt(run: Run) -> int:
    return int(run.id.partition("-")[2] or 1)


def all_runs(root: Path, competition: str) -> list[Run]:
    """Every run of a competition, oldest first."""
    runs = [Run(path.parent) for path in (root / competition).glob("*/run.json")]
    return sorted(runs, key=lambda run: (run.about["started"], run.id))


def find_run(root: Path, competition: str, run_id: str) -> Run:
    """Raises UserError where there is no such run; names the competition whose run it is."""
    if not run_id.strip():
        raise UserError(f"the id of a run is blank; `make {competition}-runs` lists them")
    run = Run(root / competition / run_id)
    if run.id == run_id and (run.folder / "run.json").is_file():
        return run
    others = [path.parent.parent.name for path in root.glob("*/*/run.json") if path.parent.name == run_id]
    told = f"it is a run of {listing(others)}" if others else f"`make {competition}-runs` lists them"
    raise UserError(f"no run '{run_id}' in {root / competition}; {told}")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions and machine, for a reader who wants the same numbers."""
    import torch

    git = shutil.which("git")
    commit = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False) if git else None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version_of(name) for name in PACKAGES},
        "commit": (commit.stdout.strip() or None) if commit else None,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def version_of(package: str) -> str | None:
    """None where it is not installed under this name: another build of OpenCV does as well."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
