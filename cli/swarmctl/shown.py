"""Small texts that several commands show: ages, states, ports, short ids. Pure but for the time zone."""

import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

SHORT_ID = 12
_STEPS = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (48 * 3600, 3600, "hour"),
    (14 * 86400, 86400, "day"),
)
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_NANO = 10**9
_WEEK, _MONTH, _YEAR = 7 * 86400, 30 * 86400, 365 * 86400


def ago(moment: str | float, now: float) -> str:
    """How long ago, in docker's words ("3 minutes ago")."""
    return f"{span(max(0.0, now - seconds_of(moment)))} ago"


def seconds_of(moment: str | float) -> float:
    """Seconds since the epoch of an RFC 3339 moment, or of such seconds."""
    if not isinstance(moment, str):
        return float(moment)
    head, _, fraction = moment.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(head).replace(tzinfo=UTC).timestamp()
    return whole + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)


def span(seconds: float) -> str:
    """A length of time in docker's words ("About a minute", "3 hours")."""
    if seconds < 1:
        return "Less than a second"
    for limit, unit, word in _STEPS:
        if seconds < limit:
            count = int(seconds / unit)
            if count == 1:
                return {
                    "second": "1 second",
                    "minute": "About a minute",
                    "hour": "About an hour",
                }.get(word, "1 day")
            return f"{count} {word}s"
    if seconds < 2 * _MONTH:
        return f"{int(seconds / _WEEK)} weeks"
    return (
        f"{int(seconds / _MONTH)} months"
        if seconds < 2 * _YEAR
        else f"{int(seconds / _YEAR)} years"
    )


def size(count: float, digits: int = 4) -> str:
    """A size in docker's words ("1.983MB"), in powers of 1000."""
    step = 0
    while float(f"{count:.{digits}g}") >= 1000 and step < len(_SIZES) - 1:  # noqa: PLR2004 - SI
        count, step = count / 1000, step + 1
    return f"{count:.{digits}g}{_SIZES[step]}"


def binary_size(count: float, digits: int = 4) -> str:
    """A size in docker's words ("1.983MiB"), in powers of 1024."""
    step = 0
    while count >= 1024 and step < len(_BINARY_SIZES) - 1:  # noqa: PLR2004 - what the words mean
        count, step = count / 1024, step + 1
    return f"{count:.{digits}g}{_BINARY_SIZES[step]}"


def go_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: "1h30m0s", "1.5s", "500ms"."""
    if nanoseconds < _NANO:
        for unit, name in ((10**6, "ms"), (10**3, "µs")):
            if nanoseconds >= unit:
                return f"{nanoseconds / unit:.10g}{name}"
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60 * _NANO)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / _NANO:.12g}s"
    return f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}" if minutes else text


def moment(seconds: float) -> str:
    """A moment as Go prints it ("2026-11-24 09:24:49 +0000 UTC"), in the time zone of this process."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def ports(items: Iterable[Mapping[str, Any]], mode: str = "ingress") -> str:
    """Published ports as ``service ls`` shows them ("*:8080->80/tcp")."""
    return ", ".join(
        f"*:{port.get('PublishedPort', 0)}->{port['TargetPort']}/{port.get('Protocol', 'tcp')}"
        for port in items
        if port.get("PublishMode", "ingress") == mode
    )


def container_ports(items: Iterable[Mapping[str, Any]]) -> str:
    """Ports as ``container ls`` shows them ("0.0.0.0:8080->80/tcp, 53/udp")."""
    shown = []
    for port in items:
        target = f"{port['PrivatePort']}/{port.get('Type', 'tcp')}"
        published = port.get("PublicPort")
        shown.append(f"{port.get('IP', '')}:{published}->{target}" if published else target)
    return ", ".join(shown)


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts web2 before web10, as docker does."""
    parts = re.findall(r"\d+|\D+", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def short(text: str, *, whole: bool = False) -> str:
    """An id's first twelve characters."""
    return text if whole else text.removeprefix("sha256:")[:SHORT_ID]


def cut(text: str, limit: int, *, whole: bool = False) -> str:
    """Text of at most ``limit`` characters."""
    return text if whole or len(text) <= limit else text[: limit - 1] + "…"


def generic_resources(resources: Iterable[Mapping[str, Any]]) -> str:
    """What a node or task has besides processors and memory, as people write it."""
    specs = [
        resource.get("NamedResourceSpec") or resource.get("DiscreteResourceSpec") or {}
        for resource in resources
    ]
    return ", ".join(f"{spec.get('Kind', '')}={spec.get('Value', '')}" for spec in specs)
