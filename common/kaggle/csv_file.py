"""A submission as a CSV file: uploaded, then submitted by the token of its upload."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kagglesdk.competitions.types.competition_api_service import (
    ApiCreateSubmissionRequest,
    ApiStartSubmissionUploadRequest,
)

from common.competition import Competition
from common.errors import UserError
from common.files import sha256_of_file
from common.kaggle.client import Client, slug_of
from common.kaggle.ledger import Ledger, LedgerRow
from common.kaggle.reasons import UploadFailed
from common.submission import validate

if TYPE_CHECKING:
    from kaggle import KaggleApi


@dataclass(frozen=True)
class CsvFile:
    """See `common.kaggle.submit.Way`. `sample` is the competition's sample submission."""

    file: Path
    competition: Competition
    sample: Path
    patience: float = 1800.0
    tokens: dict[int, str] = field(default_factory=dict, compare=False)
    """Of this process's uploads, by the number of their row: in memory alone, for they are good for one submission."""

    @cached_property
    def sha256(self) -> str:
        if not self.file.is_file():
            raise UserError(f"{self.file} does not exist")
        return sha256_of_file(self.file)

    def validate(self) -> None:
        validate(self.file, self.competition, self.sample)

    def upload(self, client: Client, ledger: Ledger, row: LedgerRow) -> LedgerRow:
        """Also where an earlier command uploaded it: an upload that is not submitted counts for nothing."""
        slug = slug_of(self.competition)
        self.tokens[row.id] = client.call(lambda api: self._put(api, slug), slug)
        return ledger.update(row, state="uploaded")

    def create(self, api: "KaggleApi", row: LedgerRow) -> int:
        request = ApiCreateSubmissionRequest()
        request.competition_name = slug_of(self.competition)
        request.blob_file_tokens = self.tokens[row.id]
        request.submission_description = row.description
        with api.build_kaggle_client() as kaggle:
            return kaggle.competitions.competition_api_client.create_submission(request).ref

    def _put(self, api: "KaggleApi", slug: str) -> str:
        """The token of a finished upload, as `KaggleApi.competition_submit` makes it before it submits."""
        from kaggle.api.kaggle_api_extended import ResumableUploadResult  # imported with the client, when it is needed

        request = ApiStartSubmissionUploadRequest()
        request.competition_name = slug
        request.file_name = self.file.name
        request.content_length = self.file.stat().st_size
        request.last_modified_epoch_seconds = int(self.file.stat().st_mtime)
        with api.build_kaggle_client() as kaggle:
            started = kaggle.competitions.competition_api_client.start_submission_upload(request)
        if api.upload_complete(str(self.file), started.create_url, quiet=True) != ResumableUploadResult.COMPLETE:
            raise UploadFailed(f"{self.file.name} did not get through")
        return started.token
