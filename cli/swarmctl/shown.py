"""Small texts that several commands show: ages, states, ports, short ids. Pure."""

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


def size(count: float) -> str:
    """A size in docker's words ("1.2MB"), in powers of 1000."""
    step = 0
    while count >= 1000 and step < len(_SIZES) - 1:  # noqa: PLR2004 - SI
        count, step = count / 1000, step + 1
    return f"{count:.4g}{_SIZES[step]}" if step < 3 else f"{count:.3g}{_SIZES[step]}"  # noqa: PLR2004


def ports(items: Iterable[Mapping[str, Any]], mode: str = "ingress") -> str:
    """Published ports as ``service ls`` shows them ("*:8080->80/tcp")."""
    return ", ".join(
        f"*:{port.get('PublishedPort', 0)}->{port['TargetPort']}/{port.get('Protocol', 'tcp')}"
        for port in items
        if port.get("PublishMode", "ingress") == mode
    )


def short(text: str, *, whole: bool = False) -> str:
    """An id's first twelve characters."""
    return text if whole else text.removeprefix("sha256:")[:SHORT_ID]


def cut(text: str, limit: int, *, whole: bool = False) -> str:
    """Text of at most ``limit`` characters."""
    return text if whole or len(text) <= limit else text[: limit - 1] + "…"
