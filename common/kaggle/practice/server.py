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

HOST = "127.0.0.1"
PORT = 7777
STATE = Path("data/practice")


def serve(competitions: Sequence[PracticeCompetition], state: Path = STATE, port: int = PORT) -> None:
    """Serve until interrupted.

    Raises:
        UserError: the port is taken, or the state cannot be written.
    """
    server, listener = _prepare(competitions, state, port)
    names = listing(practice.slug for practice in competitions)
    print(f"practice: leaderboard at http://{HOST}:{port} for {names}; state in {state}; Ctrl-C stops it", flush=True)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        print("practice: stopped", flush=True)


@contextmanager
def running(competitions: Sequence[PracticeCompetition], state: Path = STATE) -> Iterator[str]:
    """Serve from a thread of this process on a free port for as long as the block lasts. Yields the URL."""
    server, listener = _prepare(competitions, state, port=0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="practice", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the practice server did not start")
            time.sleep(0.01)
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _prepare(
    competitions: Sequence[PracticeCompetition], state: Path, port: int
) -> tuple[uvicorn.Server, socket.socket]:
    listener = _listen(port)
    board = Board(competitions, state)
    board.score_pending()
    config = uvicorn.Config(build(board), log_level="warning", timeout_graceful_shutdown=1)
    return uvicorn.Server(config), listener


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"port {port} on {HOST} cannot be used ({reason}): choose another with `PORT=…`") from error
    return listener
