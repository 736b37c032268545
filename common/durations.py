"""Go's durations, as people write them for Docker: "1h30m", "1.5s", "10ms"; "0". Pure."""

import re
from typing import Final

_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
NANO: Final = 10**9


def nanoseconds(text: str) -> int:
    """How long that is.

    Raises:
        ValueError: it is no duration.
    """
    if text == "0":
        return 0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(
            f"invalid duration {text!r}: use a number with ns, us, ms, s, m or h, as 1m30s"
        )
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def seconds(text: str) -> float:
    """The same in seconds.

    Raises:
        ValueError: it is no duration.
    """
    return nanoseconds(text) / NANO
