"""The search space: for fields of a recipe the values, or the range of values, that may be tried.

Optuna is imported where it is used, for competitions declare their spaces with what is here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, get_type_hints

from common.errors import UserError, closest
from common.recipe import FIELDS, Recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

GRID_POINTS = 5
"""Values that a grid takes of a range without a step."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; with `step` only those that lie whole steps above `low`, with `log`
    each factor is as likely as the next. Whole numbers where all are whole numbers of type int."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def values(self) -> list[float]:
        """Those that a grid takes, in ascending order."""
        if self.step:
            return [self.low + i * self.step for i in range(math.floor((self.high - self.low) / self.step + 1e-9) + 1)]
        shares = [i / (GRID_POINTS - 1) for i in range(GRID_POINTS)]
        if self.log:
            return [float(f"{self.low * (self.high / self.low) ** share:.3g}") for share in shares]
        return [type(self.low)(self.low + (self.high - self.low) * share) for share in shares]


Choice = Range | Sequence[Any]
Space = Mapping[str, Choice]
Point = Mapping[str, Any]

DEFAULT = ("augment", "strength")
"""What is searched where nothing is named."""

COMMON: Space = {
    "augment": ("base", "paper-aptos", "heavy", "randaugment", "augmix"),
    "strength": Range(0.0, 2.0, step=0.25),
    "mixup": Range(0.0, 1.0, step=0.2),
    "cutmix": Range(0.0, 1.0, step=0.2),
    "input_size": (224, 256, 320, 384, 448, 512),
    "pooling": ("avg", "gem", "avgmax"),
    "drop_rate": Range(0.0, 0.5, step=0.1),
    "drop_path": Range(0.0, 0.4, step=0.1),
    "label_smoothing": Range(0.0, 0.2, step=0.05),
    "class_balance": Range(0.0, 1.0, step=0.25),
    "optimizer": ("adamw", "sgd"),
    "learning_rate": Range(1e-5, 1e-1, log=True),
    "weight_decay": Range(1e-6, 1e-1, log=True),
    "layer_decay": Range(0.6, 1.0, step=0.05),
    "warmup_epochs": (0.0, 1.0, 2.0),
    "clip_gradient": (0.0, 1.0, 5.0),
    "ema": (0.0, 0.99, 0.995, 0.999),
    "head_init": ("default", "zero", "prior"),
}
"""What every competition searches a field over, unless its own `search` says another choice or adds a field."""


def search_space(own: Space, names: Sequence[str] = ()) -> dict[str, Choice]:
    """The choices of the fields `names` (empty: `DEFAULT`), the competition's `own` before the common ones. Where both
    are searched, the policy comes before its strength, which not every policy has.

    Raises:
        UserError: a field does not exist, is not in the space, or may not have one of its values; the line names it.
    """
    space = {**COMMON, **own}
    for name in own:
        if name not in FIELDS:
            raise UserError(f"search space: a recipe has no field '{name}'{closest(name, FIELDS)}")
    for name in names:
        if name not in FIELDS:
            raise UserError(f"search: a recipe has no field '{name}'{closest(name, FIELDS)}")
        if name not in space:
            raise UserError(f"search: nothing is known to try for '{name}'; there are {', '.join(space)}")
    chosen = {name: space[name] for name in sorted(names or DEFAULT, key=lambda name: name == "strength")}
    for name, choice in chosen.items():
        check_choice(name, choice)
    return chosen


def check_choice(name: str, choice: Choice) -> None:
    """Raises UserError where the field may not have one of these values, or a range is none."""
    from pydantic import TypeAdapter, ValidationError

    ends = (choice.low, choice.high) if isinstance(choice, Range) else tuple(choice)
    if isinstance(choice, Range) and (choice.low > choice.high or (choice.log and choice.low <= 0)):
        raise UserError(f"search space: {name}: {choice.low:g} to {choice.high:g} is no range")
    if not ends or isinstance(choice, str):
        raise UserError(f"search space: {name}: wants a Range or a list of values (got {choice!r})")
    field = TypeAdapter(get_type_hints(Recipe, include_extras=True)[name])
    for value in ends:
        try:
            field.validate_python(value)
        except ValidationError as error:
            raise UserError(f"search space: {name}: {error.errors()[0]['msg']} (got {value!r})") from None


def distribution(choice: Choice) -> "BaseDistribution":
    """Optuna's word for it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(choice, Range):
        return CategoricalDistribution(tuple(choice))
    if isinstance(choice.low, int) and isinstance(choice.high, int):
        return IntDistribution(choice.low, choice.high, log=choice.log, step=int(choice.step or 1))
    return FloatDistribution(choice.low, choice.high, log=choice.log, step=choice.step)


def matters(name: str, recipe: Recipe, point: Point) -> bool:
    """Whether this field changes anything in the recipe with the other fields of the point."""
    from common.augment import Policy

    return name != "strength" or Policy(point.get("augment", recipe.augment)).graded


def suggest(trial: "Trial", space: Space, recipe: Recipe) -> dict[str, Any]:
    """A point that the study's sampler draws; a field that does not matter there is not in it."""
    point: dict[str, Any] = {}
    for name, choice in space.items():
        if matters(name, recipe, point):
            among = distribution(choice)
            if not isinstance(choice, Range):
                point[name] = trial.suggest_categorical(name, among.choices)
            else:
                draw = trial.suggest_int if isinstance(among.low, int) else trial.suggest_float
                point[name] = draw(name, among.low, among.high, step=among.step, log=among.log)
    return point


def grid(space: Space, recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Every combination, the last field fastest, without the fields that do not matter there: hence some come twice."""
    values = [choice.values() if isinstance(choice, Range) else choice for choice in space.values()]
    for combination in product(*values):
        point = dict(zip(space, combination, strict=True))
        yield {name: value for name, value in point.items() if matters(name, recipe, point)}


def default_point(space: Space, recipe: Recipe) -> dict[str, Any]:
    """The recipe's own values, those that the space holds."""
    from optuna.distributions import CategoricalDistribution

    point = {}
    for name, choice in space.items():
        value, among = getattr(recipe, name), distribution(choice)
        inside = value in choice if isinstance(among, CategoricalDistribution) else among._contains(value)
        if inside and matters(name, recipe, {}):
            point[name] = value
    return point
