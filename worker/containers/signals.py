"""Signals by the names that people give them."""

import signal

from common.errors import InvalidInputError

DEFAULT_STOP_SIGNAL = "SIGTERM"
SIGKILL = signal.SIGKILL.value
_NUMBER_MAX = 64
_NAMES = {item.name: item.value for item in signal.Signals}


def signal_number(name: str) -> int:
    """The number of "SIGTERM", "term", "15", "SIGRTMIN+3".

    Raises:
        InvalidInputError: "invalid signal: x".
    """
    if name.isascii() and name.isdigit() and 0 < int(name) <= _NUMBER_MAX:
        return int(name)
    upper = name.upper()
    base, sign, offset = (upper if upper.startswith("SIG") else f"SIG{upper}").partition("+")
    if not sign:
        base, sign, offset = base.partition("-")
        offset = f"-{offset}" if sign else ""
    number = _NAMES.get(base, 0)
    if sign and base not in ("SIGRTMIN", "SIGRTMAX"):
        number = 0
    if number and offset.lstrip("-").isdigit():
        number += int(offset)
    elif sign:
        number = 0
    if not 0 < number <= _NUMBER_MAX:
        raise InvalidInputError(f"invalid signal: {name}")
    return number
