"""How long to wait before trying again: growing and jittered, so that many do not come back together."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Iterator


def delays(first_seconds: float, longest_seconds: float, chance: random.Random) -> Iterator[float]:
    """Yields waits, each drawn from the upper half of a bound that doubles up to ``longest_seconds``."""
    bound = first_seconds
    while True:
        yield chance.uniform(bound / 2, bound)
        bound = min(2 * bound, longest_seconds)
