"""The command line: `python -m competitions <competition> <verb> [--recipe NAME] [--field value …]`.

Parses, then hands over to `competitions.verbs`. Heavy imports wait until a verb runs, so that help is instant.
"""

import os
import sys

from common import command
from common.errors import UserError, closest
from competitions import load, names

VERBS = {
    "download": "fetch the raw data from the leaderboard's server",
    "prepare": "decode the raw images once into the cache that every run shares",
    "show-augment": "write a contact sheet of every augmentation policy at several strengths",
    "embed": "write what the network makes of every image before its classifier, once, as parquet",
    "probe": "train linear probes on these features over the recipe's grid: seconds, with intervals",
    "train": "train a recipe, or resume it, or find it finished",
    "predict": "predict the test set with a run: folds × checkpoints × test-time views",
    "blend": "average several runs into one that can be submitted",
    "ensemble": "train a recipe with several backbones, input sizes or seeds, and blend the runs",
    "tune": "search the recipe's fields for better values, by default augmentation policy and strength",
    "ablate": "turn off one intervention of a recipe at a time, over seeds: what each brings, with intervals",
    "suspects": "list the labels that a run's held-out predictions speak against",
    "submit": "from raw data to a scored submission: train if needed, predict, decide, submit, wait for the score",
    "kernel": "train a recipe as a notebook on the leaderboard's machines, and bring the run back",
    "runs": "list the runs with their scores",
    "ledger": "list the submissions with CV beside the leaderboard",
    "report": "write the page of a run, by default the best one, and that of the competition",
}


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in VERBS.items())
    return (
        "usage: python -m competitions <competition> <verb> [--recipe NAME] [--field value …]\n"
        "       python -m competitions practice [--port 7777]\n"
        "       python -m competitions dashboard [--study NAME]\n"
        "       python -m competitions report [--runs runs]\n"
        "       python -m competitions study [--grid paper] [--plan]\n"
        "       python -m competitions transfer MODEL [--plan]\n"
        "       python -m competitions new-competition NAME [--data folder or .zip]\n\n"
        f"competitions: {', '.join(names())}\n\nverbs:\n{verbs}\n\n"
        "`python -m competitions <competition> <verb> --help` lists every field of the recipe and every option."
    )


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] == "new-competition":
        from competitions import new

        new.new_competition(arguments[1:])
        return
    if arguments[0] == "dashboard":
        from competitions import tuning

        tuning.dashboard(arguments[1:])
        return
    if arguments[0] == "report":
        from competitions import reporting

        reporting.report_all(arguments[1:])
        return
    if arguments[0] == "study":
        from competitions import studying

        studying.study(arguments[1:])
        return
    if arguments[0] == "transfer":
        from competitions import transferring

        transferring.transfer(arguments[1:])
        return
    from competitions import verbs

    if arguments[0] == "practice":
        verbs.practice(arguments[1:])
        return
    competition = load(arguments[0])
    if len(arguments) < 2 or arguments[1] in ("-h", "--help"):
        print(usage())
        return
    verb = arguments[1]
    if verb not in VERBS:
        raise UserError(f"no verb '{verb}'{closest(verb, VERBS)}; there are {', '.join(VERBS)}")
    getattr(verbs, verb.replace("-", "_"))(competition, arguments[2:])


def run(arguments: list[str]) -> int:
    """`main` with an exit code: 2 and one line for what a user can mend, 130 when interrupted."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from common.train import follow

        return follow.run(main, arguments)
    return command.run(main, arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
