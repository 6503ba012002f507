"""The verb `blend`: several runs averaged into one, by given weights or by those that a greedy search finds."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import terminal
from common.competition import Competition
from common.errors import UserError
from common.run import Run, find_run
from competitions.arguments import parse


@dataclass(frozen=True)
class BlendArguments:
    of: tuple[str, ...] = ()
    """Ids of the runs to average; empty, for the greedy ways: choose among all finished runs."""
    how: Literal["mean", "rank", "greedy", "greedy-rank"] = "mean"
    """Average the outputs, or their ranks (for AUC); greedy: by the weights that score best, and without the runs that
    do not help."""
    by: tuple[float, ...] = ()
    """Weights of the runs; empty: equal."""
    runs: Path = Path("runs")
    """Folder of the runs."""
    json: bool = False
    """Print the same as JSON."""


def blend(competition: Competition, words: list[str]) -> None:
    from common.ensemble import blend_runs
    from common.train import result

    asked = parse(BlendArguments, words, f"python -m competitions {competition.name} blend")
    members = [find_run(asked.runs, competition.name, run_id) for run_id in asked.of]
    if asked.how.startswith("greedy"):
        _blend_greedily(competition, members, asked)
        return
    run = blend_runs(competition, members, asked.how, asked.by, asked.runs)
    if asked.json:
        return tell_as_json(run)
    print(f"run {run.id} ({asked.how} of {', '.join(asked.of)}): {result(run)}")


def _blend_greedily(competition: Competition, members: list[Run], asked: BlendArguments) -> None:
    from common.ensemble import select_runs, selectable
    from common.train import result

    if asked.by:
        raise UserError(f"--by: --how {asked.how} chooses the weights itself; leave one of the two out")
    if not members:
        members, left_out = selectable(asked.runs, competition.name)
        for run in left_out:
            why = f"whose held-out images or outputs are not those of run {members[0].id}"
            print(f"left out: run {run.id}, {why}", file=sys.stderr if asked.json else sys.stdout)
    run = select_runs(competition, members, "rank" if asked.how == "greedy-rank" else "mean", asked.runs)
    if asked.json:
        return tell_as_json(run)
    blend, metrics = run.about["blend"], run.metrics
    (gain, low, high), best = metrics["gain"], metrics["best"]
    print(f"run {run.id} ({asked.how}, {len(blend['of'])} of {len(members)} runs): {result(run)}")
    for member, weight in sorted(zip(blend["of"], blend["by"], strict=True), key=lambda pair: -pair[1]):
        print(f"  {weight:.3f} {member}")
    print(f"  the best run alone, {best['run']}: {best['score']:.4f}")
    print(f"  gain over the run that is best on the other folds: {gain:+.4f} (95% interval {low:+.4f} to {high:+.4f})")
    print(f"  scored on the rows that chose the weights, which flatters: {metrics['in_sample']:.4f}")


def tell_as_json(run: Run) -> None:
    """The run, the runs that it is made of with their weights, and every number of its score."""
    terminal.print_json({"run": run.id, **run.about["blend"], **run.metrics})
