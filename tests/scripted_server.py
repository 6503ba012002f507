"""A server at the edge of the world, which answers as it is told and notes what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    method: str
    """The last part of the path: the name of a call."""
    authorization: str | None
    body: bytes


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, Any] = {}  # noqa: RUF012
    delay: float = 0.0


class ScriptedServer(ThreadingHTTPServer):
    """`answers`: in order, whatever is asked; then `by_method`; then `{}`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.by_method: dict[str, dict] = {}
        self.seen: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def methods(self) -> list[str]:
        return [request.method for request in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        method = self.path.split("?")[0].rsplit("/", 1)[-1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Request(method, self.headers.get("Authorization"), body))
        fixed = Answer(body=json.dumps(self.server.by_method.get(method, {})).encode())
        answer = self.server.answers.pop(0) if self.server.answers else fixed
        threading.Event().wait(answer.delay)  # not time.sleep, which tests replace
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": len(answer.body), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_PUT = do_GET = answer

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that did not wait
            super().handle()

    def log_message(self, *_):
        pass


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield server
        server.shutdown()
