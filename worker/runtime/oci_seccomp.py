"""A system call filter in the words of the OCI runtime specification, for a runtime that compiles it itself."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from worker.kernel import libseccomp
from worker.kernel.libseccomp import Condition, Filter
from worker.runtime.seccomp_programs import PROGRAMS_MAX, UNCONFINED, seccomp_filter

_ACTIONS: Final = {
    libseccomp.KILL_PROCESS: "SCMP_ACT_KILL_PROCESS",
    libseccomp.KILL_THREAD: "SCMP_ACT_KILL_THREAD",
    libseccomp.TRAP: "SCMP_ACT_TRAP",
    libseccomp.ERRNO: "SCMP_ACT_ERRNO",
    libseccomp.TRACE: "SCMP_ACT_TRACE",
    libseccomp.LOG: "SCMP_ACT_LOG",
    libseccomp.ALLOW: "SCMP_ACT_ALLOW",
}
_WITH_ERROR: Final = (libseccomp.ERRNO, libseccomp.TRACE)
_DATA_MASK: Final = 0xFFFF


def seccomp_rules(profile: str, capabilities: frozenset[str]) -> bytes:
    """The filter that ``seccomp_program`` compiles, as JSON; b"" is no filter.

    Raises:
        InvalidInputError: the profile is none.
        NotImplementedHereError: it wants what is not offered.
    """
    return b"" if profile == UNCONFINED else _rules(profile, capabilities)


@lru_cache(maxsize=PROGRAMS_MAX)
def _rules(profile: str, capabilities: frozenset[str]) -> bytes:
    return json.dumps(oci_seccomp(seccomp_filter(profile, capabilities))).encode()


def oci_seccomp(wanted: Filter) -> dict[str, Any]:
    """``linux.seccomp``: calls that are treated alike are named together."""
    alike: dict[tuple[int, tuple[Condition, ...]], list[str]] = {}
    for rule in wanted.rules:
        alike.setdefault((rule.action, rule.conditions), []).append(rule.name)
    default = dict(_action(wanted.default_action, "defaultAction", "defaultErrnoRet"))
    return {
        **default,
        "architectures": [f"SCMP_ARCH_{name.upper()}" for name in wanted.architectures],
        "syscalls": [
            {
                "names": names,
                **dict(_action(action, "action", "errnoRet")),
                "args": [_argument(condition) for condition in conditions],
            }
            for (action, conditions), names in alike.items()
        ],
    }


def _action(action: int, name: str, error: str) -> Iterator[tuple[str, Any]]:
    kind = action & ~_DATA_MASK
    yield name, _ACTIONS[kind]
    if kind in _WITH_ERROR:
        yield error, action & _DATA_MASK


def _argument(condition: Condition) -> dict[str, Any]:
    return {
        "index": condition.index,
        "value": condition.value,
        "valueTwo": condition.masked_value,
        "op": f"SCMP_CMP_{condition.comparison.name}",
    }
