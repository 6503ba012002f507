"""One command on several GPUs of this machine: `python -m common.launch GPUS module word …` is torchrun, with one line
and the command's own exit code where it ends in an error. A command that gets further when started again is."""

import logging
import os
import sys
import time

WORKERS_END = 6.0
"""Seconds after which a dead process's workers, who look for it every 5 s, have let go of the run."""


def launch(gpus: int, module: str, words: list[str]) -> int:
    """The exit code of the process that failed first; 0 where none did."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // gpus, 1)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it tells a failure in many lines
    try:
        main(["--standalone", f"--nproc-per-node={gpus}", "-m", module, *words])
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            print(
                f"error: process {number} was ended by {failure.signal_name()}; the same command continues",
                file=sys.stderr,
            )
            return 2
        return failure.exitcode
    except SignalException as signal:
        return 128 + signal.sigval
    return 0


def run(words: list[str]) -> int:
    if len(words) < 2 or not words[0].isdecimal() or int(words[0]) < 1:
        print("error: GPUS: a whole number from 1 on, then a module and its words", file=sys.stderr)
        return 2
    while (code := launch(int(words[0]), words[1], words[2:])) == os.EX_TEMPFAIL:
        time.sleep(WORKERS_END)
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
