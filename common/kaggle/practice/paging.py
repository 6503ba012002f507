"""Pages of a list, as the official client asks for them."""

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

USUAL_SIZE = 20


def page(everything: Sequence[T], request: Any) -> tuple[Sequence[T], str]:
    """The page that `page_token` and `page_size` of a request name, and the token of the next, empty after the last."""
    start = int(request.page_token) if request.page_token.isdigit() else 0
    end = start + (request.page_size or USUAL_SIZE)
    return everything[start:end], str(end) if end < len(everything) else ""
