"""From command-line words to a recipe and options."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import tyro

from common.command import parse, take
from common.competition import Competition
from common.errors import UserError, closest
from common.options import Options
from common.recipe import FIELDS, Recipe
from common.recipe_file import SUFFIX, load_recipe

DEFAULT_RECIPE, SAMPLE_RECIPE = "interventions", "sample"


@dataclass(frozen=True)
class Arguments:
    """Fields of the recipe, then options that change no result."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = field(default_factory=Recipe)
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)


A = TypeVar("A", bound=Arguments)


class Parsed(NamedTuple):
    recipe: Recipe
    options: Options
    asked: bool
    """Whether a recipe or one of its fields was named, rather than left to the default."""


def parse_recipe(competition: Competition, verb: str, words: list[str]) -> Parsed:
    """The recipe and the options that a command line asks for; see `parse_arguments`."""
    arguments, asked = parse_arguments(competition, verb, words, Arguments)
    return Parsed(arguments.recipe, arguments.options, asked)


def parse_arguments(competition: Competition, verb: str, words: list[str], kind: type[A]) -> tuple[A, bool]:
    """`--recipe NAME` or a recipe file chooses the starting point (for sample data its small recipe), fields override
    it. `kind` adds what the verb alone takes. Also whether a recipe was asked for, see `Parsed`.

    Raises:
        UserError: no such recipe or field, or a wrong value; one line that names it.
    """
    name, words = take(words, "--recipe")
    sample = take(words, "--data")[0] == "sample"
    chosen = name or (SAMPLE_RECIPE if sample and competition.make_sample else DEFAULT_RECIPE)
    default = kind(recipe=recipe_called(competition, chosen))
    parsed = parse(kind, words, f"python -m competitions {competition.name} {verb} [--recipe NAME]", default)
    given = {word.partition("=")[0].lstrip("-").replace("-", "_") for word in words if word.startswith("--")}
    return parsed, bool(name or given & set(FIELDS))


def recipe_called(competition: Competition, name: str) -> Recipe:
    """The competition's recipe of that name, or the one in a file, such as `tune` writes. Raises UserError."""
    if name in competition.recipes:
        return competition.recipes[name]
    if name.endswith(SUFFIX):
        return load_recipe(Path(name))
    near, known = closest(name, competition.recipes), ", ".join(competition.recipes)
    raise UserError(f"recipe: {competition.name} has no '{name}'{near}; there are {known}, or a {SUFFIX} file")
