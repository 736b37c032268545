"""Healthchecks that need no program in the image: a request over HTTP, or a connection. What is asked of them; pure.

They are written as ``["HTTP", "8080/healthz"]`` or ``["TCP", "5432"]`` where Docker has ``["CMD", …]``; or, since
docker's client can send neither, as a label of the container or of its image, ``swarmd.health.http=8080/healthz``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError

HTTP, TCP = "HTTP", "TCP"
KINDS: Final = (HTTP, TCP)
LABEL_PREFIX: Final = "swarmd.health."
HTTP_LABEL: Final = "swarmd.health.http"
TCP_LABEL: Final = "swarmd.health.tcp"
_LABELS: Final = {HTTP_LABEL: HTTP, TCP_LABEL: TCP}
_TARGET: Final = re.compile(r":?([0-9]{1,5})(/[!-~]*)?")
"""A port and, for HTTP, a path of printable characters."""
_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTarget:
    """What is asked in the container's own network: a port, and with HTTP a path on it."""

    port: int
    path: str | None = None
    """None: a connection is all that is wanted."""


def target_of(test: Sequence[str]) -> ProbeTarget:
    """What ``["HTTP", "8080/healthz"]`` or ``["TCP", "5432"]`` asks for.

    Raises:
        InvalidInputError: it is no port, or a path where there is none.
    """
    kind, *rest = test
    match = _TARGET.fullmatch(rest[0]) if len(rest) == 1 else None
    if match is None or not 0 < int(match[1]) <= _PORT_MAX or (kind == TCP and match[2]):
        example = "8080/healthz" if kind == HTTP else "5432"
        raise InvalidInputError(
            f"invalid healthcheck {' '.join(test)!r}", hint=f"such as {kind} {example}"
        )
    return ProbeTarget(port=int(match[1]), path=(match[2] or "/") if kind == HTTP else None)


def asked_by_labels(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The healthcheck that labels ask for; () when they ask for none.

    Raises:
        InvalidInputError: they ask for two, or for what cannot be.
    """
    asked = [(kind, labels[label]) for label, kind in _LABELS.items() if label in labels]
    if len(asked) > 1:
        raise InvalidInputError(f"{HTTP_LABEL} and {TCP_LABEL} exclude each other")
    for test in asked:
        target_of(test)
    return asked[0] if asked else ()


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuses labels of a container that would be a healthcheck if they were written right.

    Raises:
        InvalidInputError: names the label.
    """
    for label in labels:
        if label.startswith(LABEL_PREFIX) and label not in _LABELS:
            known = " and ".join(_LABELS)
            raise InvalidInputError(f"unknown label {label}", hint=f"there are {known}")
    asked_by_labels(labels)
