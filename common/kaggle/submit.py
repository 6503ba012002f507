"""One submission, sent once: same bytes, same leaderboard, nothing sent; a lost answer is looked for, not repeated.

The states stand in the ledger. Every step looks first whether it was done, so that a command that was killed, or whose
answer was lost, may simply be given again.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from common.competition import Competition
from common.errors import UserError
from common.kaggle.client import Client, slug_of
from common.kaggle.ledger import Ledger, LedgerRow
from common.kaggle.quota import wait_for_quota
from common.kaggle.scores import await_score, submission_of

if TYPE_CHECKING:
    from kaggle import KaggleApi

LOOKS, LOOK_EVERY = 6, 2.0
"""After a lost answer: how often, and seconds apart, the list is searched before anything is sent again."""


class Way(Protocol):
    """How a submission travels: as a CSV file (`csv_file.py`), or as a notebook that answers (`notebook_run.py`)."""

    file: Path
    """What the ledger names."""
    sha256: str
    """Of what is sent: the same submission has the same."""
    patience: float
    """Seconds to wait for the score."""

    def validate(self) -> None:
        """Raises UserError where the leaderboard would refuse it."""

    def upload(self, client: Client, ledger: Ledger, row: LedgerRow) -> LedgerRow:
        """Everything that comes before the submission itself; what is there already is not sent again."""

    def create(self, api: "KaggleApi", row: LedgerRow) -> int:
        """Submit. The submission's number, 0 where the answer does not name it."""


def submit(
    way: Way,
    competition: Competition,
    client: Client,
    ledger: Ledger,
    run_id: str,
    cv_score: float | None = None,
    again: bool = False,
    wait: bool = False,
) -> LedgerRow:
    """Validate, upload, submit, wait for the score, and write each step down.

    The same bytes on the same leaderboard are sent once, whatever became of the answer: a finished submission is
    returned from the ledger, an unfinished one is taken up where it stopped. `again` sends them once more, unless they
    are on their way.

    Args:
        wait: sleep until the day's submissions are there again, in place of an error.

    Returns:
        The ledger's row in state `scored`, or `failed` with the leaderboard's reason in `error`.

    Raises:
        UserError: the day's submissions are spent, the leaderboard refuses or cannot be reached, or the score does not
            come. The same command picks up where it stopped.
    """
    refuse_what_kaggle_lacks(competition, client)
    slug = slug_of(competition)
    with ledger.sending(f"{slug}-{way.sha256[:12]}", client.leaderboard):
        row = ledger.find(competition.name, client.leaderboard, slug, way.sha256)
        if row is not None and row.finished and not again:
            before = "the same bytes were sent before" if row.ref else "the same failed before it was submitted"
            print(f"{client.leaderboard}: {before}, so nothing is sent (--again sends them)")
            return row
        resend = again and (row is None or row.finished or _is_lost(client, slug, row))
        if row is None or resend:
            row = ledger.add(
                competition=competition.name,
                leaderboard=client.leaderboard,
                arena=slug,
                run_id=run_id,
                sha256=way.sha256,
                description=f"run {run_id} {mark(way.sha256)}",
                file=str(way.file),
                cv_score=cv_score,
            )
        if row.state == "built":
            way.validate()
            row = ledger.update(row, state="validated")
        if row.ref is None:
            row = _send(way, slug, client, ledger, row, resend, wait)
    return row if row.finished else await_score(slug, client, ledger, row, way.patience)


def mark(sha256: str) -> str:
    """What a submission's description carries, so that it is known again without its number."""
    return f"sha {sha256[:12]}"


def check_way(competition: Competition, client: Client) -> None:
    """One cheap question, so that a missing server, account or rule is known before hours of training; so is a day
    whose submissions are spent, which is said.

    Raises:
        UserError: the leaderboard cannot be reached or does not let us in; see `common.kaggle.reasons`.
    """
    slug = slug_of(competition)
    limits = client.call(lambda api: api.competition_get_submission_limits(slug), slug)
    if limits.num_total > 0 and limits.num_allowed_now == 0:
        print(f"{client.leaderboard}: no submission to '{slug}' is left for today", flush=True)


def refuse_what_kaggle_lacks(competition: Competition, client: Client) -> None:
    """Raise UserError where a data set has no competition on Kaggle."""
    if client.leaderboard == "kaggle" and competition.takes == "practice":
        raise UserError(f"{competition.name} has no Kaggle competition: use `--leaderboard practice`")


def _send(way: Way, slug: str, client: Client, ledger: Ledger, row: LedgerRow, resend: bool, wait: bool) -> LedgerRow:
    earlier = {known.ref for known in ledger.rows(row.competition) if known.leaderboard == client.leaderboard}
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
        looks = LOOKS
        return way.create(api, row) or sent(api)

    ref = client.call(sent, slug)
    if not ref:
        wait_for_quota(client, slug, wait)
        row = way.upload(client, ledger, row)
        if row.finished:
            return row
        ref = client.call(send_once, slug)
    if not ref:
        raise UserError(
            f"{client.leaderboard} took {way.file.name} and named no submission: run the same command again"
        )
    print(f"{client.leaderboard}: {way.file} is submission {ref} to '{slug}'", flush=True)
    return ledger.update(row, state="submitted", ref=ref)


def _is_lost(client: Client, slug: str, row: LedgerRow) -> bool:
    """Whether it was submitted, and the leaderboard does not know it."""
    return row.ref is not None and client.call(lambda api: submission_of(api, row.ref), slug) is None


def _marked(api: "KaggleApi", slug: str, sha256: str) -> list[int]:
    """The numbers of the latest submissions that bear the mark of these bytes."""
    listed = api.competition_submissions(slug, page_size=100) or []
    return [submission.ref for submission in listed if mark(sha256) in submission.description]
