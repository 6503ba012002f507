"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def clock(seconds: float) -> str:
    """`75` → `1:15`, `3725` → `1:02:05`."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Counts `unit`s towards `total`, with a rate and the time left. Use as a context manager.

    `done` units finished earlier (a resumed piece of work) count towards the end but not into the rate.
    """

    def __init__(self, total: int, what: str, unit: str = "images", done: int = 0, every: float = 10.0) -> None:
        self.total, self.what, self.unit, self.count, self.every = total, what, unit, done, every
        self.began_at = done
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, desc=what, unit=f" {unit}", leave=False, dynamic_ncols=True)

    def __enter__(self) -> "Progress":
        self.start = self.last_line = time.monotonic()
        return self

    def update(self, n: int, note: str = "") -> None:
        self.count += n
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(n)
        elif time.monotonic() - self.last_line >= self.every:
            self.last_line = time.monotonic()
            left = clock((self.total - self.count) / max(self.rate, 1e-9))
            count = f"{self.count:,}/{self.total:,} {self.unit}"
            print(f"{self.what}: {count}, {self.rate:,.0f}/s, {left} left {note}", file=sys.stderr, flush=True)

    @contextmanager
    def apart(self, note: str) -> Iterator[None]:
        """Around a wait that comes once, is shown, and says nothing of the rate."""
        began = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(note)
        else:
            print(f"{self.what}: {note}", file=sys.stderr, flush=True)
        yield
        self.start += time.monotonic() - began
        if self.bar is not None:
            self.bar.start_t += time.monotonic() - began

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    @property
    def rate(self) -> float:
        """Units a second since this piece of work began."""
        return (self.count - self.began_at) / max(self.seconds, 1e-9)

    def __exit__(self, *exception) -> None:
        if self.bar is not None:
            self.bar.close()
