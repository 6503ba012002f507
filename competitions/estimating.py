"""`predict --estimate`: how long it would take, before it is done, and before anything is trained."""

from common.competition import Competition
from common.errors import UserError
from common.options import Options
from common.recipe import Recipe
from common.run import find_run
from competitions.sources import Source
from competitions.training import best_run


def print_estimate(
    competition: Competition, recipe: Recipe, asked: bool, run_id: str, raw: Source, options: Options, images: int
) -> None:
    """For the run named, the recipe asked for (trained or not), or the run that `predict` would choose; `images` of
    them, or those of the test set."""
    from common.ensemble import members_of_blend
    from common.estimate import estimate, in_words

    if images < 0:
        raise UserError(f"images: must be 1 or more, or 0 for those of the test set (got {images})")
    test = raw.test()
    if test.empty:
        raise UserError("estimate: this data has no test images to measure on")
    run = find_run(options.runs, competition.name, run_id) if run_id else None if asked else best_run(raw, options)
    if run is None:
        estimates = [estimate(competition, recipe, test, options)]
    else:
        members = members_of_blend(competition, run) if "blend" in run.about else [run]
        estimates = [estimate(competition, member.recipe, test, options, member) for member in members]
    for line in in_words(estimates, images or len(test)):
        print(f"{raw.prefix}{line}")
