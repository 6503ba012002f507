"""A grid: recipes of many competitions, expanded and filtered."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.errors import UserError, closest, listing
from common.files import content_hash
from common.recipe import FIELDS, Recipe

OPTIMIZATIONS = (("adamw", "cosine"), ("sgd", "cosine"), ("sgd", "step"))
LEARNING_RATES = {"adamw": (1e-2, 1e-3, 1e-4, 1e-5), "sgd": (1e-1, 1e-2, 1e-3, 1e-4)}
DECAYS = (1e-3, 1e-4, 1e-5, 1e-6, 0.0)
STEP_EPOCHS = {30: (15, 20, 25), 10: (5,)}
"""The paper's sections C.2 and D. It names the steps for these two numbers of epochs."""


@dataclass(frozen=True)
class Job:
    """One run that a grid asks for.

    `variant` tells apart, beside data set and backbone, what is compared rather than searched (the augmentation of an
    ablation): jobs that share a cell compete, and its best is what counts.
    """

    competition: str
    recipe: Recipe
    variant: str = ""

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.competition, self.recipe.backbone, self.variant

    @property
    def epochs(self) -> int:
        """Epochs of training behind a linear probe, if there is one."""
        return self.recipe.end_to_end().epochs


def optimizations(
    recipe: Recipe,
    kinds: Iterable[tuple[str, str]] = OPTIMIZATIONS,
    learning_rates: dict[str, Sequence[float]] = LEARNING_RATES,
    decays: Sequence[float] = DECAYS,
) -> list[Recipe]:
    """A recipe with every optimizer, schedule, learning rate and decay: the paper's 60, unless told otherwise."""
    return [
        recipe.with_fields(
            optimizer=optimizer,
            schedule=schedule,
            step_epochs=step_epochs(recipe.epochs) if schedule == "step" else (),
            learning_rate=rate,
            weight_decay=decay,
        )
        for optimizer, schedule in kinds
        for rate in learning_rates[optimizer]
        for decay in decays
    ]


def step_epochs(epochs: int) -> tuple[int, ...]:
    """The paper's, or where it names none, at the same shares of the training as of its 30 epochs."""
    shares = (1 / 2, 2 / 3, 5 / 6)
    return STEP_EPOCHS.get(epochs) or tuple(sorted({max(1, int(share * epochs)) for share in shares}))


def recipe_hash(recipe: Recipe) -> str:
    """12 hex digits of a recipe without its seed: what is averaged over seeds in a table of results."""
    about = {name: value for name, value in recipe.identity().items() if name != "seed"}
    return content_hash([about, recipe.weights])


def only(jobs: Sequence[Job], filters: Sequence[str]) -> list[Job]:
    """The jobs that pass `field=value …`, a field of the recipe, `competition` or `variant`. Of several values for one
    field any will do.

    Raises:
        UserError: a filter is not of this form, there is no such field, or no job has such a value.
    """
    wanted: dict[str, list[str]] = {}
    for word in filters:
        name, sign, value = word.partition("=")
        name = name.replace("-", "_")
        if not sign or not value:
            raise UserError(f"only: '{word}' is not field=value")
        if name not in (*FIELDS, "competition", "variant"):
            near = closest(name, (*FIELDS, "competition", "variant"))
            raise UserError(f"only: there is no field '{name}'{near}")
        wanted.setdefault(name, []).append(value)
    for name, values in wanted.items():
        known = dict.fromkeys(_value(job, name) for job in jobs)
        for value in values:
            if not any(_is(have, value) for have in known):
                raise UserError(f"only: no run of the grid has {name}={value}; there are {listing(known, 30)}")
    return [
        job
        for job in jobs
        if all(any(_is(_value(job, name), value) for value in values) for name, values in wanted.items())
    ]


def _value(job: Job, name: str) -> object:
    return getattr(job if name in ("competition", "variant") else job.recipe, name)


def _is(have: object, word: str) -> bool:
    if isinstance(have, int | float) and not isinstance(have, bool):
        try:
            return float(word) == have
        except ValueError:
            return False
    return str(have).lower() == word.lower()


def with_weights(jobs: Iterable[Job], weights: str) -> list[Job]:
    """The same grid from other weights: a folder, a file or 'none'."""
    return [dataclasses.replace(job, recipe=job.recipe.with_fields(weights=weights)) for job in jobs]
