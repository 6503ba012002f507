"""Kaggle's leaderboard, downloaded and kept as a table.

The file that Kaggle offers for download is the public leaderboard, also when the competition is over
(https://github.com/Kaggle/kaggle-cli/issues/731); the private one is shown page by page, and the public one in its
place as long as the competition runs. Both are kept in one table.
"""

import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from kagglesdk.competitions.types.competition_api_service import ApiGetLeaderboardRequest

from common.errors import UserError
from common.files import write_atomically
from common.kaggle.client import Client

FRESH = 24 * 3600.0
"""Seconds for which a downloaded leaderboard is not asked for again."""
PAGE = 200
COLUMNS = {
    "rank": "rank",
    "teamid": "team_id",
    "teamname": "team",
    "lastsubmissiondate": "submitted",
    "submissiondate": "submitted",
    "score": "score",
}


def fetched(client: Client, slug: str, file: Path) -> pd.DataFrame:
    """The leaderboard as `read` returns it; downloaded to `file` where there is none of today.

    Raises:
        UserError: it is not to be had; the line says why. What was at `file` before is untouched.
    """
    if not file.is_file() or time.time() - file.stat().st_mtime > FRESH:
        table = _merged(_downloaded(client, slug), _shown(client, slug))
        write_atomically(file, lambda path: table.to_csv(path, index=False))
    return read(file)


def read(file: Path) -> pd.DataFrame:
    """A kept leaderboard, a row a team: team_id, team, submitted (UTC), public_score, and private_score, which is NaN
    throughout where the competition is not over. Raises UserError where the file is not whole."""
    try:
        table = pd.read_csv(file, dtype={"team_id": str, "team": str, "submitted": str})
        return table.astype({"public_score": np.float64, "private_score": np.float64})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot read the leaderboard {file}: {error}; delete it to fetch it again") from error


def placing(teams: pd.DataFrame) -> str:
    """The column that a leaderboard is sorted by: private scores once they are known."""
    return "private_score" if teams["private_score"].notna().any() else "public_score"


def _merged(downloaded: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """One table of the leaderboard that is downloaded and of the one that is shown: the private one if it differs."""
    if "private_score" in downloaded:
        return downloaded.assign(public_score=np.nan)
    same = np.array_equal(np.sort(downloaded["public_score"].dropna()), np.sort(shown["private_score"].dropna()))
    cut_short = len(shown) < 0.9 * len(downloaded)  # it would place every score too high
    private = shown.iloc[:0] if same or cut_short else shown
    both = downloaded.set_index("team_id").join(private.set_index("team_id"), how="outer").reset_index()
    return both.sort_values(["private_score", "public_score"], ascending=False, kind="stable")


def _downloaded(client: Client, slug: str) -> pd.DataFrame:
    """The file that the official client downloads, as `parse` returns it, its score named public or private."""
    with tempfile.TemporaryDirectory() as folder:
        client.call(lambda api: api.competition_leaderboard_download(slug, folder, quiet=True), slug)
        try:
            with zipfile.ZipFile(Path(folder) / f"{slug}.zip") as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
                part = "private" if "private" in names[0].removeprefix(slug).lower() else "public"
                with archive.open(names[0]) as csv:
                    return parse(csv, slug).rename(columns={"score": f"{part}_score"})
        except (OSError, zipfile.BadZipFile, IndexError) as error:
            raise UserError(f"{client.leaderboard}: the leaderboard of '{slug}' is no zip file with a CSV") from error


def parse(csv, slug: str) -> pd.DataFrame:
    """A leaderboard file in any of Kaggle's forms → team_id, team, submitted, score; a row a team, the first one first.

    Older files have no rank, and a row for every time that a team bettered itself: its best counts.
    """
    table = pd.read_csv(csv, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    table = table.rename(columns=lambda name: COLUMNS.get(name.strip().lower().replace(" ", ""), name))
    if missing := [name for name in ("team_id", "score") if name not in table]:
        raise UserError(f"the leaderboard of '{slug}' has no column {missing[0]}; it has {', '.join(table)}")
    table["score"] = pd.to_numeric(table["score"], errors="coerce")
    if "rank" in table:
        table["rank"] = pd.to_numeric(table["rank"], errors="coerce")
        table = table.sort_values("rank", kind="stable")
    else:
        table = table.sort_values("score", ascending=False, kind="stable", na_position="last")
    table = table.drop_duplicates("team_id").reindex(columns=["team_id", "team", "submitted", "score"])
    return table.reset_index(drop=True)


def _shown(client: Client, slug: str) -> pd.DataFrame:
    """All pages of the leaderboard that is shown: team_id, private_score, as which the caller checks it."""
    rows, token, seen = [], "", set()
    while token not in seen:
        seen.add(token)
        page = client.call(lambda api, token=token: _page(api, slug, token), slug)
        rows += [(str(row.team_id), row.score) for row in page.submissions or []]
        token = page.next_page_token
        if not token:
            break
    table = pd.DataFrame(rows, columns=["team_id", "private_score"]).drop_duplicates("team_id")
    return table.assign(private_score=pd.to_numeric(table["private_score"], errors="coerce"))


def _page(api, slug: str, token: str):
    request = ApiGetLeaderboardRequest()
    request.competition_name, request.page_size, request.page_token = slug, PAGE, token
    with api.build_kaggle_client() as kaggle:
        return kaggle.competitions.competition_api_client.get_leaderboard(request)
