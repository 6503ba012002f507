"""Waiting for a submission's score."""

from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest, ApiSubmission
from kagglesdk.competitions.types.submission_status import SubmissionStatus

from common.errors import UserError
from common.kaggle.client import Client
from common.kaggle.ledger import Ledger, LedgerRow
from common.kaggle.polling import Polling
from common.kaggle.reasons import none_if_unknown
from common.progress import clock

NOT_FOUND_YET = 120.0
"""Seconds for which Kaggle may not know a submission that it has just taken."""


def await_score(slug: str, client: Client, ledger: Ledger, row: LedgerRow, patience: float) -> LedgerRow:
    """Poll until the submission is scored or refused, and write that down.

    Raises:
        UserError: no score within `patience` seconds; the same command waits on.
    """
    polling = Polling(f"{client.leaderboard}: submission {row.ref} is pending")
    while True:
        submission = polling.ask(lambda: client.call(lambda api: submission_of(api, row.ref), slug))
        if submission is not None and submission.status is not SubmissionStatus.PENDING:
            return ledger.update(row, **_outcome(submission))
        if submission is None and polling.waited > min(NOT_FOUND_YET, patience):
            raise UserError(f"{client.leaderboard} does not know submission {row.ref} to '{slug}': use --again")
        if polling.waited > patience:
            raise UserError(
                f"{client.leaderboard}: submission {row.ref} to '{slug}' has no score after {clock(polling.waited)}: "
                "run the same command again to wait on"
            )
        polling.pause()


def _outcome(submission: ApiSubmission) -> dict[str, str | float | None]:
    """The ledger's fields for a submission that is COMPLETE or in ERROR."""
    if submission.status is SubmissionStatus.ERROR:
        return {"state": "failed", "error": submission.error_description or "no reason given"}
    scores = {"public_score": submission.public_score, "private_score": submission.private_score}
    return {"state": "scored", **{name: float(text) if text else None for name, text in scores.items()}}


def submission_of(api, ref: int) -> ApiSubmission | None:
    """The submission, or None where the leaderboard does not know it yet."""
    request = ApiGetSubmissionRequest()
    request.ref = ref
    with api.build_kaggle_client() as kaggle:
        client = kaggle.competitions.competition_api_client
        return none_if_unknown(lambda: client.get_submission(request), statuses=(404,))
