"""What a run was asked: the recipe of the competition that it is nearest to, and the fields that differ."""

import dataclasses
from typing import Any

from common.competition import Competition
from common.recipe import Recipe
from common.report.page import setting


def differing(recipe: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field → its value here and there, where the two are not the same."""
    pairs = {
        field.name: (getattr(recipe, field.name), getattr(other, field.name)) for field in dataclasses.fields(recipe)
    }
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def nearest(competition: Competition, recipe: Recipe) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The name of the competition's recipe that fewest fields have to be changed of, and these fields."""
    differences = {name: differing(recipe, named) for name, named in competition.recipes.items()}
    name = min(differences, key=lambda one: len(differences[one]))
    return name, differences[name]


def called(competition: Competition, recipe: Recipe) -> str:
    """`interventions`, or `interventions, learning_rate 0.001, …` of three fields at most."""
    name, changed = nearest(competition, recipe)
    told = [f"{field.replace('_', ' ')} {setting(value)}" for field, (value, _) in changed.items()]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return ", ".join([name, *told[:3]]) + more
