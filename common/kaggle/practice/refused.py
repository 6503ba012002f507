"""What the practice leaderboard says no to."""


class Refused(Exception):
    """The request cannot be granted: HTTP status and the reason in one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
