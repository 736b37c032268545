"""The filter ``name`` of containers and volumes takes regular expressions, as in ``docker ps -f name=^web$``."""

import re
from collections.abc import Callable

from common.engine_api.filters import Filters
from common.errors import InvalidInputError

PATTERN_MAX = 256
"""Characters of a pattern."""
REPEATS_MAX = 3
"""``*``, ``+``, ``?`` and ``{`` in a pattern: each of them multiplies the time by the length of a name."""
_REPEAT = re.compile(r"[*+?{]")
_WITHOUT_BOUND = re.compile(r"\(\?|\\[1-9]|\)[*+?{]")
"""What Go does not know, and groups that repeat: those can take for ever."""


def name_filter(wanted: Filters) -> Callable[[str], bool]:
    """Whether a name is let through: any of the patterns is found in it. Read once, asked for each name.

    Raises:
        InvalidInputError: a pattern that is none, or one that could take for ever.
    """
    if "name" not in wanted.values:
        return lambda _: True
    patterns = [_compiled(text) for text in wanted.get("name")]
    return lambda name: any(pattern.search(name) for pattern in patterns)


def _compiled(text: str) -> re.Pattern[str]:
    if (
        len(text) > PATTERN_MAX
        or len(_REPEAT.findall(text)) > REPEATS_MAX
        or _WITHOUT_BOUND.search(text)
    ):
        raise InvalidInputError(
            f"invalid filter 'name={text[:PATTERN_MAX]}'",
            hint=f"at most {PATTERN_MAX} characters, {REPEATS_MAX} repeats, and no group that repeats",
        )
    try:
        return re.compile(text, re.ASCII)
    except re.error as error:
        raise InvalidInputError(f"invalid filter 'name={text}': {error}") from None
