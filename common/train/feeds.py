"""What a training is fed with: the recipe's order and variations, by the feed that the run began with."""

from dataclasses import replace

import numpy as np

from common.augment import Policy
from common.errors import UserError
from common.feed import Feed
from common.labels import rarest_class
from common.options import Options
from common.reader import SURROUND
from common.recipe import Recipe
from common.run import Run


def as_begun(run: Run, options: Options) -> Options:
    """The options with the feed that the run began with, which the run keeps: half a run on images that were rounded
    otherwise would be no run that can be repeated.

    Raises:
        UserError: another feed is asked for by name.
    """
    before_there_were_two = "workers" if any(run.folder.glob("fold-*/last.state")) else None
    begun = run.about.get("feed", before_there_were_two)
    if begun and options.feed not in ("auto", begun):
        raise UserError(f"feed: run {run.id} began with --feed {begun}; go on with it, or leave --feed out")
    kept = begun or options.feed_kind()
    run.update(feed=kept)
    return replace(options, feed=kept)


def training_feed(
    cache, rows: np.ndarray, labels: np.ndarray, recipe: Recipe, options: Options, share: tuple[int, int] = (0, 1)
) -> Feed:
    """The rows of a cache as the recipe trains on them: shuffled, varied, rare classes as often as it says."""
    size = recipe.input_size
    return options.feed_of(
        cache,
        rows,
        size,
        Policy(recipe.augment, recipe.strength, recipe.flips, SURROUND[recipe.preparation]).transform(size),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        workers=options.feed_workers(),
        device=options.torch_device(),
        shuffle=True,
        drop_last=len(rows) >= recipe.batch_size,
        weights=balancing(labels[rows], recipe.class_balance) if recipe.class_balance else None,
        share=share,
    )


def balancing(labels: np.ndarray, exponent: float) -> np.ndarray:
    """How often each row is shown in comparison with others, float64 (n,): (size of its class) to the power of minus
    `exponent`. At 1 every class comes equally often; the class of a row with several is its rarest, as in the
    oversampling of the Human Protein Atlas."""
    of_row = rarest_class(labels) if labels.ndim == 2 else labels
    return np.bincount(of_row)[of_row] ** -float(exponent)
