"""How quick the practice leaderboard is, and what runs its notebooks."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from common.kaggle.practice.limits import Limits

OWNER = "practice"
"""The one user, to whom every dataset and every notebook belongs."""


@dataclass(frozen=True)
class Settings:
    """`dataset_seconds`: at least so long until a dataset is READY; `queue_seconds`: so long a session stays QUEUED.

    `session_command`, with the session's folder behind it, runs `notebook.ipynb` of that folder in the working folder
    that it is started in, and writes `log.jsonl` there; exit status 0 is COMPLETE; see session.py. `limits`: what it
    may take.
    """

    dataset_seconds: float = 0.3
    queue_seconds: float = 0.0
    session_command: tuple[str, ...] = (sys.executable, "-P", str(Path(__file__).with_name("session.py")))
    limits: Limits = field(default_factory=Limits)
