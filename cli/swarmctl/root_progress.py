"""Waits until another root has taken the place of the former one, and shows how far nodes have followed."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from cli.swarmctl.client import CannotConnectError, Client
from cli.swarmctl.now import Stopwatch

POLL_SECONDS = 0.2
RECONNECT_SECONDS = 15.0
"""How long swarmd may be away while we wait."""
BAR_WIDTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """How far the nodes have followed."""

    digest: str
    """Of the root that is trusted, in Docker's form; the former one while a rotation is on."""
    certificates: int
    """Nodes whose certificates are of the wanted issuer."""
    roots: int
    """Nodes that trust nothing but that root; counted once no rotation is on."""
    nodes: int
    is_over: bool


def judge(swarm: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> Followed:
    """Compares what each node says it has with what the swarm wants. Pure."""
    wanted = swarm.get("TLSInfo") or {}
    rotates = bool(swarm.get("RootRotationInProgress"))
    has = [(node.get("Description") or {}).get("TLSInfo") or {} for node in nodes]
    issuer = ("CertIssuerPublicKey", "CertIssuerSubject")
    certificates = sum(all(one.get(key) == wanted.get(key) for key in issuer) for one in has)
    roots = sum(one.get("TrustRoot") == wanted.get("TrustRoot") for one in has)
    digest = hashlib.sha256(str(wanted.get("TrustRoot", "")).encode()).hexdigest()
    return Followed(
        digest=f"sha256:{digest}",
        certificates=certificates,
        roots=0 if rotates else roots,
        nodes=len(nodes),
        is_over=not rotates and certificates == roots == len(nodes),
    )


def lines_of(followed: Followed) -> list[str]:
    """As Docker shows it."""
    return [
        f"desired root digest: {followed.digest}",
        f"  rotated TLS certificates:  {_bar(followed.certificates, followed.nodes)}",
        f"  rotated CA certificates:   {_bar(followed.roots, followed.nodes)}",
    ]


def _bar(done: int, nodes: int) -> str:
    full = BAR_WIDTH * done // nodes if nodes else 0
    head = ">" if 0 < full < BAR_WIDTH else ""
    return f"[{'=' * (full - len(head))}{head}{' ' * (BAR_WIDTH - full)}] {done}/{nodes} nodes"


def wait_for_rotation(client: Client, *, quiet: bool, stopwatch: Stopwatch | None = None) -> None:
    """Returns once every node has followed.

    Raises:
        CannotConnectError: swarmd is away for longer than a restart takes.
        KeyboardInterrupt: the user does not want to wait any longer, and has been told that it goes on.
    """
    screen = _Screen() if not quiet else None
    try:
        for followed in _looks(client, stopwatch or Stopwatch()):
            if screen is not None:
                screen.show(lines_of(followed))
            if followed.is_over:
                return
    except KeyboardInterrupt:
        click.echo(
            "Operation continuing in background.\nUse `swarmctl swarm inspect` to check progress.",
            err=True,
        )
        raise
    finally:
        if screen is not None:
            screen.close()


def _looks(client: Client, stopwatch: Stopwatch) -> Iterator[Followed]:
    """Looks again and again, also when swarmd was away."""
    answered = stopwatch.read()
    while True:
        try:
            yield judge(client.get("/swarm"), client.get("/nodes"))
            answered = stopwatch.read()
        except CannotConnectError:
            if stopwatch.read() - answered > RECONNECT_SECONDS:
                raise
        stopwatch.sleep(POLL_SECONDS)


class _Screen:
    """On a terminal the lines are redrawn; elsewhere each line that has changed is a new one."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self._live: Any = None
        if sys.stdout.isatty():
            from rich.live import Live  # noqa: PLC0415 - slow to load, needed only here

            self._live = Live(auto_refresh=False)
            self._live.start()

    def show(self, lines: list[str]) -> None:
        """Shows what has changed."""
        if lines == self._last:
            return
        if self._live is None:
            for line in lines:
                if line not in self._last:
                    click.echo(line)
        else:
            from rich.text import Text  # noqa: PLC0415 - slow to load, needed only here

            text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            self._live.update(text, refresh=True)
        self._last = lines

    def close(self) -> None:
        """Leaves the last picture standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None
