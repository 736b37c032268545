"""A client of the Engine API over a unix socket or TLS: plain ``http.client``, so that a command starts fast."""

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import quote, urlencode

from typing_extensions import override

from common.engine_duplex import UPGRADE_HEADERS, Duplex, UnbufferedResponse, is_switched

CONNECT_TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 64 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_SHOWN_BYTES = 60
PLAIN_PORT, TLS_PORT = 2375, 2376
STALE_HEADER = "X-Swarmd-Stale"
NODE_HEADER = "X-Swarmd-Node"
"""Which node's containers and volumes a request is about; any manager hands it on."""
_CUT_OFF = "swarmd at {} broke off the connection in the middle of its answer"
_NO_CERTIFICATE = (
    ". Over TCP it takes only clients with a certificate (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH)."
)


class ApiError(Exception):
    """swarmd's answer when it refuses: a status code and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CannotConnectError(Exception):
    """There is no swarmd where we looked."""


class LostConnectionError(CannotConnectError):
    """swarmd went away while we talked to it, or what is there does not talk as it does."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_TIMEOUT_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Calls one swarmd."""

    def __init__(
        self,
        host: str,
        environment: Mapping[str, str] = os.environ,
        *,
        stale: bool = False,
        patience_seconds: float | None = None,
    ) -> None:
        """A client that takes stale answers when it is told so: also those of a manager without a leader.

        It waits for an answer as long as what it is about takes, or as long as it is told to.
        """
        self._patience_seconds = patience_seconds
        self.host = host
        self._environment = environment
        self._always = {STALE_HEADER: "true"} if stale else {}

    def on_node(self, node: str) -> "Client":
        """This client, asking about what is on another node."""
        other = self.patient(self._patience_seconds)
        other._always = {**self._always, NODE_HEADER: node}  # noqa: SLF001 - of this class
        return other

    @property
    def is_elsewhere(self) -> bool:
        """Whether it asks about what is on another node."""
        return NODE_HEADER in self._always

    def patient(self, seconds: float | None) -> "Client":
        """This client, waiting so long for an answer."""
        other = Client(self.host, self._environment, patience_seconds=seconds)
        other._always = self._always
        return other

    def get(self, path: str, /, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a GET."""
        return self._json("GET", path, query)

    def post(self, path: str, body: object = None, /, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a POST."""
        return self._json("POST", path, query, body)

    def delete(self, path: str, /, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a DELETE."""
        return self._json("DELETE", path, query)

    def stream(self, path: str, /, **query: str) -> Iterator[bytes]:
        """The bytes of a GET as they come, for as long as they come."""
        with self._answer("GET", path, query) as response:
            yield from self._chunks(response)

    def upload(
        self, path: str, file: IO[bytes], /, *, content: str = "application/x-tar", **query: str
    ) -> Iterator[bytes]:
        """Sends a file as the body of a POST; yields the answer as it comes."""
        headers = {"Content-Type": content, "Transfer-Encoding": "chunked"}
        chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
        with self._answer("POST", path, query, chunks, headers) as response:
            yield from self._chunks(response)

    def put(self, path: str, chunks: Iterator[bytes], /, **query: str) -> None:
        """Sends chunks of a tar archive as the body of a PUT."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        with self._answer("PUT", path, query, chunks, headers) as response:
            for _ in self._chunks(response):
                pass

    def head(self, path: str, /, **query: str) -> Mapping[str, str]:
        """The headers that a HEAD answers with."""
        with self._answer("HEAD", path, query) as response:
            return dict(response.getheaders())

    @contextmanager
    def download(
        self, path: str, /, **query: str
    ) -> Iterator[tuple[Mapping[str, str], Iterator[bytes]]]:
        """The headers of a GET, and its bytes as they come."""
        with self._answer("GET", path, query) as response:
            yield dict(response.getheaders()), self._chunks(response)

    @contextmanager
    def promised(self, path: str, /, **query: str) -> Iterator[Callable[[], Any]]:
        """A POST that is answered at once and says later what came of it: a call waits for that."""
        with self._answer("POST", path, query) as response:
            yield lambda: self._read_json(b"".join(self._chunks(response)))

    def converse(self, path: str, body: object = None, /, **query: str) -> Duplex:
        """A POST after which the connection is a stream both ways; the caller closes it.

        Raises:
            ApiError: swarmd refuses.
            CannotConnectError: there is nobody, or it does not answer.
            LostConnectionError: it answers, but keeps the connection for HTTP.
        """
        data = b"" if body is None else json.dumps(body).encode()
        headers = {**self._always, **UPGRADE_HEADERS, "Content-Type": "application/json"}
        connection = self._connected(both_ways=True)
        connection.response_class = UnbufferedResponse
        try:
            broken = _send(connection, "POST", _target(path, query), data, headers)
            response = self._response(connection, broken)
            self._must_be_switched(response, path)
        except BaseException:
            connection.close()
            raise
        return Duplex(connection.sock)

    def _json(self, method: str, path: str, query: Mapping[str, str], body: object = None) -> Any:  # noqa: ANN401
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        with self._answer(method, path, query, data, headers) as response:
            text = b"".join(self._chunks(response))
        return self._read_json(text)

    def _must_be_switched(self, response: http.client.HTTPResponse, path: str) -> None:
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(response.status, _message(response))
        if not is_switched(response):
            raise LostConnectionError(
                f"swarmd at {self.host} answers {path} with {response.status}, not with a stream"
            )

    def _read_json(self, text: bytes) -> Any:  # noqa: ANN401
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise LostConnectionError(
                f"What answers at {self.host} is no swarmd: {text[:MAX_SHOWN_BYTES]!r}"
            ) from None

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Sends a request; the connection lasts as long as the context.

        Raises:
            ApiError: swarmd refuses.
            CannotConnectError: there is nobody, or it does not answer.
        """
        connection = self._connected()
        try:
            broken = _send(
                connection, method, _target(path, query), body, {**self._always, **(headers or {})}
            )
            response = self._response(connection, broken)
            if response.status >= http.client.BAD_REQUEST:
                raise ApiError(response.status, _message(response))
            yield response
        finally:
            connection.close()

    def _response(
        self, connection: http.client.HTTPConnection, broken: OSError | None
    ) -> http.client.HTTPResponse:
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            reason = broken or str(error) or type(error).__name__
            hint = _NO_CERTIFICATE if self.host.startswith("tcp://") else ""
            raise LostConnectionError(
                f"swarmd at {self.host} broke off the connection: {reason}{hint}"
            ) from error

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while chunk := response.read1(CHUNK_BYTES):
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise LostConnectionError(_CUT_OFF.format(self.host)) from error
        if response.length:
            raise LostConnectionError(_CUT_OFF.format(self.host))

    def _connected(self, *, both_ways: bool = False) -> http.client.HTTPConnection:
        try:
            connection = self._connection(both_ways=both_ways)
        except OSError as error:  # a certificate that is not there, or is none
            raise CannotConnectError(
                f"Cannot use the certificates for {self.host}: {error}"
            ) from error
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise CannotConnectError(
                f"Cannot connect to swarmd at {self.host}: {reason}. Is swarmd running?"
            ) from error
        connection.sock.settimeout(self._patience_seconds)
        return connection

    def _connection(self, *, both_ways: bool) -> http.client.HTTPConnection:
        scheme, _, rest = self.host.partition("://")
        if scheme == "unix" and rest:
            return _UnixConnection(rest)
        if scheme != "tcp" or not rest:
            raise CannotConnectError(
                f"invalid host {self.host!r}: use unix:///path or tcp://address:port"
            )
        name, port = _name_and_port(rest)
        directory = self._environment.get("DOCKER_CERT_PATH")
        if not directory and not self._environment.get("DOCKER_TLS_VERIFY"):
            return http.client.HTTPConnection(
                name, port or PLAIN_PORT, timeout=CONNECT_TIMEOUT_SECONDS
            )
        import ssl  # noqa: PLC0415 - slow to load, rarely needed

        directory = directory or os.path.expanduser("~/.docker")  # noqa: PTH111
        context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
        kind = _both_ways_connection() if both_ways else http.client.HTTPSConnection
        return kind(name, port or TLS_PORT, context=context, timeout=CONNECT_TIMEOUT_SECONDS)


def messages(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The objects of a stream of lines of JSON, such as an upload answers with; one may hold an ``error``.

    Raises:
        LostConnectionError: the stream ends in the middle of one.
    """
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        yield from map(_parsed, filter(None, map(bytes.strip, lines)))
    if pending.strip():
        yield _parsed(pending)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        item: dict[str, Any] = json.loads(line)
    except ValueError:
        raise LostConnectionError(
            f"swarmd's answer is cut off: {line[:MAX_SHOWN_BYTES]!r}"
        ) from None
    return item


def _target(path: str, query: Mapping[str, str]) -> str:
    return quote(path) + (f"?{urlencode(query)}" if query else "")


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterator[bytes] | None,
    headers: Mapping[str, str],
) -> OSError | None:
    """Sends a request; gives the error when it is not taken to its end: the answer, if any, says why."""
    chunked = not isinstance(body, (bytes, type(None)))
    headers = {"Connection": "close", **headers}
    try:
        connection.request(method, target, body, headers, encode_chunked=chunked)
    except ConnectionError as error:
        return error
    return None


def _both_ways_connection() -> type[http.client.HTTPSConnection]:
    """HTTP over TLS whose directions end apart."""
    from common.engine_tls import TlsSocket  # noqa: PLC0415 - slow to load, rarely needed

    class BothWays(http.client.HTTPSConnection):
        def __init__(self, *arguments: Any, context: Any, **more: Any) -> None:  # noqa: ANN401 - http.client's
            super().__init__(*arguments, context=context, **more)
            self._tls_context = context

        @override
        def connect(self) -> None:
            http.client.HTTPConnection.connect(self)
            plain: socket.socket = self.sock
            tls: Any = TlsSocket(plain, self._tls_context, self.host)
            self.sock = tls

    return BothWays


def _name_and_port(text: str) -> tuple[str, int | None]:
    name, colon, port = text.rstrip("/").rpartition(":")
    if not colon or text.rstrip("/").endswith("]"):
        return text.rstrip("/").strip("[]"), None
    if not port.isdigit():
        raise CannotConnectError(f"invalid port {port!r} of tcp://{text}")
    return name.strip("[]"), int(port)


def _message(response: http.client.HTTPResponse) -> str:
    text = response.read(MAX_ERROR_BYTES).decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or f"{response.status} {response.reason}"
