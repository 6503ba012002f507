"""Runs a notebook's cells in one plain process: a tenth of a kernel's time, for tests of what happens around it."""

import contextlib
import io
import json
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
started, printed, names = time.monotonic(), io.StringIO(), {"__name__": "__main__"}
failure = ""
try:
    with contextlib.redirect_stdout(printed):
        for cell in json.loads((folder / "notebook.ipynb").read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
except Exception as error:
    failure = f"{type(error).__name__}: {error}"
    (folder / "failure.txt").write_text(failure)
record = {"stream_name": "stdout", "time": time.monotonic() - started, "data": printed.getvalue()}
(folder / "log.jsonl").write_text(json.dumps(record) + "\n")
sys.exit(bool(failure))
