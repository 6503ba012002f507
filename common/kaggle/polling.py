"""Asking again and again, ever more seldom, with a line now and then so that nobody thinks it hangs."""

import time
from collections.abc import Callable
from typing import TypeVar

from common.kaggle.client import Unreachable
from common.progress import clock

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
LINE_EVERY = 10.0
OUTAGE = 3600.0
"""Seconds without an answer that a wait of hours sits out."""


class Polling:
    """`pause()` between two questions; `waited` is in seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = self.line = time.monotonic()
        self.seconds = FIRST_PAUSE

    @property
    def waited(self) -> float:
        return time.monotonic() - self.start

    def ask(self, question: Callable[[], T]) -> T:
        """The answer, through an outage of the network. Raises what `question` raises, an outage too long among it."""
        since = time.monotonic()
        while True:
            try:
                return question()
            except Unreachable as error:
                if time.monotonic() - since > OUTAGE:
                    raise
                print(f"{error} (waiting on)", flush=True)
                self.pause()

    def pause(self) -> None:
        if time.monotonic() - self.line >= LINE_EVERY:
            self.line = time.monotonic()
            print(f"{self.what}, {clock(self.waited)}", flush=True)
        time.sleep(self.seconds)
        self.seconds = min(self.seconds * 1.5, LONGEST_PAUSE)
