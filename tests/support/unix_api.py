"""A tiny Engine API on a unix socket, with answers that the test chooses, byte by byte where it likes."""

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

SWITCHED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API answers to one request."""

    status: int = 200
    body: Any = None
    """Bytes as they are, anything else as JSON."""
    chunks: Iterable[bytes] | None = None
    """The body in chunks instead, each sent when it is there."""
    headers: Mapping[str, str] = field(default_factory=dict)
    talk: Callable[[socket.socket], None] | None = None
    """What happens on the connection after 101: it is a stream both ways from then on."""
    length: int | None = None
    """The length that is claimed; None: the true one."""
    raw: bytes | None = None
    """The whole answer, status line and all, instead; empty: the connection is closed without a word."""
    unread: bool = False
    """Whether to answer before the request's body is read, and close."""
    cut: bool = False
    """Whether to close the connection before the last chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass(slots=True)
class UnixApi:
    """Answers by ``"METHOD /path"``; of several answers the last stays."""

    path: Path
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Where it is."""
        return f"unix://{self.path}"

    def answer(self, request: str, *answers: object) -> None:
        """Chooses the answers to a request."""
        self.answers[request] = [
            item if isinstance(item, Answer) else Answer(body=item) for item in answers
        ]

    def sent(self, request: str) -> Request:
        """The last request of that method and path."""
        found = [item for item in self.requests if f"{item.method} {item.path}" == request]
        assert found, f"no {request} among {[f'{r.method} {r.path}' for r in self.requests]}"
        return found[-1]

    def next_answer(self, request: str) -> Answer:
        """What to answer now."""
        known = self.answers.get(request)
        if not known:
            return Answer(status=404, body={"message": f"nothing at {request}"})
        return known.pop(0) if len(known) > 1 else known[0]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, api: UnixApi) -> None:
        self.api = api
        super().__init__(str(api.path), _Handler)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is none; it would be told on some later test's stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    @override
    def address_string(self) -> str:
        return "unix"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        answer = self.server.api.next_answer(f"{self.command} {path}")
        body = b"" if answer.unread else self._body()
        self.server.api.requests.append(
            Request(
                method=self.command,
                path=path,
                query=query,
                body=body,
                headers=dict(self.headers),
            )
        )
        self.close_connection = True
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return
        if answer.talk is not None:
            self.wfile.write(SWITCHED)
            answer.talk(self.connection)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks is not None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in answer.chunks:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if not answer.cut:
                self.wfile.write(b"0\r\n\r\n")
            return
        text = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        text = b"" if answer.body is None or self.command == "HEAD" else text
        self.send_header(
            "Content-Length", str(len(text) if answer.length is None else answer.length)
        )
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = _answer  # noqa: N815 - names of the library


@contextmanager
def unix_api(directory: Path) -> Iterator[UnixApi]:
    """A running one."""
    api = UnixApi(directory / "api.sock")
    with _Server(api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
