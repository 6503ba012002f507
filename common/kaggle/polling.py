"""Asking again and again, ever more seldom, with a line now and then so that nobody thinks it hangs."""

import time

from common.progress import clock

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
LINE_EVERY = 10.0


class Polling:
    """`pause()` between two questions; `waited` is in seconds."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = self.line = time.monotonic()
        self.seconds = FIRST_PAUSE

    @property
    def waited(self) -> float:
        return time.monotonic() - self.start

    def pause(self) -> None:
        if time.monotonic() - self.line >= LINE_EVERY:
            self.line = time.monotonic()
            print(f"{self.what}, {clock(self.waited)}", flush=True)
        time.sleep(self.seconds)
        self.seconds = min(self.seconds * 1.5, LONGEST_PAUSE)
