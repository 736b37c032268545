"""Identifiers: 25 characters of base 36, as Docker's, drawn from a source the caller gives."""

import random  # noqa: TID251 - only named as a type and for the system's own source
from collections.abc import Callable

IdSource = Callable[[], str]

ID_LENGTH = 25
CONTAINER_ID_LENGTH = 64
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_BITS = 128


def id_source(chance: random.Random) -> IdSource:
    """Gives a function that draws a new object id (Docker's 25 characters) at each call."""

    def new_id() -> str:
        number, digits = chance.getrandbits(_BITS), []
        for _ in range(ID_LENGTH):
            number, digit = divmod(number, 36)
            digits.append(_ALPHABET[digit])
        return "".join(reversed(digits))

    return new_id


def container_id_source(chance: random.Random) -> IdSource:
    """Gives a function that draws a new container id (64 hexadecimal digits) at each call."""
    return lambda: f"{chance.getrandbits(256):0{CONTAINER_ID_LENGTH}x}"


def system_chance() -> random.Random:
    """The operating system's source of randomness, for the composition root."""
    return random.SystemRandom()
