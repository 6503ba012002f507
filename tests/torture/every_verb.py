"""Every verb of APTOS's command line in one process, with a user's token, on a server that plays Kaggle:
`python -m tests.torture.every_verb URL` with KAGGLE_API_TOKEN in the environment, in a folder of its own."""

import os
import sys
from pathlib import Path

from common.kaggle import client, polling, reasons
from common.kaggle.ledger import Ledger
from competitions.__main__ import VERBS, run
from tests.commands import _kaggle_at
from tests.small_data import RECIPE, fields_as_words

FIELDS = tuple(fields_as_words(RECIPE.with_fields(epochs=1)))
HERE = ("--device", "cpu", "--workers", "0")


def words_of(verb: str) -> tuple[str, ...]:
    """What stands behind a verb, so that it has little to do."""
    kaggle, runs = ("--leaderboard", "kaggle"), finished()
    if verb in ("submit", "kernel"):
        return (*kaggle, *FIELDS, *HERE)
    special = {
        "download": kaggle,
        "runs": (),
        "ledger": (),
        "report": HERE,
        "blend": ("--of", *runs[:2]),
        "suspects": ("--run", *runs[:1], *HERE),
        "tune": (*FIELDS, *HERE, "--trials", "1"),
        "ensemble": (*FIELDS, *HERE, "--seeds", "0", "1"),
        "ablate": (*FIELDS, *HERE, "--augment", "heavy", "--seeds", "1", "--of", "augmentation"),
    }
    return special.get(verb, (*FIELDS, *HERE))


def finished() -> list[str]:
    """Ids of the runs that were trained here."""
    return sorted(path.parent.parent.name for path in Path("runs/aptos").glob("*/fold-0/done"))


def main(url: str) -> int:
    """0 where every verb ends well, and the last, of which nobody hears, with one line."""
    reasons.FIRST_PAUSE = polling.FIRST_PAUSE = 0.05
    polling.LONGEST_PAUSE = 0.5
    client.kaggle_client = lambda: _kaggle_at(url, os.environ["KAGGLE_API_TOKEN"])
    order = sorted(VERBS, key=lambda verb: (verb in ("blend", "submit", "kernel", "ledger", "runs", "report"), 0))
    for verb in order:
        print(f"--- {verb}", flush=True)
        if code := run(["aptos", verb, *words_of(verb)]):
            print(f"{verb} ends with {code}", flush=True)
            return code
    print(f"--- {len(order)} verbs, {len(Ledger().rows())} submissions", flush=True)
    client.ATTEMPTS = 1
    client.kaggle_client = lambda: _kaggle_at("http://127.0.0.1:9", os.environ["KAGGLE_API_TOKEN"])
    return 0 if run(["aptos", "submit", "--again", *words_of("submit")]) == 2 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
