"""The Engine API over a unix socket or TLS: plain ``http.client``, so that the command line starts fast."""

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import quote, urlencode

from typing_extensions import override

DEFAULT_HOST = "unix:///run/swarmd/swarmd.sock"
CONNECT_TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 64 * 1024
MAX_ERROR_BYTES = 64 * 1024


class ApiError(Exception):
    """swarmd's answer when it refuses: a status code and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CannotConnectError(Exception):
    """There is no swarmd where we looked."""


def current_client() -> "Client":
    """The client of the command that runs (made by ``cli.swarmctl.main``)."""
    import click  # noqa: PLC0415 - this module is otherwise free of the command line

    client: Client = click.get_current_context().obj
    return client


def chosen_host(flag: str | None, environment: Mapping[str, str]) -> str:
    """The address to talk to: ``-H``, else ``SWARM_HOST``, else ``DOCKER_HOST``, else the default socket."""
    return flag or environment.get("SWARM_HOST") or environment.get("DOCKER_HOST") or DEFAULT_HOST


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=CONNECT_TIMEOUT_SECONDS)
        self._path, self._after = path, timeout

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_TIMEOUT_SECONDS)
        self.sock.connect(self._path)
        self.sock.settimeout(self._after)


class Client:
    """Calls one swarmd."""

    def __init__(self, host: str, environment: Mapping[str, str] = os.environ) -> None:
        self.host = host
        self._environment = environment

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a GET."""
        return self._json("GET", path, query)

    def post(self, path: str, body: object = None, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a POST."""
        return self._json("POST", path, query, body)

    def delete(self, path: str, **query: str) -> Any:  # noqa: ANN401
        """Parsed JSON of a DELETE."""
        return self._json("DELETE", path, query)

    def stream(self, path: str, **query: str) -> Iterator[bytes]:
        """The bytes of a GET as they come, for as long as they come."""
        yield from _chunks(self._call("GET", path, query))

    def upload(self, path: str, file: IO[bytes], **query: str) -> Iterator[bytes]:
        """Sends a file as the body of a POST; yields the answer as it comes."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
        yield from _chunks(self._call("POST", path, query, chunks, headers))

    def _json(self, method: str, path: str, query: Mapping[str, str], body: object = None) -> Any:  # noqa: ANN401
        data = None if body is None else json.dumps(body).encode()
        text = self._call(
            method, path, query, data, {"Content-Type": "application/json"} if data else {}
        ).read()
        return json.loads(text) if text.strip() else None

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        connection = self._connection()
        try:
            connection.request(
                method,
                target,
                body,
                dict(headers or {}),
                encode_chunked=not isinstance(body, (bytes, type(None))),
            )
            response = connection.getresponse()
        except (
            FileNotFoundError,
            ConnectionRefusedError,
            PermissionError,
            TimeoutError,
            socket.gaierror,
        ) as error:
            raise CannotConnectError(
                f"Cannot connect to swarmd at {self.host}: {error.strerror or error}. Is swarmd running?"
            ) from error
        except OSError as error:
            response = self._last_words(connection, error)
        if response.status >= http.client.BAD_REQUEST:
            raise ApiError(response.status, _message(response))
        return response

    def _last_words(
        self, connection: http.client.HTTPConnection, error: OSError
    ) -> http.client.HTTPResponse:
        """What swarmd said before it broke off: an upload may be refused before its end.

        Raises:
            CannotConnectError: it said nothing, as when it does not take our certificate, or we not its.
        """
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise CannotConnectError(
                f"swarmd at {self.host} broke off the connection: {error}. "
                "Over TCP it takes only clients with a certificate (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH)."
            ) from error

    def _connection(self) -> http.client.HTTPConnection:
        scheme, _, rest = self.host.partition("://")
        if scheme == "unix":
            return _UnixConnection(rest, timeout=None)
        if scheme != "tcp" or not rest:
            raise CannotConnectError(
                f"invalid host {self.host!r}: use unix:///path or tcp://address:port"
            )
        if not self._environment.get("DOCKER_TLS_VERIFY") and not self._environment.get(
            "DOCKER_CERT_PATH"
        ):
            return http.client.HTTPConnection(rest)
        import ssl  # noqa: PLC0415 - slow to load, rarely needed

        directory = self._environment.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")  # noqa: PTH111
        context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
        return http.client.HTTPSConnection(rest, context=context)


def _message(response: http.client.HTTPResponse) -> str:
    text = response.read(MAX_ERROR_BYTES).decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or f"{response.status} {response.reason}"


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read1(CHUNK_BYTES):
        yield chunk
