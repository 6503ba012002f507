"""The competitions: every folder here that defines `COMPETITION`. Adding one touches no file outside its folder.

Importing this package, and listing what it holds, imports none of them.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError, closest

if TYPE_CHECKING:
    from common.competition import Competition


def names() -> list[str]:
    """The names of all competitions, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("[a-z]*/__init__.py"))


def load(name: str) -> "Competition":
    """One competition's declaration.

    Raises:
        UserError: there is none of that name.
    """
    if name not in names():
        raise UserError(f"there is no competition '{name}'{closest(name, names())}; there are {', '.join(names())}")
    return import_module(f"competitions.{name}").COMPETITION


def lazy(module: str, function: str, *arguments: Any) -> Callable[..., Any]:
    """A function whose module is imported when it is first called: declaring a reader costs no pandas. `arguments` are
    its first ones."""
    return partial(_call, module, function, *arguments)


def _call(module: str, function: str, *arguments: Any) -> Any:
    return getattr(import_module(module), function)(*arguments)
