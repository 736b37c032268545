"""How many files and connections this process may have open: more than it was started with, which others still get."""

import resource

AS_FOUND: tuple[int, int] = resource.getrlimit(resource.RLIMIT_NOFILE)
"""Soft and hard limit, before anything was raised: for the containers, as if nobody had been here."""
DESCRIPTORS_MAX = 1 << 20
"""As many as are taken even where more are allowed."""


def raise_limit() -> None:
    """Takes as many descriptors as the hard limit allows; what is more already stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = raised(soft, hard)
    if wanted != soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def raised(soft: int, hard: int) -> int:
    """The soft limit to take."""
    if soft == resource.RLIM_INFINITY:
        return soft
    allowed = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    return max(soft, allowed)
