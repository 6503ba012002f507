"""Runs one notebook in a process of its own: `python session.py FOLDER`, in the notebook's working folder.

Reads FOLDER/notebook.ipynb. What its cells print goes to FOLDER/log.jsonl as it comes, a JSON record a line; why it
failed to FOLDER/failure.txt. Exit status 0: every cell ran; 1: not. It imports nothing of this project, which a
notebook must not find by chance; and it ends, with all processes that it started, when its standard input is closed,
so that no session outlives its server.
"""

import ctypes
import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

LONGEST_LOG = 20 * 1024**2
"""Bytes: a server gives the log as one answer."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
PR_SET_CHILD_SUBREAPER = 36


class Log:
    """Appends records to a file: `stream_name`, `time` in seconds since the start, `data`."""

    def __init__(self, path: Path) -> None:
        self.path, self.start = path, time.monotonic()

    def write(self, stream: str, text: str) -> None:
        record = {"stream_name": stream, "time": round(time.monotonic() - self.start, 6), "data": text}
        with open(self.path, "a", encoding="utf-8") as file:
            if file.tell() + len(text) < LONGEST_LOG:
                file.write(json.dumps(record) + "\n")


def run(folder: Path) -> str:
    """Every cell of the notebook; the reason why it failed, or ""."""
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    log = Log(folder / "log.jsonl")

    class Client(NotebookClient):
        def process_message(self, message, cell, index):
            content = message["content"]
            if message["msg_type"] == "stream":
                log.write(content["name"], content["text"])
            elif message["msg_type"] == "error":
                log.write("stderr", COLOURS.sub("", "\n".join(content["traceback"])) + "\n")
            return super().process_message(message, cell, index)

    # Sockets in a folder, not ports: there may be no network, and a path of more than 107 bytes is no socket.
    connection = Path(os.environ["TMPDIR"]) / "kernel.json"
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=str(connection))
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    client = Client(notebook, km=manager, timeout=None, startup_timeout=600, shutdown_kernel="immediate")
    try:
        client.execute()
        return ""
    except CellExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        return "its process died, perhaps out of memory"


def kill_descendants(pid: int) -> None:
    """SIGKILL to all that descend from a process, whatever groups they are in."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        for _ in range(3):  # what one of them started meanwhile falls to the next round
            for process in psutil.Process(pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def _end_with_the_server() -> None:
    os.read(sys.stdin.fileno(), 1)
    kill_descendants(os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(1)  # the first process of a namespace cannot kill itself, and takes all others along when it ends


def main() -> int:
    folder = Path(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a notebook's processes leave behind stays in the family
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    failure = run(folder)
    (folder / "failure.txt").write_text(failure, encoding="utf-8")
    kill_descendants(os.getpid())
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
