"""Faults on demand: a proxy before the practice leaderboard that spoils one call, once, as networks and servers do.

For tests of what speaks to a leaderboard: after any fault the same command, given again, must go on where it stopped.
"""

import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal[
    "refused",  # nobody listens when the client connects
    "reset_before",  # the connection breaks before the server has heard of the call
    "reset_after",  # the server has acted, and the connection breaks in place of the answer
    "too_many",  # 429 with Retry-After
    "500",
    "503",
    "hung",  # the server has acted, and nothing is answered until the client gives up
    "html",  # 200 with a page, as of a network that wants a login; the server has not heard of the call
    "html_502",  # a gateway's page; the server has acted
    "truncated",  # half of the body, as if it were all
    "expired",  # what the address of an upload (404) or of a download (403) answers when it is too old
    "killed",  # the client's process is killed when the server has acted, before it sees the answer
]

PAGE = b"<html><head><title>Just a moment</title></head></html>"
REFUSED_SECONDS = 0.25


@dataclass(frozen=True)
class Fault:
    """Strikes the `nth` time that `call` is made: the name of a method, or "PUT upload", "GET output" after the path's
    first part."""

    kind: Kind
    call: str
    nth: int = 1


@contextmanager
def faulty(url: str, fault: Fault | None = None, recorded: Sequence[str] = ()) -> Iterator["Proxy"]:
    """A proxy before the server at `url` for as long as the block lasts.

    Args:
        fault: None to record the calls alone.
        recorded: the `calls` of such a run, which `refused` needs: it strikes when the call before has been answered.
    """
    proxy = Proxy(url, fault, list(recorded))
    thread = threading.Thread(target=proxy.accept, name="faults", daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        thread.join()


class Proxy:
    """`calls`: those seen, in order. `struck`: whether the fault came. `victim`: the process for `killed` to kill."""

    def __init__(self, url: str, fault: Fault | None, recorded: list[str]) -> None:
        address = urlsplit(url)
        self.server = (address.hostname, address.port)
        self.fault, self.victim = fault, None
        self.calls: list[str] = []
        self.struck = False
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.refuse_after = _position(fault, recorded) if fault and fault.kind == "refused" else -1
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        if self.refuse_after == 0:
            self.refuse()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def accept(self) -> None:
        """One connection, one call: clients that would keep a connection connect anew for each."""
        while not self.stopped.is_set():
            try:
                self.listener.settimeout(0.05)
                connection, address = self.listener.accept()
                threading.Thread(target=_Call, args=[connection, address, self], daemon=True).start()
            except TimeoutError:
                continue
            except OSError:  # it was shut down to refuse
                self.listener.close()
                self.stopped.wait(REFUSED_SECONDS)
                self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.close()

    def refuse(self) -> None:
        self.struck = True
        self.listener.shutdown(socket.SHUT_RDWR)

    def note(self, call: str) -> Kind | None:
        """Write the call down; what is to happen to it, if anything."""
        with self.lock:
            self.calls.append(call)
            strikes = self.fault and self.fault.kind != "refused" and call == self.fault.call
            if strikes and self.calls.count(call) == self.fault.nth:
                self.struck = True
                return self.fault.kind
        return None


class _Call(BaseHTTPRequestHandler):
    """Passes one call on, or spoils it. Speaks HTTP/1.0, so that each call has a connection of its own."""

    def __init__(self, connection: socket.socket, address: tuple, proxy: Proxy) -> None:
        self.proxy = proxy
        with connection, suppress(ConnectionError):  # of clients that go away
            super().__init__(connection, address, None)

    def pass_on(self) -> None:
        kind = self.proxy.note(_name(self.command, self.path))
        if kind == "reset_before":
            return self._reset()
        request = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if kind in ("too_many", "500", "503", "html", "expired"):
            return self._answer_instead(kind)
        with closing(HTTPConnection(*self.proxy.server)) as connection:
            answer = self._ask(connection, request)
            body = answer.read()
        if len(self.proxy.calls) == self.proxy.refuse_after:
            self.proxy.refuse()
        if kind == "reset_after":
            return self._reset()
        if kind == "hung":
            self.connection.recv(1)  # comes when the client goes
            return None
        if kind == "killed":
            return os.kill(self.proxy.victim, signal.SIGKILL)
        if kind == "html_502":
            return self._answer(502, [("Content-Type", "text/html")], PAGE)
        return self._answer(answer.status, answer.getheaders(), body[: len(body) // 2] if kind == "truncated" else body)

    do_POST = do_PUT = do_GET = pass_on

    def _ask(self, connection: HTTPConnection, request: bytes) -> HTTPResponse:
        """The client's headers as they are, Host too: the addresses that the server gives lead back to the proxy."""
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(request)
        return connection.getresponse()

    def _answer_instead(self, kind: Kind) -> None:
        status = {"too_many": 429, "html": 200, "expired": 404 if self.command == "PUT" else 403}.get(kind) or int(kind)
        headers = [("Content-Type", "text/html")]
        self._answer(status, headers + [("Retry-After", "1")] * (kind == "too_many"), PAGE)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close with RST in place of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, *_) -> None:
        pass


def _name(method: str, path: str) -> str:
    parts = urlsplit(path).path.strip("/").split("/")
    return parts[-1] if method == "POST" else f"{method} {parts[0].removesuffix('s')}"


def _position(fault: Fault, recorded: list[str]) -> int:
    """How many calls come before the one that the fault strikes."""
    positions = [index for index, call in enumerate(recorded) if call == fault.call]
    return positions[fault.nth - 1]
