"""One submission, sent once: same bytes, same leaderboard, nothing sent; a lost answer is looked for, not repeated."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest, ApiSubmission
from kagglesdk.competitions.types.submission_status import SubmissionStatus

from common.competition import Competition
from common.errors import UserError
from common.files import sha256_of_file
from common.kaggle.client import Client, slug_of
from common.kaggle.ledger import Ledger, LedgerRow
from common.kaggle.reasons import UploadFailed
from common.progress import clock

if TYPE_CHECKING:
    from kaggle import KaggleApi

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
LINE_EVERY = 10.0
LOOKS, LOOK_EVERY = 6, 2.0
"""After a lost answer: how often, and seconds apart, the list is searched before the file is sent again."""
NOT_FOUND_YET = 120.0
"""Seconds for which Kaggle may not know a submission that it has just taken."""


def submit(
    csv: Path,
    competition: Competition,
    client: Client,
    ledger: Ledger,
    run_id: str,
    cv_score: float | None = None,
    again: bool = False,
    patience: float = 1800.0,
) -> LedgerRow:
    """Send a validated CSV, wait for its score, and write both down.

    The same bytes on the same leaderboard are sent once, whatever became of the answer: a finished submission is
    returned from the ledger, an unfinished one is waited for. `again` sends them once more.

    Args:
        patience: seconds to wait for the score.

    Returns:
        The ledger's row in state `scored`, or `failed` with the leaderboard's reason in `error`.

    Raises:
        UserError: the competition takes no CSV there, the day's submissions are spent, the leaderboard refuses or
            cannot be reached, or the score does not come. The same command picks up where it stopped.
    """
    refuse_notebook_only(competition, client)
    if not csv.is_file():
        raise UserError(f"{csv} does not exist")
    sha256 = sha256_of_file(csv)
    with ledger.sending():
        row = ledger.find(competition.name, client.leaderboard, sha256)
        if row is not None and row.finished and not again:
            print(f"{client.leaderboard}: the same bytes were sent before, so nothing is sent (--again sends them)")
            return row
        resend = again and (row is None or row.ref is not None)
        if row is None or resend:
            row = ledger.add(
                competition=competition.name,
                leaderboard=client.leaderboard,
                run_id=run_id,
                sha256=sha256,
                description=f"run {run_id} {mark(sha256)}",
                file=str(csv),
                cv_score=cv_score,
            )
        if row.ref is None:
            row = _send(csv, competition, client, ledger, row, resend)
    return _await_score(competition, client, ledger, row, patience)


def mark(sha256: str) -> str:
    """What a submission's description carries, so that it is known again without its number."""
    return f"sha {sha256[:12]}"


def check_way(competition: Competition, client: Client) -> None:
    """One cheap question, so that a missing server, account or rule is known before hours of training.

    Raises:
        UserError: the leaderboard cannot be reached or does not let us in; see `common.kaggle.reasons`.
    """
    slug = slug_of(competition)
    client.call(lambda api: api.competition_get_submission_limits(slug), slug)


def refuse_notebook_only(competition: Competition, client: Client) -> None:
    """Raise UserError where the leaderboard takes no CSV file from this competition."""
    if client.leaderboard == "practice" or competition.takes == "csv":
        return
    if competition.takes == "practice":
        raise UserError(f"{competition.name} has no Kaggle competition: use `--leaderboard practice`")
    raise UserError(
        f"{competition.name} takes notebooks only on Kaggle, and submitting a notebook is not built yet: "
        "`--leaderboard practice` accepts the CSV file"
    )


def _send(
    csv: Path, competition: Competition, client: Client, ledger: Ledger, row: LedgerRow, resend: bool
) -> LedgerRow:
    slug = slug_of(competition)
    earlier = {known.ref for known in ledger.rows(competition.name) if known.leaderboard == client.leaderboard}
    if resend:
        earlier |= client.call(lambda api: set(_marked(api, slug, row.sha256)), slug)

    def sent(api: "KaggleApi") -> int:
        return max(set(_marked(api, slug, row.sha256)) - earlier, default=0)

    looks = 1

    def send_once(api: "KaggleApi") -> int:
        """Looks before it sends, so that it may be repeated after any failure."""
        nonlocal looks
        for look in range(looks):
            if look:
                time.sleep(LOOK_EVERY)
            if found := sent(api):
                return found
        _refuse_beyond_limit(api, slug, client.leaderboard)
        looks = LOOKS
        answer = api.competition_submit(str(csv), row.description, slug, quiet=True)
        if answer.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
            looks = 1
            raise UploadFailed(answer.message)
        return answer.ref or sent(api)

    ref = client.call(send_once, slug)
    if not ref:
        raise UserError(f"{client.leaderboard} took {csv.name} and named no submission: run the same command again")
    print(f"{client.leaderboard}: {csv} is submission {ref} to '{slug}'", flush=True)
    return ledger.update(row, state="submitted", ref=ref)


def _marked(api: "KaggleApi", slug: str, sha256: str) -> list[int]:
    """The numbers of the latest submissions that bear the mark of these bytes."""
    listed = api.competition_submissions(slug, page_size=100) or []
    return [submission.ref for submission in listed if mark(sha256) in submission.description]


def _refuse_beyond_limit(api: "KaggleApi", slug: str, leaderboard: str) -> None:
    limits = api.competition_get_submission_limits(slug)
    if limits.num_allowed_now > 0 or limits.num_total == 0:  # all zero before the first submission makes a team
        return
    if limits.limited_by_total:
        raise UserError(f"{leaderboard}: no submissions left for '{slug}', all {limits.num_total} are spent")
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    raise UserError(
        f"{leaderboard}: today's {limits.num_today} submissions to '{slug}' are spent: run the same command again "
        f"after midnight UTC, in {clock((midnight - now).total_seconds())}"
    )


def _await_score(
    competition: Competition, client: Client, ledger: Ledger, row: LedgerRow, patience: float
) -> LedgerRow:
    slug = slug_of(competition)
    start = line = time.monotonic()
    pause = FIRST_PAUSE
    while True:
        submission = client.call(lambda api: _submission(api, row.ref), slug)
        if submission is not None and submission.status is not SubmissionStatus.PENDING:
            return ledger.update(row, **_outcome(submission))
        waited = time.monotonic() - start
        if submission is None and waited > min(NOT_FOUND_YET, patience):
            raise UserError(f"{client.leaderboard} does not know submission {row.ref} to '{slug}': use --again")
        if waited > patience:
            raise UserError(
                f"{client.leaderboard}: submission {row.ref} to '{slug}' has no score after {clock(waited)}: "
                "run the same command again to wait on"
            )
        if time.monotonic() - line >= LINE_EVERY:
            line = time.monotonic()
            print(f"{client.leaderboard}: submission {row.ref} is pending, {clock(waited)}", flush=True)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _outcome(submission: ApiSubmission) -> dict[str, str | float | None]:
    """The ledger's fields for a submission that is COMPLETE or in ERROR."""
    if submission.status is SubmissionStatus.ERROR:
        return {"state": "failed", "error": submission.error_description or "no reason given"}
    scores = {"public_score": submission.public_score, "private_score": submission.private_score}
    return {"state": "scored", **{name: float(text) if text else None for name, text in scores.items()}}


def _submission(api: "KaggleApi", ref: int) -> ApiSubmission | None:
    """The submission, or None where the leaderboard does not know it yet."""
    request = ApiGetSubmissionRequest()
    request.ref = ref
    try:
        with api.build_kaggle_client() as kaggle:
            return kaggle.competitions.competition_api_client.get_submission(request)
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            return None
        raise
