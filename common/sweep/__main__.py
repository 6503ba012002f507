"""The command line of sweeps that were started: `python -m common.sweep status | results`."""

import sys
from dataclasses import dataclass
from pathlib import Path

from common import command, terminal

USAGE = """usage: python -m common.sweep <verb> [--sweep NAME] [--runs runs]

verbs:
  status   done, running, failed with reason, the best of each data set and backbone, time left [--json]
  results  one CSV row a finished run, for `python -m common.study` [--to FILE.csv]

Without --sweep: the one that was started last. `make study` starts one."""


@dataclass(frozen=True)
class SweepOptions:
    sweep: str = ""
    """Name of the sweep, a folder of runs/sweeps; empty: the one that was started last."""
    runs: Path = Path("runs")
    """Folder of the runs."""


@dataclass(frozen=True)
class StatusOptions(SweepOptions):
    json: bool = False
    """Print the same as JSON."""


@dataclass(frozen=True)
class ResultsOptions(SweepOptions):
    to: Path | None = None
    """File to write; without it results.csv in the sweep's folder."""


def status(options: StatusOptions) -> None:
    from common.sweep.plan import read_plan
    from common.sweep.status import status_facts, status_text

    plan = read_plan(options.runs, options.sweep)
    if options.json:
        terminal.print_json(status_facts(plan, options.runs))
    else:
        print(status_text(plan, options.runs))


def results(options: ResultsOptions) -> None:
    from common.sweep.plan import plan_file, read_plan
    from common.sweep.results import write_results

    plan = read_plan(options.runs, options.sweep)
    file = options.to or plan_file(options.runs, plan.name).with_name("results.csv")
    write_results(plan, options.runs, file)
    print(f"written to {file}")


VERBS = {"status": (status, StatusOptions), "results": (results, ResultsOptions)}


def main(arguments: list[str]) -> None:
    if (verb := command.verb_of(arguments, VERBS, USAGE)) is None:
        return
    do, kind = VERBS[verb]
    do(command.parse(kind, arguments[1:], f"python -m common.sweep {verb}"))


if __name__ == "__main__":
    sys.exit(command.run(main, sys.argv[1:]))
