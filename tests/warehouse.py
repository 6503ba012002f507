"""A server that hands out one archive as Kaggle does, by a call that is answered with a signed address, and that can be
told to fail: for the tests of downloads."""

import hashlib
import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CALLS = ("/v1/competitions.CompetitionApiService/DownloadDataFiles", "/v1/datasets.DatasetApiService/DownloadDataset")
PIECE = 16 * 1024


def zipped(files: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", how) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return archive.getvalue()


@dataclass
class Warehouse:
    """What it serves, what was asked of it, and what it does wrong.

    `faults`: number of the GET, from 0 → what becomes of it: ("break", bytes) closes the connection in the middle,
    ("status", code) refuses, ("type", content type) lies about what it is.
    """

    content: bytes
    faults: dict[int, tuple] = field(default_factory=dict)
    seconds_a_piece: float = 0.0
    calls: list[tuple[str, dict]] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def ranges(self) -> list[str]:
        """The ranges asked for, in order."""
        return [asked for asked in self.gets if asked]


@contextmanager
def serving(warehouse: Warehouse) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            warehouse.calls.append((self.path, body))
            if self.path not in CALLS:
                return self.send_error(404)
            self.send_response(302)
            self.send_header("Location", f"{warehouse.url}/files/archive.zip?signature={len(warehouse.calls)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()

        def do_GET(self) -> None:
            self.close_connection = True
            kind, what = warehouse.faults.get(len(warehouse.gets), ("", None))
            warehouse.gets.append(self.headers.get("Range", ""))
            if kind == "status":
                return self.send_error(what)
            if urlsplit(self.path).query != f"signature={len(warehouse.calls)}":  # an address is good once
                return self.send_error(403)
            return self.answer(what if kind == "break" else None, what if kind == "type" else "application/zip")

        def answer(self, stop_after: int | None, kind: str) -> None:
            content, tag = warehouse.content, f'"{hashlib.sha256(warehouse.content).hexdigest()[:16]}"'
            start, same = 0, self.headers.get("If-Range", tag) == tag
            if same and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
                start = int(asked[1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            for name, value in (("Content-Type", kind), ("ETag", tag), ("Accept-Ranges", "bytes")):
                self.send_header(name, value)
            self.end_headers()
            self.send(content[start:][:stop_after])

        def send(self, body: bytes) -> None:
            try:
                for at in range(0, len(body), PIECE):
                    self.wfile.write(body[at : at + PIECE])
                    time.sleep(warehouse.seconds_a_piece)
            except OSError:  # the client has enough
                pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        warehouse.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield warehouse.url
        finally:
            server.shutdown()
