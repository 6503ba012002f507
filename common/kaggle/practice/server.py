"""Starting and stopping the practice leaderboard, on this machine's loopback address alone."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from common.errors import UserError, listing
from common.kaggle.practice.app import build
from common.kaggle.practice.board import Board
from common.kaggle.practice.competition import PracticeCompetition
from common.kaggle.practice.datasets import Datasets
from common.kaggle.practice.kernels import Kernels
from common.kaggle.practice.runner import Runner
from common.kaggle.practice.settings import Settings

HOST = "127.0.0.1"
PORT = 7777
STATE = Path("data/practice")
DEFAULT = Settings()


def serve(competitions: Sequence[PracticeCompetition], state: Path = STATE, port: int = PORT) -> None:
    """Serve until interrupted; the session of a notebook that runs then is run again by the next server.

    Raises:
        UserError: the port is taken, or the state cannot be written.
    """
    server, listener, runner = _prepare(competitions, state, port, DEFAULT)
    names = listing(practice.slug for practice in competitions)
    print(f"practice: leaderboard at http://{HOST}:{port} for {names}; state in {state}; Ctrl-C stops it", flush=True)
    runner.start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        print("practice: stopped", flush=True)
    finally:
        runner.stop()


@contextmanager
def running(
    competitions: Sequence[PracticeCompetition], state: Path = STATE, settings: Settings = DEFAULT
) -> Iterator[str]:
    """Serve from a thread of this process on a free port for as long as the block lasts. Yields the URL."""
    server, listener, runner = _prepare(competitions, state, 0, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="practice", daemon=True)
    thread.start()
    runner.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the practice server did not start")
            time.sleep(0.01)
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        runner.stop()
        server.should_exit = True
        thread.join()
        listener.close()


def _prepare(
    competitions: Sequence[PracticeCompetition], state: Path, port: int, settings: Settings
) -> tuple[uvicorn.Server, socket.socket, Runner]:
    listener = _listen(port)
    board = Board(competitions, state)
    datasets = Datasets(board.store, settings)
    kernels = Kernels(board, datasets)
    board.score_pending()
    datasets.unpack_pending()
    # A connection is kept for a client that takes its time: one that is closed as the next call comes is a reset.
    patience = {"timeout_keep_alive": 60, "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(build(kernels), log_level="warning", access_log=False, **patience)
    return uvicorn.Server(config), listener, Runner(kernels, settings)


def _listen(port: int) -> socket.socket:
    # The protocol is named, for without it asyncio does not turn off the delay of 40 ms before an answer's second half.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"port {port} on {HOST} cannot be used ({reason}): choose another with `PORT=…`") from error
    return listener
