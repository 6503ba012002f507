"""From command-line words to a recipe and options. tyro parses; what it says of a mistake is brought to one line."""

import contextlib
import io
import re
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Annotated, NamedTuple, TypeVar

import tyro

from common.competition import Competition
from common.errors import UserError, closest
from common.options import Options
from common.recipe import FIELDS, Recipe

T = TypeVar("T")
NAMES = (*FIELDS, *(option.name for option in fields(Options)))
SWITCHES = {switch.name for kind in (Recipe, Options) for switch in fields(kind) if switch.type in (bool, "bool")}
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
    """`--recipe NAME` chooses the starting point (for sample data its small recipe), fields override it. `kind` adds
    what the verb alone takes. Also whether a recipe was asked for, see `Parsed`.

    Raises:
        UserError: no such recipe or field, or a wrong value; one line that names it.
    """
    name, words = take(words, "--recipe")
    sample = take(words, "--data")[0] == "sample"
    chosen = name or (SAMPLE_RECIPE if sample and competition.make_sample else DEFAULT_RECIPE)
    if chosen not in competition.recipes:
        near = closest(chosen, competition.recipes)
        known = ", ".join(competition.recipes)
        raise UserError(f"recipe: {competition.name} has no '{chosen}'{near}; there are {known}")
    default = kind(recipe=competition.recipes[chosen])
    parsed = parse(kind, words, f"python -m competitions {competition.name} {verb} [--recipe NAME]", default)
    given = {word.partition("=")[0].lstrip("-").replace("-", "_") for word in words if word.startswith("--")}
    return parsed, bool(name or given & set(FIELDS))


def parse(kind: type[T], words: list[str], program: str, default: T | None = None) -> T:
    """A dataclass from command-line words; `--help` prints and exits.

    Raises:
        UserError: tyro's complaint in one line.
    """
    words = [part for word, following in pairwise([*words, ""]) for part in spelled_out(word, following)]
    complaint = io.StringIO()
    settings = (tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes)
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=words, prog=program, default=default, config=settings)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(one_line(complaint.getvalue())) from None


def spelled_out(word: str, following: str) -> list[str]:
    """A switch alone, `--again`, means `--again True`."""
    alone = word.removeprefix("--").replace("-", "_") in SWITCHES and following.lower() not in ("true", "false")
    return [word, "True"] if word.startswith("--") and alone else [word]


def one_line(box: str) -> str:
    """The first part of tyro's box, below its title and without its frame, which is drawn in lines or in dashes."""
    lines = [line.strip(" │|") for line in box.splitlines()]
    parts: list[list[str]] = [[]]
    for line in filter(None, lines):
        if line.startswith(("╭", "╰")) or set(line) <= set("─-"):
            parts.append([])
        else:
            parts[-1].append(line)
    told = [" ".join(part) for part in parts if part]
    message = told[0] if "╭" in box else told[1]
    unknown = re.match(r"Unrecognized options: (--[\w-]+)", message)
    hint = closest(unknown.group(1), [f"--{name.replace('_', '-')}" for name in NAMES]) if unknown else ""
    return f"{message}{hint}; --help lists every field"


def take(words: list[str], option: str) -> tuple[str, list[str]]:
    """The value of one option (empty where it is not given) and the other words."""
    for index, word in enumerate(words):
        if word.startswith(option + "="):
            return word.partition("=")[2], words[:index] + words[index + 1 :]
        if word == option:
            if index + 1 == len(words):
                raise UserError(f"{option} wants a value")
            return words[index + 1], words[:index] + words[index + 2 :]
    return "", words
