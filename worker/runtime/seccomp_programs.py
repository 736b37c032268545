"""Filters ready to be loaded: compiled when first wanted, kept for the next container that wants the same."""

import platform
from functools import lru_cache

from worker.kernel.libseccomp import Filter, compile_filter, native_architecture
from worker.runtime.seccomp import Machine, filter_for
from worker.runtime.seccomp_default import DEFAULT_PROFILE
from worker.runtime.seccomp_json import parse_profile

UNCONFINED = "unconfined"
BUILTIN = "builtin"
"""Docker's name of the default profile."""
PROGRAMS_MAX = 32
"""Programs kept, some 8 KB each; making one takes about 20 ms."""


def seccomp_program(profile: str, capabilities: frozenset[str]) -> bytes:
    """The BPF program for a container: "" or "builtin" is the default profile, otherwise a profile's JSON.

    "unconfined" is b"": no filter.

    Raises:
        InvalidInputError: the profile is none.
        NotImplementedHereError: it wants what is not offered.
        SystemFailureError: the host has no libseccomp.
    """
    if profile == UNCONFINED:
        return b""
    return _program("" if profile == BUILTIN else profile, capabilities)


@lru_cache(maxsize=PROGRAMS_MAX)
def _program(profile: str, capabilities: frozenset[str]) -> bytes:
    return compile_filter(seccomp_filter(profile, capabilities))


def seccomp_filter(profile: str, capabilities: frozenset[str]) -> Filter:
    """What is left of a profile for a container with these capabilities on this machine.

    Raises:
        InvalidInputError: the profile is none.
        NotImplementedHereError: it wants what is not offered.
    """
    is_default = profile in ("", BUILTIN)
    rules = DEFAULT_PROFILE if is_default else parse_profile(profile)
    return filter_for(rules, capabilities, this_machine())


def this_machine() -> Machine:
    """What a profile's conditions ask of this host."""
    numbers = platform.release().split("-")[0].split(".")
    major, minor = (int(number) if number.isdecimal() else 0 for number in (*numbers, "0")[:2])
    return Machine(architecture=native_architecture(), kernel=(major, minor))
