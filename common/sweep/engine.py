"""What an engine is: it calls a function on items, several at a time, and survives what they die of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from common.models.zoo import find
from common.recipe import Recipe

SMALL, MIDDLING = 4_000_000, 10_000_000
"""Parameters of a network of which four, or two, train side by side on one GPU."""


@dataclass(frozen=True)
class Crash:
    """What comes back in place of a result where the worker died or the function raised."""

    reason: str


class Engine(Protocol):
    """`name` says what measured speeds belong to; `workers` how many items are worked on at once."""

    name: str
    workers: int
    threads: int

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """(item, what `function` made of it, or a `Crash`), as they end. Items are drawn when there is room for one."""
        ...

    def close(self) -> None: ...


def gpu_share(recipe: Recipe) -> float:
    """Of one GPU: a fraction for the zoo's small networks on images of ordinary size, else a whole one."""
    model = find(recipe.backbone)
    ordinary = recipe.input_size <= 256 and recipe.batch_size <= 128
    if model is None or not ordinary or model.parameters > MIDDLING:
        return 1.0
    return 0.25 if model.parameters <= SMALL else 0.5
