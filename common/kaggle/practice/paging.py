"""Pages of a list, as the official client asks for them."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

USUAL_SIZE = 20


def number(text: str) -> int | None:
    """What a few digits say; None for anything else. Python reads no number of thousands of digits."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def page(everything: Sequence[T], request: Any) -> tuple[Sequence[T], str]:
    """The page that `page_token` and `page_size` of a request name, and the token of the next, empty after the last."""
    start = number(request.page_token) or 0
    end = start + (request.page_size or USUAL_SIZE)
    return everything[start:end], str(end) if end < len(everything) else ""
