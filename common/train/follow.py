"""What the processes that torchrun starts do with one command: the first runs it, the others take part in its
trainings. The first error ends all of them: it is told once, by the one that it happened to."""

import gc
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr

import torch

from common import command
from common.run import Run
from common.train import ranks


class LeadersRun(Run):
    """A run folder as a follower sees it, who writes nothing there."""

    def update(self, **fields) -> None:
        pass


def run(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """`common.command.run` in each of torchrun's processes. Does not return from an error: the others might wait."""

    def take_part(words: list[str]) -> None:
        try:
            ranks.join()
            if ranks.leads():
                lead(main, words)
            else:
                follow()
        except BaseException as error:
            if not ranks.fails_first():
                os._exit(getattr(error, "exit_code", 1))
            raise

    try:
        code = command.run(take_part, arguments)
    except BaseException:
        traceback.print_exc()
        code = 1
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    ranks.part()
    return 0


def lead(main: Callable[[list[str]], None], words: list[str]) -> None:
    try:
        main(words)
    except SystemExit as stop:  # of --help
        if stop.code:
            raise
    ranks.agreed(None)


def follow() -> None:
    """Takes part in every training that the leader invites to, until it has no more."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        while (invitation := ranks.agreed(None)) is not None:
            from common.train.session import Session

            competition, recipe, data, options, folder = invitation
            Session(competition, recipe, data, options, LeadersRun(folder)).train_folds()
            gc.collect()
            torch.cuda.empty_cache()  # for the leader, who predicts on every GPU
