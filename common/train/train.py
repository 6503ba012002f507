"""A recipe, trained: checked, found finished, or done fold by fold."""

from common.competition import Competition
from common.data import Data
from common.decide import FITTED, check_rule
from common.errors import UserError
from common.metrics import METRICS
from common.models.build import build
from common.options import Options
from common.outputs import all_outputs_of, check_beside, check_loss
from common.reader import reader_of
from common.recipe import Recipe
from common.run import Run, identity, open_run
from common.train.reuse import run_with_the_weights, take_fold
from common.train.score import in_words
from common.train.session import Session, Watch, say


def train(competition: Competition, recipe: Recipe, data: Data, options: Options, watch: Watch | None = None) -> Run:
    """The finished run of this recipe on this data: found, resumed or trained from the start.

    Args:
        watch: `watch(fold, epoch, score)` is asked after each epoch's validation (epoch: how many are trained; score:
            None where nothing is held out), and first about the epochs that an earlier call trained of an unfinished
            fold. Where it returns True, training stops: the run that is returned is not finished, and the same call
            with another watch, or with none, goes on from there to the same bits.

    Raises:
        UserError: the recipe does not answer the task, images or weights cannot be read, the loss is not finite, or
            another process trains the same run.
    """
    check(competition, recipe)
    if not (options.runs / competition.name / identity(competition.name, recipe, data.fingerprint)).is_dir():
        check_network(competition, recipe)
    run = open_run(options.runs, competition.name, recipe, data.fingerprint, options.again)
    about = {"source": data.source, "mark": data.mark, "rows": len(data.table)}
    if run.finished:
        note(run, about)
        say(f"run {run.id} is finished already; --again trains it anew")
        return run
    with run.lock():
        note(run, about)
        session = Session(competition, recipe, data, options, run)
        owner = None if options.again else run_with_the_weights(run)
        if owner:
            say(f"run {run.id} has the weights of run {owner.id}, which differs in prediction alone")
            for fold in session.data.folds:
                take_fold(session, fold, owner)
        elif not session.train_folds(watch):
            return run
        session.finish()
    return run


def note(run: Run, about: dict) -> None:
    """What runs of earlier versions lack, too."""
    if not about.items() <= run.about.items():
        run.update(**about)


def check(competition: Competition, recipe: Recipe) -> None:
    """What a recipe alone cannot know: whether it answers this competition's task. Raises UserError."""
    check_loss(recipe, competition.task)
    check_beside(recipe, competition)
    reader_of(competition, recipe.channels, recipe.preparation)
    wants = METRICS[competition.metric].wants
    if (wants == "probability") != (recipe.decision == "probability"):
        other = "probability" if wants == "probability" else "argmax, round, thresholds, prevalence or majority"
        raise UserError(f"decision '{recipe.decision}': {competition.metric} wants a {wants}; use --decision {other}")
    check_rule(recipe.decision, several=competition.task == "multilabel")
    if recipe.split == "all" and recipe.decision in FITTED:
        raise UserError(f"decision '{recipe.decision}' is fitted on held-out rows and split 'all' holds out none")


def check_network(competition: Competition, recipe: Recipe) -> None:
    """Builds the network once: that it cannot be, or that its weights do not fit, is better known before a run's images
    are prepared than after. Raises UserError."""
    build(recipe, all_outputs_of(recipe, competition))


def result(run: Run) -> str:
    """`quadratic_weighted_kappa 0.8123 (95% interval 0.78 to 0.84) on 600 held-out images`."""
    metrics = run.metrics
    if metrics["score"] is None:
        return "nothing was held out, so there is no score"
    return f"{in_words(metrics['metric'], metrics['score'], metrics['interval'], metrics['n'])} held-out images"
