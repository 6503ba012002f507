"""How many submissions the day has left, and waiting for the next day's."""

import time
from datetime import UTC, datetime, timedelta

from common.errors import UserError
from common.kaggle.client import Client
from common.progress import clock

ASK_EVERY = 600.0
"""Seconds: Kaggle's day may end a little later than ours."""


def wait_for_quota(client: Client, slug: str, wait: bool) -> None:
    """Return when a submission is allowed; with `wait` sleep until then.

    Raises:
        UserError: the day's submissions are spent and nobody waits, or those of the whole competition are.
    """
    leaderboard = client.leaderboard
    while True:
        limits = client.call(lambda api: api.competition_get_submission_limits(slug), slug)
        if limits.num_allowed_now > 0 or limits.num_total == 0:  # all zero before the first submission makes a team
            return
        if limits.limited_by_total:
            raise UserError(f"{leaderboard}: no submissions left for '{slug}', all {limits.num_total} are spent")
        seconds = seconds_to_midnight()
        if not wait:
            raise UserError(
                f"{leaderboard}: today's {limits.num_today} submissions to '{slug}' are spent: run the same command "
                f"again after midnight UTC, in {clock(seconds)}, or let it wait with --wait-for-quota"
            )
        print(f"{leaderboard}: today's submissions to '{slug}' are spent, {clock(seconds)} to midnight UTC", flush=True)
        time.sleep(min(seconds + 1, ASK_EVERY))


def seconds_to_midnight() -> float:
    now = datetime.now(UTC)
    return (now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1) - now).total_seconds()
