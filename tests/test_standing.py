"""Where a score stands on a leaderboard, and what cross-validation says of it."""

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from kagglesdk.competitions.types import competition_api_service as api

from common.errors import UserError
from common.files import write_json
from common.kaggle import client as clients
from common.kaggle import reasons
from common.kaggle.client import Client, practice_client
from common.kaggle.leaderboard import fetched, parse, placing, read
from common.kaggle.ledger import Ledger
from common.kaggle.relation import Relation, relation
from common.kaggle.standing import Standing, between_lines, medal_ranks, place
from competitions import load
from competitions.__main__ import run as command
from competitions.sources import PRACTICE

APTOS = load("aptos")
SLUG = APTOS.slug
HEADER = "\ufeffRank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\n"
PUBLIC = {str(team): round(0.95 - 0.001 * team, 5) for team in range(1, 251)}
PRIVATE = {str(team): round(0.90 - 0.001 * ((team * 7) % 250 + 1), 5) for team in range(1, 251)}


def public_zip(scores: dict[str, float], name: str = f"{SLUG}-publicleaderboard-2019-09-08T00:00:00.csv") -> bytes:
    lines = [
        f'{rank},{team},"Team, {team}",2019-09-07 10:00:00,{score},3,"a,b"\n'
        for rank, (team, score) in enumerate(scores.items(), start=1)
    ]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, HEADER + "".join(lines))
    return archive.getvalue()


def page(scores: dict[str, float], start: int, size: int) -> bytes:
    response = api.ApiGetLeaderboardResponse()
    response.submissions = []
    for team, score in list(scores.items())[start : start + size]:
        row = api.ApiLeaderboardSubmission()
        row.team_id, row.team_name, row.score = int(team), f"Team, {team}", f"{score:.5f}"
        row.submission_date = datetime(2019, 9, 7)
        response.submissions = [*response.submissions, row]
    response.next_page_token = str(start + size) if start + size < len(scores) else ""
    return json.dumps(response.to_dict()).encode()


@contextmanager
def kaggle_with(download: bytes, shown: dict[str, float], size: int = 100) -> Iterator[tuple[Client, list[str]]]:
    """The real client, on a server that gives this leaderboard away; and the methods that were called."""
    calls = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            calls.append(self.path.rsplit("/", 1)[1])
            body = (
                download if calls[-1] == "DownloadLeaderboard" else page(shown, int(asked.get("pageToken") or 0), size)
            )
            self.send_response(200 if body else 404)
            kind = "application/zip" if calls[-1] == "DownloadLeaderboard" else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Client("kaggle", url, practice_client(url).connect), calls
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(reasons, "FIRST_PAUSE", 0.01)


def test_a_new_score_ranks_behind_the_teams_that_have_the_same():
    scores = [0.9, 0.8, 0.8, 0.7, np.nan]
    assert [place(score, scores).rank for score in (0.95, 0.9, 0.85, 0.8, 0.75, 0.6)] == [1, 2, 2, 4, 4, 5]
    assert place(0.8, scores).teams == 4, "a team without a score is none of those that are ranked"
    assert place(0.95, scores).percentile == 25
    assert place(0.6, scores).percentile == 100
    with pytest.raises(UserError, match="no scores"):
        place(0.5, [np.nan])


@pytest.mark.parametrize(
    ("teams", "gold", "silver", "bronze"),
    [
        (9, 0, 1, 3),
        (99, 9, 19, 39),
        (100, 10, 20, 40),
        (249, 10, 49, 99),
        (250, 10, 50, 100),
        (500, 11, 50, 100),
        (999, 11, 50, 100),
        (1000, 12, 50, 100),
        (2172, 14, 108, 217),  # Human Protein Atlas, as its write-up has it
        (5000, 20, 250, 500),
    ],
)
def test_medals_follow_kaggles_rules(teams, gold, silver, bronze):
    assert list(medal_ranks(teams).values()) == [gold, silver, bronze]
    assert Standing(bronze + 1, teams).medal == ""
    assert Standing(bronze, teams).medal == "bronze"
    assert Standing(gold + 1, teams).medal == "silver"
    assert gold == 0 or Standing(gold, teams).medal == "gold"


def test_a_standing_is_said_in_one_breath():
    assert str(Standing(12, 2928)) == "rank 12 of 2,928 teams (top 0.4%), gold"
    assert str(Standing(1500, 2928)) == "rank 1,500 of 2,928 teams (top 51.2%), no medal"


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.94, "above first 0.9360"),
        (0.9312, "between gold 0.9305 and first 0.9360"),
        (0.92, "between silver 0.9197 and gold 0.9305"),
        (0.9197, "between bronze 0.9145 and silver 0.9197"),
        (0.5, "below median 0.8890"),
    ],
)
def test_without_a_leaderboard_the_declared_lines_say_where_a_score_lies(score, words):
    assert between_lines(score, APTOS.leaderboard_lines) == words


def test_the_leaderboard_is_downloaded_once_a_day_public_and_private_scores_apart(tmp_path):
    file = tmp_path / "submissions" / "aptos" / "leaderboard-kaggle.csv"
    with kaggle_with(public_zip(PUBLIC), PRIVATE) as (client, calls):
        table = fetched(client, SLUG, file)
        assert calls == ["DownloadLeaderboard"] + ["GetLeaderboard"] * 3
        assert list(table) == ["team_id", "team", "submitted", "public_score", "private_score"]
        assert dict(zip(table["team_id"], table["public_score"], strict=True)) == PUBLIC
        assert dict(zip(table["team_id"], table["private_score"], strict=True)) == PRIVATE
        assert table["private_score"].is_monotonic_decreasing
        assert table["team"].iloc[0].startswith("Team, ")
        assert placing(table) == "private_score"
        fetched(client, SLUG, file)
        assert len(calls) == 4
        old = time.time() - 25 * 3600
        os.utime(file, (old, old))
        fetched(client, SLUG, file)
        assert len(calls) == 8


def test_while_a_competition_runs_there_is_no_private_leaderboard(tmp_path):
    with kaggle_with(public_zip(PUBLIC), PUBLIC) as (client, _):
        table = fetched(client, SLUG, tmp_path / "board.csv")
    assert placing(table) == "public_score"
    assert table["private_score"].isna().all()
    assert len(table) == 250


def test_a_private_leaderboard_that_is_cut_short_is_not_believed(tmp_path):
    first = dict(sorted(PRIVATE.items(), key=lambda item: -item[1])[:20])
    with kaggle_with(public_zip(PUBLIC), first) as (client, _):
        assert placing(fetched(client, SLUG, tmp_path / "board.csv")) == "public_score"


def test_a_file_that_calls_itself_private_is_taken_at_its_word(tmp_path):
    with kaggle_with(public_zip(PRIVATE, f"{SLUG}-privateleaderboard.csv"), PRIVATE) as (client, _):
        table = fetched(client, SLUG, tmp_path / "board.csv")
    assert placing(table) == "private_score"
    assert sorted(table["private_score"]) == sorted(PRIVATE.values())


def test_older_files_without_ranks_keep_the_best_of_each_team():
    text = "TeamId,TeamName,SubmissionDate,Score\n1,a,2018-01-01,0.5\n2,NA,2018-01-02,0.7\n1,a,2018-01-03,0.8\n3,c,,\n"
    table = parse(io.BytesIO(text.encode()), "old")
    assert table["team_id"].tolist() == ["1", "2", "3"]
    assert table["score"].tolist()[:2] == [0.8, 0.7]
    assert np.isnan(table["score"][2])
    assert table["team"].tolist() == ["a", "NA", "c"]
    with pytest.raises(UserError, match="no column score; it has team_id, Points"):
        parse(io.BytesIO(b"TeamId,Points\n1,2\n"), "other")


@pytest.mark.parametrize("body", [b"<html>busy</html>", public_zip(PUBLIC, "readme.txt")])
def test_a_download_that_is_no_leaderboard_leaves_the_kept_one_alone(tmp_path, body):
    file = tmp_path / "board.csv"
    file.write_text("team_id,team,submitted,public_score,private_score\n1,a,,0.5,\n")
    os.utime(file, (0, 0))
    with kaggle_with(body, PRIVATE) as (client, _), pytest.raises(UserError, match="no zip file with a CSV"):
        fetched(client, SLUG, file)
    assert read(file)["public_score"].tolist() == [0.5]


def test_a_kept_leaderboard_that_is_broken_is_named(tmp_path):
    (tmp_path / "board.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"board\.csv.*delete it"):
        read(tmp_path / "board.csv")


def test_below_four_runs_nothing_is_told():
    assert relation([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == "3 submitted runs are too few to tell, 4 are needed"
    assert relation([0.1], [0.1]).startswith("1 submitted run is too few")
    assert "all scores are equal" in relation([0.5] * 5, [0.1, 0.2, 0.3, 0.4, 0.5])


def test_four_runs_in_one_order_are_no_proof_and_ten_are():
    few = relation([0.80, 0.81, 0.82, 0.83], [0.79, 0.80, 0.81, 0.83])
    assert few.spearman[0] == pytest.approx(1)
    assert few.spearman[1] < 0, "that four stand in one order is chance once in 24"
    assert "cannot be told" in few.verdict
    many = relation(np.linspace(0.8, 0.9, 10), np.linspace(0.7, 0.85, 10))
    assert many.verdict.startswith("local validation can be trusted")
    assert relation(np.linspace(0.8, 0.9, 10), -np.linspace(0.7, 0.85, 10)).verdict.startswith(
        "local validation misleads"
    )


def test_the_interval_of_a_correlation_covers_what_is_true():
    random, true, covered = np.random.default_rng(0), 0.7, {"pearson": 0, "spearman": 0}
    rank_true = 6 / np.pi * np.arcsin(true / 2)  # of a normal pair (Pearson, 1907)
    for _ in range(400):
        cv = random.normal(size=15)
        found = relation(cv, true * cv + np.sqrt(1 - true**2) * random.normal(size=15))
        covered["pearson"] += found.pearson[1] < true < found.pearson[2]
        covered["spearman"] += found.spearman[1] < rank_true < found.spearman[2]
    assert all(0.91 < count / 400 < 0.99 for count in covered.values()), covered


def test_offset_and_spread_are_those_of_the_points():
    random = np.random.default_rng(1)
    cv = random.uniform(0.7, 0.9, 2000)
    found = relation(cv, cv - 0.05 + random.normal(0, 0.004, 2000))
    assert isinstance(found, Relation)
    assert found.offset == pytest.approx(-0.05, abs=0.001)
    assert found.spread == pytest.approx(0.004, rel=0.1)


def submitted(leaderboard: str, arena: str, *scores: tuple[float, float, float], **fields) -> None:
    book = Ledger()
    for number, (cv, public, private) in enumerate(scores):
        known = {"competition": "aptos", "leaderboard": leaderboard, "arena": arena, "run_id": f"run{number}"}
        row = book.add(**known, sha256=f"{number}", description="", file="", cv_score=cv)
        book.update(row, state="scored", ref=number + 1, public_score=public, private_score=private, **fields)


def held_out_arena() -> str:
    """The slug of a practice test set that was held out here."""
    about = {"competition": "aptos", "slug": f"{SLUG}-0123abcd", "mark": "practice test set"}
    write_json(PRACTICE / "aptos-x" / "practice.json", about)
    return about["slug"]


def told(capsys, *words: str) -> str:
    assert command(["aptos", "ledger", *words]) == 0
    return capsys.readouterr().out


FIVE = [(0.90 + step / 100, 0.80 + step / 100, 0.91 + step / 200) for step in range(5)]


def test_the_ledger_shows_rank_and_medal_on_kaggle(capsys, monkeypatch):
    submitted("kaggle", SLUG, *[(cv, public, 0.85 + step / 100) for step, (cv, public, _) in enumerate(FIVE)])
    with kaggle_with(public_zip(PUBLIC), PRIVATE) as (client, calls):
        monkeypatch.setattr(clients, "kaggle_client", lambda: client)
        monkeypatch.setattr("common.kaggle.credentials.has_credentials", lambda: True)
        out = told(capsys)
        again = told(capsys)
    assert again == out
    assert len(calls) == 4
    assert "run4  0.9400  0.8400   0.8900  11/250  silver  scored" in out
    assert "run0  0.9000  0.8000   0.8500  51/250  bronze  scored" in out
    line = "run run4: rank 11 of 250 teams (top 4.4%), silver, as it would have been: a late submission gets none"
    assert f"kaggle: {line}" in out
    assert "kaggle: local validation points the right way" in out
    assert [(row.rank, row.teams) for row in Ledger().rows("aptos")] == [
        (51, 250),
        (41, 250),
        (31, 250),
        (21, 250),
        (11, 250),
    ]


def test_offline_the_declared_lines_and_the_reason_are_given(capsys):
    submitted("kaggle", SLUG, *FIVE)
    out = told(capsys)
    assert "kaggle: without Kaggle credentials the leaderboard is not downloaded" in out
    assert "run run4: 0.9300 lies between silver 0.9197 and gold 0.9305 of the private leaderboard" in out


def test_a_leaderboard_that_was_kept_serves_when_kaggle_refuses(capsys, monkeypatch, tmp_path):
    submitted("kaggle", SLUG, (0.9, 0.8, 0.85))
    with kaggle_with(public_zip(PUBLIC), PRIVATE) as (client, _):
        file = tmp_path / "submissions" / "aptos" / "leaderboard-kaggle.csv"
        fetched(client, SLUG, file)
    os.utime(file, (0, 0))
    with kaggle_with(b"", {}) as (client, _):
        monkeypatch.setattr(clients, "kaggle_client", lambda: client)
        monkeypatch.setattr("common.kaggle.credentials.has_credentials", lambda: True)
        out = told(capsys)
    assert "(404)" in out
    assert "rank 51 of 250 teams" in out


def test_arenas_are_never_in_one_correlation(capsys, tmp_path):
    held_out = held_out_arena()
    submitted("practice", SLUG, *FIVE)
    submitted("practice", held_out, *FIVE[:3])
    submitted("kaggle", SLUG, *FIVE[:2])
    submitted("practice", "", *FIVE)
    about = json.loads(told(capsys, "--json"))["leaderboards"]
    assert [(part["leaderboard"], part["arena"]) for part in about] == [
        ("practice", SLUG),
        ("practice", held_out),
        ("kaggle", SLUG),
        ("practice", ""),
    ]
    assert [part["relations"]["public"]["n"] for part in about[:1]] == [5]
    assert about[1]["relations"]["public"].startswith("3 submitted runs are too few")
    assert about[2]["relations"]["private"].startswith("2 submitted runs are too few")
    assert about[3]["relations"] == {}, "an old ledger may have mixed the two"
    assert len({part["picture"] for part in about[:3]}) == 3
    assert all((tmp_path / part["picture"]).read_bytes().startswith(b"\x89PNG") for part in about[:3])
    best = [Ledger().best("aptos", *arena).public_score for arena in (("practice", SLUG), ("practice", held_out))]
    assert best == pytest.approx([0.84, 0.82])


def test_a_practice_score_is_never_placed_without_saying_what_it_is(capsys):
    held_out = held_out_arena()
    submitted("practice", SLUG, *FIVE)
    submitted("practice", held_out, *FIVE)
    out = told(capsys)
    rows, _, rest = out.partition("\n\n")
    assert all(line.startswith("practice") for line in rest.splitlines() if line)
    assert "medal" in rows
    assert " gold" not in rows
    (line,) = [line for line in rest.splitlines() if "gold" in line]
    assert line.startswith(
        "practice: practice test set: run run4: 0.9300 is a practice score on held-out training images"
    )
    assert "whose test images are others" in line
    assert sum(line.startswith("practice: sample data: ") for line in rest.splitlines()) > 3


def test_of_a_run_that_was_submitted_twice_the_last_submission_counts(capsys):
    submitted("practice", SLUG, *FIVE)
    submitted("practice", SLUG, *FIVE)
    (about,) = json.loads(told(capsys, "--json"))["leaderboards"]
    assert len(about["submissions"]) == 10
    assert about["relations"]["public"]["n"] == 5


def test_an_empty_ledger_says_so(capsys):
    assert told(capsys) == "nothing of aptos was submitted yet\n"
    assert json.loads(told(capsys, "--json")) == {"competition": "aptos", "leaderboards": []}
    assert not Path("submissions/aptos").exists()


def test_the_version_of_a_notebook_is_shown(capsys):
    submitted("kaggle", SLUG, FIVE[0], kernel="me/aptos-run0", kernel_version=7)
    assert "scored  v7" in told(capsys)
