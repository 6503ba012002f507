"""Which of a recipe's interventions bring something: one at a time is turned off, over several seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from common import terminal
from common.competition import Competition, Task
from common.errors import UserError, closest
from common.paired import compare
from common.recipe import Recipe
from common.run import Run
from common.train.train import check

Fields = Mapping[str, Any]


def plain_augmentation(recipe: Recipe, task: Task) -> Fields:
    return {} if recipe.augment in ("none", "base") else {"augment": "base", "strength": 1.0}


def plain_size(recipe: Recipe, task: Task) -> Fields:
    return {"input_size": 256} if recipe.input_size > 256 else {}


def plain_loss(recipe: Recipe, task: Task) -> Fields:
    """A rule for grades stays: it works on expected grades too."""
    return {"loss": "bce" if task == "multilabel" else "cross_entropy"}


def plain_decision(recipe: Recipe, task: Task) -> Fields:
    if recipe.decision == "probability":
        return {}
    return {"decision": "global" if task == "multilabel" else "round" if recipe.regression else "argmax"}


def plain_average(recipe: Recipe, task: Task) -> Fields:
    return {"average": "predictions"} if recipe.checkpoints > 1 else {}


INTERVENTIONS: Mapping[str, Fields | Callable[[Recipe, Task], Fields]] = {
    "input-size": plain_size,
    "channels": {"channels": 3},
    "preparation": {"preparation": "plain"},
    "pooling": {"pooling": "avg"},
    "metadata": {"metadata": False},
    "augmentation": plain_augmentation,
    "mixup": {"mixup": 0.0},
    "cutmix": {"cutmix": 0.0},
    "loss": plain_loss,
    "label-smoothing": {"label_smoothing": 0.0},
    "auxiliary": {"auxiliary": 0.0},
    "class-balance": {"class_balance": 0.0},
    "regularisation": {"drop_rate": 0.0, "drop_path": 0.0},
    "warmup": {"warmup_epochs": 0.0},
    "head-init": {"head_init": "default"},
    "layer-decay": {"layer_decay": 1.0},
    "probe": {"probe_share": 0.0},
    "ema": {"ema": 0.0},
    "checkpoints": {"checkpoints": 1, "average": "predictions"},
    "average": plain_average,
    "external": {"external": ""},
    "pseudo": {"pseudo": ""},
    "clean": {"clean": "", "suspects": "drop", "suspect_share": 0.02},
    "tta": {"tta": "none"},
    "decision": plain_decision,
}
"""Intervention → the fields that turn it off, or a function of recipe and task that says them. Mirror images stay:
which ones mean the same is a fact about the images."""


def without(recipe: Recipe, name: str, task: Task) -> Recipe:
    """The recipe with one intervention off; the same recipe where it was not on.

    Raises:
        UserError: the fields that are left do not go together.
    """
    fields = INTERVENTIONS[name]
    return recipe.with_fields(**(fields(recipe, task) if callable(fields) else fields))


def variants(
    competition: Competition, recipe: Recipe, of: Sequence[str] = ()
) -> tuple[dict[str, Recipe], dict[str, str]]:
    """Intervention → the recipe without it, for those that the recipe has on (or for `of` alone); and intervention →
    why it is left out, for those without which the recipe does not answer the competition.

    Raises:
        UserError: an intervention in `of` does not exist or is not on; none is on.
    """
    for name in of:
        if name not in INTERVENTIONS:
            raise UserError(f"of: no intervention '{name}'{closest(name, INTERVENTIONS)}: {', '.join(INTERVENTIONS)}")
    taken, left_out = {}, {}
    for name in [name for name in INTERVENTIONS if not of or name in of]:
        try:
            less = without(recipe, name, competition.task)
            check(competition, less)
        except UserError as error:
            left_out[name] = str(error)
            continue
        if less != recipe:
            taken[name] = less
        elif of:
            raise UserError(f"of: the recipe has no '{name}' that could be turned off")
    if not taken:
        raise UserError("the recipe has no intervention on that could be turned off; try --recipe interventions")
    return taken, left_out


def ablate(
    competition: Competition, recipe: Recipe, seeds: int, of: Sequence[str], run_of: Callable[[Recipe], Run]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The ablation table of a recipe, and intervention → why it is left out.

    Every variant has the folds of the whole recipe with the same seed, for folds follow from the seed: the comparison
    is paired, seed by seed. With many interventions one in twenty is beyond noise by chance.

    Args:
        seeds: how many, from the recipe's own on.
        of: interventions to turn off; empty: all that are on.
        run_of: the finished run of a recipe, such as `common.train.train` gives it.

    Returns:
        one row for the whole recipe, then one an intervention: `without`, `score` (mean over seeds), `brings` (how
        much lower the score is without it; NaN in the first row), `low`, `high` (95% interval of `brings`, in the
        first row of `score`; see `common.paired`), `beyond_noise` ("yes", "no", "it harms") and `runs`.

    Raises:
        UserError: as `variants`; fewer than one seed; nothing is held out; from the runs of the whole recipe.
    """
    if seeds < 1:
        raise UserError(f"seeds: must be 1 or more (got {seeds})")
    if recipe.split == "all":
        raise UserError("split 'all' holds nothing out, so nothing can be compared; use --split folds")
    check(competition, recipe)
    taken, left_out = variants(competition, recipe, of)
    every_seed = [recipe.seed + i for i in range(seeds)]
    runs = {"": [run_of(recipe.with_fields(seed=seed)) for seed in every_seed]}
    for name, less in taken.items():
        try:
            runs[name] = [run_of(less.with_fields(seed=seed)) for seed in every_seed]
        except UserError as error:  # without a warm-up, say, the loss may not stay finite: the others are still told
            left_out[name] = str(error)
    return table(competition, runs), left_out


def table(competition: Competition, runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """See `ablate`; `runs` holds those of the whole recipe first, under ''."""
    compared, rows = compare(competition, list(runs.values())), []
    for number, (name, of_seeds) in enumerate(runs.items()):
        brings, low, high = compared.difference(0, number)
        verdict = "yes" if low > 0 else "it harms" if high < 0 else "no"
        if not name:
            brings, (low, high), verdict = float("nan"), compared.interval(0), ""
        ids = " ".join(run.id for run in of_seeds)
        rows.append((name, compared.scores[number], brings, low, high, verdict, ids))
    return pd.DataFrame(rows, columns=("without", "score", "brings", "low", "high", "beyond_noise", "runs"))


def as_text(ablation: pd.DataFrame) -> str:
    """The table to print: what each intervention brings, with its interval."""
    whole, rest = ablation.iloc[0], ablation.iloc[1:]
    shown = {
        "score": ablation["score"].map("{:.4f}".format),
        "it brings": ["", *rest["brings"].map("{:+.4f}".format)],
        "95% interval": [
            f"{whole.low:.4f} to {whole.high:.4f}",
            *(f"{low:+.4f} to {high:+.4f}" for low, high in zip(rest["low"], rest["high"], strict=True)),
        ],
        "beyond noise": ablation["beyond_noise"],
    }
    names = ["all of them", *("without " + rest["without"])]
    return terminal.table(["", *shown], zip(names, *shown.values(), strict=True))
