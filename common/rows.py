"""The rows that a run is trained on, with what other data and other runs have to say: one recipe, one answer."""

import pandas as pd

from common.competition import Competition
from common.data import Data, read_data
from common.errors import UserError
from common.options import Options
from common.pseudo import with_pseudo_labels
from common.recipe import Recipe
from common.run import find_run
from common.suspects import distrusting


def training_data(
    competition: Competition, train: pd.DataFrame, recipe: Recipe, options: Options, test: pd.DataFrame | None
) -> Data:
    """Folds and external rows, then suspicious labels, then pseudo-labels, as the recipe asks for them.

    Raises:
        UserError: from the readers; or a run that the recipe names is not there or does not fit.
    """
    data = read_data(competition, train, recipe, test)
    if recipe.clean:
        data = distrusting(data, competition, find_run(options.runs, competition.name, recipe.clean), recipe)
    if recipe.pseudo:
        if test is None:
            raise UserError(f"pseudo: {competition.name} has no test images here to label")
        teacher = find_run(options.runs, competition.name, recipe.pseudo)
        data = with_pseudo_labels(data, competition, teacher, test, options)
    return data
