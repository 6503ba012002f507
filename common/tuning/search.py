"""The search: a worker asks for a trial, trains it, tells what came of it, until the study has as many as were asked.

A trial is claimed by being written down as running, whole and in one step, by the one worker that may choose at the
moment; so no two have the same parameters. The trial of a worker that died is gone on with by another.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from common.errors import MachineError, UserError
from common.recipe import Recipe
from common.run import Busy, Run
from common.train.session import Watch, say
from common.tuning.locks import Locks
from common.tuning.space import default_point, distribution, grid, suggest
from common.tuning.study import Question

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

Train = Callable[[Recipe, Watch | None], Run]
DRAWS, DEATHS, PATIENCE = 100, 3, 2.0
"""Draws until a new point is looked for in order; processes that may die of a trial; seconds between two looks at a run
that another process works on."""


def work(question: Question, study: "Study", locks: Locks, trials: int, train: Train) -> None:
    """Trials until the study has `trials` of them, the default among them, or the space has no more.

    Args:
        train: `train(recipe, watch)` → the run, as `common.train.train`.

    Raises:
        UserError: the default cannot be trained; then nothing could be compared.
    """
    while (trial := next_trial(question, study, locks, trials)) is not None:
        run_trial(question, study, trial, train)


def next_trial(question: Question, study: "Study", locks: Locks, trials: int) -> "FrozenTrial | None":
    """One that a dead worker left, the default where there is none, or a new one; it is this worker's from here on."""
    with locks.choosing():
        there = study.get_trials(deepcopy=False)
        for trial in running(there):
            if not locks.alive(trial.user_attrs.get("worker", "")) and taken_up(study, trial, locks.worker):
                return trial
        lacks_default = not any(is_default(trial) and trial.state.name != "FAIL" for trial in there)
        if not lacks_default and len(there) >= trials:
            return None
        point = default_point(question.space, question.recipe) if lacks_default else new_point(question, study, there)
        if point is None:
            say(f"every point of the search space has been tried: {len(there)} trials are all there are")
            return None
        return written_down(question, study, point, lacks_default, locks.worker)


def running(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    return [trial for trial in trials if trial.state.name == "RUNNING"]


def is_default(trial: "FrozenTrial") -> bool:
    return trial.user_attrs.get("default", False)


def taken_up(study: "Study", trial: "FrozenTrial", worker: str) -> bool:
    """The trial becomes this worker's, unless process after process died of it."""
    deaths = trial.user_attrs.get("deaths", 0) + 1
    if deaths >= DEATHS:
        fail(study, trial, f"{deaths} processes died of it")
        return False
    handle = of_optuna(study, trial)
    handle.set_user_attr("deaths", deaths)
    handle.set_user_attr("worker", worker)
    say(f"trial {trial.number} is taken up: {trial.user_attrs['worker']} died")
    return True


def of_optuna(study: "Study", trial: "FrozenTrial"):
    """The trial as something that can be reported to."""
    from optuna.trial import Trial

    return Trial(study, trial._trial_id)


def written_down(
    question: Question, study: "Study", point: dict[str, Any], default: bool, worker: str
) -> "FrozenTrial":
    from optuna.trial import TrialState, create_trial

    trial = create_trial(
        state=TrialState.RUNNING,
        params=point,
        distributions={name: distribution(question.space[name]) for name in point},
        user_attrs={"worker": worker, "default": default},
    )
    study.add_trial(trial)
    return study.get_trials(deepcopy=False)[-1]


def new_point(question: Question, study: "Study", there: Sequence["FrozenTrial"]) -> dict[str, Any] | None:
    """A point whose recipe no trial has and the competition takes; None where there is none."""
    known = {as_trained(question.recipe_at(trial.params)) for trial in there}

    def is_new(point: dict[str, Any]) -> bool:
        try:
            return as_trained(question.recipe_at(point)) not in known
        except UserError:
            return False

    in_order = grid(question.space, question.recipe)
    points = in_order if question.sampler == "grid" else chain(draws(question, study, there), in_order)
    return next(filter(is_new, points), None)


def as_trained(recipe: Recipe) -> Recipe:
    """The same for recipes that train alike: every policy of strength 0 is 'base'."""
    alike = recipe.strength == 0 and recipe.augment != "none"
    return recipe.with_fields(augment="base", strength=1.0) if alike else recipe


def draws(question: Question, study: "Study", there: Sequence["FrozenTrial"]) -> Iterator[dict[str, Any]]:
    """Points that the sampler would try next, from a copy of the study, which alone knows of those that are not new."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        seed = question.recipe.seed + len(there)
        sampler = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
    copy = optuna.create_study(direction="maximize", sampler=sampler)
    copy.add_trials(there)
    for _ in range(DRAWS):
        trial = copy.ask()
        yield suggest(trial, question.space, question.recipe)
        copy.tell(trial, state=optuna.trial.TrialState.FAIL)


def run_trial(question: Question, study: "Study", trial: "FrozenTrial", train: Train) -> None:
    """Trains a trial's recipe with every seed, the first one watched by the pruner, and tells the mean score."""
    from optuna.trial import TrialState
    from torch import OutOfMemoryError

    recipe, watch = question.recipe_at(trial.params), watched(question, study, trial)
    runs: list[Run] = []
    try:
        for seeded in question.seeded(recipe):
            runs.append(patiently(train, seeded, None if runs else watch))
            of_optuna(study, trial).set_user_attr("runs", [run.id for run in runs])
            if not runs[-1].finished:
                study.tell(trial.number, state=TrialState.PRUNED)
                return say(f"trial {trial.number} is pruned: {in_words(trial.params)}")
            if len(runs) == 1:
                tell_curve(recipe, runs[0], watch)
    except MachineError:
        raise  # the trial stays this worker's, and is taken up by the next
    except (UserError, OutOfMemoryError) as error:
        fail(study, trial, str(error))
        if is_default(trial):
            raise
        return None
    score = sum(run.metrics["score"] for run in runs) / len(runs)
    study.tell(trial.number, score)
    return say(f"trial {trial.number} scores {score:.4f}: {in_words(trial.params)}")


def fail(study: "Study", trial: "FrozenTrial", reason: str) -> None:
    from optuna.trial import TrialState

    of_optuna(study, trial).set_user_attr("reason", reason)
    study.tell(trial.number, state=TrialState.FAIL)
    say(f"trial {trial.number} failed: {reason}")


def watched(question: Question, study: "Study", trial: "FrozenTrial") -> Watch:
    """Reports the epochs of the first fold and asks the pruner; the default is never pruned, for all are compared with
    it. Folds are not averaged here: the mean of the folds so far would compare one fold with another."""
    handle, told, recipe = of_optuna(study, trial), set(trial.intermediate_values), question.recipe_at(trial.params)
    first, last = first_fold(recipe), max(told, default=None)
    more_to_come = question.seeds > 1 or (recipe.split == "folds" and len(recipe.only_folds) != 1)

    def watch(fold: int, epoch: int, score: float | None) -> bool:
        if fold != first or (epoch in told and epoch != last):
            return False
        if epoch not in told:
            handle.report(score, epoch)
            told.add(epoch)
        pruned = handle.should_prune()  # the pruner keeps a record of whoever reaches a rung, the default among them
        pruned = pruned or (epoch == last and would_prune(study, trial))
        return pruned and not is_default(trial) and (more_to_come or epoch < recipe.epochs)

    return watch


def would_prune(study: "Study", trial: "FrozenTrial") -> bool:
    """What the pruner says of the epochs that a worker told before it died, perhaps without having heard the answer. It
    answers once for each rung that a trial reaches, so that it is asked on a copy of the study, epoch by epoch."""
    import optuna

    def untold(other: "FrozenTrial") -> "FrozenTrial":
        if other.number != trial.number:
            return other
        return optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=other.params, distributions=other.distributions
        )

    copy = optuna.create_study(study_name=study.study_name, direction="maximize", pruner=study.pruner)
    copy.add_trials([untold(other) for other in study.get_trials()])
    handle, pruned = of_optuna(copy, copy.get_trials()[trial.number]), False
    for epoch, score in sorted(trial.intermediate_values.items()):
        handle.report(score, epoch)
        pruned = handle.should_prune()
    return pruned


def first_fold(recipe: Recipe) -> int:
    return (recipe.only_folds or (0,))[0]


def tell_curve(recipe: Recipe, run: Run, watch: Watch) -> None:
    """The epochs of a run that was found finished: the pruner compares later ones with them."""
    fold = first_fold(recipe)
    curve = run.folder / f"fold-{fold}" / "curve.csv"
    for row in pd.read_csv(curve).itertuples():
        watch(fold, row.epoch, row.score)


def patiently(train: Train, recipe: Recipe, watch: Watch | None) -> Run:
    """The run, also where another process (of another study, perhaps) works on it just now."""
    told = False
    while True:
        try:
            return train(recipe, watch)
        except Busy as busy:
            if not told:
                say(f"waiting: {busy}")
            told = True
            time.sleep(PATIENCE)


def in_words(params: dict[str, Any]) -> str:
    """`augment heavy, strength 1.5`."""
    told = [f"{name.replace('_', ' ')} {in_short(value)}" for name, value in params.items()]
    return ", ".join(told) or "as the recipe has it"


def in_short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
