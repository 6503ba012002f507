"""Runs of a sweep scored on the test part of their data set, where that has labels: CCT-20's cis_test, CIFAR-10's test.

The held-out rows choose, as in the paper: of each network on each data set the recipe with the best held-out mean over
the seeds is scored, and no other.
"""

from collections import defaultdict
from collections.abc import Iterable

from common.files import write_json
from common.options import Options
from common.run import Run
from common.study.from_runs import TEST
from common.sweep.grid import recipe_hash
from common.sweep.state import Task, state_of
from competitions.studying import folder_source


def score_tests(tasks: Iterable[Task], options: Options) -> None:
    """`test.json` in the folders of the chosen runs; what is there already stays.

    Raises:
        UserError: the test images cannot be read.
    """
    from common.parts import measure

    for task in chosen(tasks, options):
        raw, run = folder_source(task.job.competition, task.data), Run(task.folder(options.runs))
        if raw.competition.labelled_test and not (run.folder / TEST).is_file():
            table = raw.competition.read_test(raw.raw)
            write_json(run.folder / TEST, measure(raw.competition, run, "test", table, options))


def chosen(tasks: Iterable[Task], options: Options) -> list[Task]:
    """Of the finished tasks of each cell those of the recipe with the best mean over the seeds."""
    cells = defaultdict(lambda: defaultdict(list))
    for task in tasks:
        folder = task.folder(options.runs)
        if state_of(folder).kind == "done":
            score = Run(folder).metrics["score"]
            cells[task.job.cell][recipe_hash(task.job.recipe)].append((task, score))
    best = [max(recipes.values(), key=mean_score) for recipes in cells.values()]
    return [task for scored in best for task, _ in scored]


def mean_score(scored: list[tuple[Task, float]]) -> float:
    return sum(score for _, score in scored) / len(scored)
