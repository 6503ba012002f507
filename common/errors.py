"""What a user can cause. The command line prints it as one line on standard error and exits with code 2."""


class UserError(Exception):
    """One line that names the culprit (file, field, address) and the way out. A traceback means a bug instead."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class MachineError(UserError):
    """No fault of what was asked, which goes on once the machine is mended: a process of it was killed, say."""


class DiskError(MachineError):
    """The disk is full, cannot be written, or has lost what was written."""


LONGEST = 500


def listing(items, limit: int = 10) -> str:
    """`a, b, c … and 4 more`: a bounded list for an error line, of items cut off at `LONGEST` characters."""
    items = [text if len(text := str(item)) <= LONGEST else f"{text[:LONGEST]}…" for item in items]
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" … and {rest} more" if rest > 0 else "")


def closest(word: str, known) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is near."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
