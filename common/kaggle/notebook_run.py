"""A submission as a notebook that answers: dataset, push, run, the check of its file, and that version submitted."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from common.competition import Competition
from common.errors import UserError
from common.files import sha256_of_file
from common.kaggle.client import Client, slug_of
from common.kaggle.dataset import ensure_dataset
from common.kaggle.kernel import PATIENCE, KernelFailed, await_kernel, fetch_output, push_once
from common.kaggle.ledger import Ledger, LedgerRow
from common.kaggle.package import Package
from common.submission import validate

if TYPE_CHECKING:
    from kaggle import KaggleApi

OUTPUT, RUNS = "submission.csv", "runs.zip"


@dataclass(frozen=True)
class NotebookRun:
    """See `common.kaggle.submit.Way`. `sample` is the sample submission that the notebook sees when it is pushed."""

    file: Path
    package: Package
    competition: Competition
    sample: Path
    again: bool = False
    patience: float = PATIENCE
    """Its score comes when the whole notebook has run once more, on the hidden test images."""

    @cached_property
    def sha256(self) -> str:
        """Of the packed run, not of the code around it: the same weights and rule are the same submission."""
        return sha256_of_file(self.package.folder / RUNS)

    def validate(self) -> None:
        """Nothing: the package was checked when it was made, and the notebook's file is checked when it has run."""

    def upload(self, client: Client, ledger: Ledger, row: LedgerRow) -> LedgerRow:
        """Dataset and notebook, the run of its version, the check of its file; `failed` where the notebook fails."""
        if row.kernel_version is None:
            row = self._push(client, ledger, row)
        try:
            await_kernel(row.kernel, row.kernel_version, client)
            self._check_output(row, client)
        except KernelFailed as error:
            return ledger.update(row, state="failed", error=str(error))
        return row

    def create(self, api: "KaggleApi", row: LedgerRow) -> int:
        slug = slug_of(self.competition)
        return api.competition_submit_code(
            OUTPUT, row.description, slug, row.kernel, row.kernel_version, quiet=True
        ).ref

    def _push(self, client: Client, ledger: Ledger, row: LedgerRow) -> LedgerRow:
        dataset = ensure_dataset(self.package, client)
        print(f"{client.leaderboard}: dataset {dataset} is ready", flush=True)
        competition = slug_of(self.competition)
        ref, version = push_once(self.file, self.package.slug, dataset, competition, client, False, self.again)
        print(f"{client.leaderboard}: notebook {ref} version {version} is pushed", flush=True)
        return ledger.update(row, state="uploaded", kernel=ref, kernel_version=version)

    def _check_output(self, row: LedgerRow, client: Client) -> None:
        """The file for the test images that everybody sees; the leaderboard runs the version again on its own.

        Raises:
            KernelFailed: it is not there, or is no valid submission.
        """
        version = f"notebook {row.kernel} version {row.kernel_version}"
        folder = self.file.parent / f"output-{row.kernel_version}"
        files = fetch_output(row.kernel, folder, client, prefix=OUTPUT)
        if not files:
            raise KernelFailed(f"{version} wrote no {OUTPUT}")
        try:
            validate(files[0], self.competition, self.sample)
        except UserError as error:
            raise KernelFailed(f"{version}: {error}") from error
        print(f"{client.leaderboard}: {version} has run and wrote a valid {OUTPUT}", flush=True)
