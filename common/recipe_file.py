"""A recipe as a file, which stands wherever a recipe's name does: JSON, the fields and where they come from.

    {"recipe": {"backbone": "resnet50", …}, "from": {…}}

Fields that are not there have their defaults. Nothing reads `from`; it is for whoever finds the file.
"""

from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import read_json, write_json
from common.recipe import Recipe, recipe_from_dict

SUFFIX = ".json"


def save_recipe(path: Path, recipe: Recipe, origin: dict[str, Any]) -> None:
    write_json(path, {"recipe": recipe.to_dict(), "from": origin})


def load_recipe(path: Path) -> Recipe:
    """Raises UserError: no such file, not such a file, an unknown field or a wrong value; the line names the file."""
    try:
        content = read_json(path)
    except OSError as error:
        raise UserError(f"recipe: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"recipe: {path} is not JSON: {error}") from error
    fields = content.get("recipe") if isinstance(content, dict) else None
    if not isinstance(fields, dict):
        raise UserError(f'recipe: {path} holds no recipe: wants {{"recipe": {{"field": value, …}}}}')
    try:
        return recipe_from_dict(fields)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
