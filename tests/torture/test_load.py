"""The practice leaderboard under a crowd: fifty clients at once that submit as fast as they are answered."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import requests
from kagglesdk.competitions.types import competition_api_service as api

from common.kaggle.client import practice_client
from common.kaggle.practice.store import Store
from tests.forked import context
from tests.practice_world import practice_competition, quick_settings, submission

SLUG = "tiny-challenge"
CLIENTS = 50


def serve(folder: Path, pipe: Connection) -> None:
    """A practice server in a process of its own, whose days have no limit; until something is sent."""
    from common.kaggle.practice import board
    from common.kaggle.practice.server import running

    board.DAY_LIMIT = 10**9
    with running([practice_competition(folder)], folder / "state", quick_settings()) as url:
        pipe.send(url)
        pipe.recv()


@contextmanager
def server(folder: Path):
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(folder, theirs), daemon=True)
    process.start()
    yield ours.recv()
    ours.send("stop")
    process.join(30)


@dataclass
class Crowd:
    """What the clients saw: seconds of each call, (number, description) of each submission, what was not answered."""

    url: str
    csv: bytes
    end: float
    seconds: list[float] = field(default_factory=list)
    sent: list[tuple[int, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def timed(self, call: Callable, *arguments, **options):
        start = time.monotonic()
        try:
            return call(*arguments, **options)
        finally:
            self.seconds.append(time.monotonic() - start)

    def client(self, name: str) -> None:
        """Submits what the official client would, with its own code and one connection, until the time is over."""
        number = 0
        with practice_client(self.url).api.build_kaggle_client() as kaggle, requests.Session() as session:
            calls = kaggle.competitions.competition_api_client
            while time.monotonic() < self.end:
                number += 1
                try:
                    self.submit(calls, session, f"{name}, submission {number}")
                except (requests.RequestException, AssertionError) as error:
                    self.failures.append(f"{name}: {error}")

    def submit(self, calls, session: requests.Session, description: str) -> None:
        """Upload, submission, a look at its score, the list: five calls."""
        start, create = api.ApiStartSubmissionUploadRequest(), api.ApiCreateSubmissionRequest()
        start.competition_name, start.file_name, start.content_length = SLUG, "s.csv", len(self.csv)
        upload = self.timed(calls.start_submission_upload, start)
        self.timed(session.put, upload.create_url, data=self.csv).raise_for_status()
        create.competition_name, create.blob_file_tokens = SLUG, upload.token
        create.submission_description = description
        ref = self.timed(calls.create_submission, create).ref
        self.sent.append((ref, description))
        look, listing = api.ApiGetSubmissionRequest(), api.ApiListSubmissionsRequest()
        look.ref, listing.competition_name = ref, SLUG
        assert self.timed(calls.get_submission, look).description == description
        assert len(self.timed(calls.list_submissions, listing).submissions) > 0


def storm(folder: Path, seconds: float) -> tuple[Crowd, list]:
    """The crowd, and what the server's memory holds when everything is scored."""
    csv = submission(folder / "s.csv").read_bytes()
    with server(folder) as url:
        crowd = Crowd(url, csv, time.monotonic() + seconds)
        threads = [threading.Thread(target=crowd.client, args=[f"client {number}"]) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store, deadline = Store(folder / "state"), time.monotonic() + 30
        while store.pending() and time.monotonic() < deadline:
            time.sleep(0.05)
    return crowd, store.submissions(SLUG)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.torture)])
def test_fifty_clients_at_once_lose_nothing_double_nothing_and_in_a_minute_wait_less_than_a_second(
    seconds, tmp_path, say
):
    crowd, kept = storm(tmp_path, seconds)
    lost = set(crowd.sent) - {(row.ref, row.description) for row in kept}
    doubled = [count for count in Counter(row.description for row in kept).values() if count > 1]
    middle, slow = np.quantile(crowd.seconds, [0.5, 0.99])
    say(
        f"{CLIENTS} clients for {seconds} s: {len(crowd.seconds):,} calls, {len(crowd.sent):,} submissions, "
        f"{len(lost)} lost, {len(doubled)} doubled, {len(crowd.failures)} not answered; "
        f"p50 {1000 * middle:.0f} ms, p99 {1000 * slow:.0f} ms, slowest {1000 * max(crowd.seconds):.0f} ms"
    )
    assert crowd.failures == []
    assert (lost, doubled) == (set(), [])
    assert len(kept) == len(crowd.sent) == len({ref for ref, _ in crowd.sent}) >= CLIENTS
    assert {(row.status, row.public_score) for row in kept} == {("COMPLETE", 1.0)}
    assert slow < 1.0 or seconds == 3, "the short storm shares its cores with other tests"
