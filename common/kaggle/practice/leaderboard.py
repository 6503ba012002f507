"""The leaderboard as Kaggle gives it for download: a zip with one table."""

import io
import zipfile

import pandas as pd

from common.kaggle.practice.settings import OWNER
from common.kaggle.practice.store import Store

COLUMNS = ["Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score", "SubmissionCount", "TeamMemberUserNames"]


def leaderboard(store: Store, slug: str) -> bytes:
    """One row, the best public score of the one user; none where nothing has been scored."""
    scored = [submission for submission in store.submissions(slug) if submission.status == "COMPLETE"]
    rows = []
    if scored:
        last, best = scored[0].created[:19].replace("T", " "), max(submission.public_score for submission in scored)
        rows = [[1, 1, OWNER, last, f"{best:.5f}", len(scored), OWNER]]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{slug}-publicleaderboard.csv", pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False))
    return content.getvalue()
