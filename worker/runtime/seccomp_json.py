"""A seccomp profile as users write it: Docker's JSON, read with nothing ignored."""

import errno
import json
from collections.abc import Callable, Mapping
from typing import cast

from common.errors import InvalidInputError, NotImplementedHereError
from worker.kernel import libseccomp
from worker.kernel.libseccomp import CONDITIONS_MAX, Comparison, Condition
from worker.runtime.capabilities import UnknownCapabilityError, canonical_capability
from worker.runtime.seccomp import Applies, Profile, Rule

PROFILE_BYTES_MAX = 1 << 20
"""Docker's own has 13 KB."""
PROFILE_NAMES_MAX = 20_000
"""System calls named in one profile, each as often as it is named."""

_ACTIONS = {
    "SCMP_ACT_KILL": libseccomp.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": libseccomp.KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": libseccomp.KILL_THREAD,
    "SCMP_ACT_TRAP": libseccomp.TRAP,
    "SCMP_ACT_LOG": libseccomp.LOG,
    "SCMP_ACT_ALLOW": libseccomp.ALLOW,
}
_ACTIONS_WITH_NUMBER = {
    "SCMP_ACT_ERRNO": libseccomp.errno_action,
    "SCMP_ACT_TRACE": libseccomp.trace_action,
}
_NOTIFY = "SCMP_ACT_NOTIFY"
_OPERATORS = {f"SCMP_CMP_{comparison.name}": comparison for comparison in Comparison}
_PREFIX = "SCMP_ARCH_"
_HARMLESS_FLAGS = frozenset({"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"})
"""What happens anyway, and what changes nothing for a process of one thread."""
_WORD_MAX = 2**64 - 1
_ERRNO_MAX = 0xFFFF

_TOP = frozenset(
    {
        "defaultAction",
        "defaultErrnoRet",
        "architectures",
        "archMap",
        "syscalls",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "$schema",
    }
)
_OF_RULE = frozenset(
    {"name", "names", "action", "errnoRet", "args", "comment", "includes", "excludes"}
)
_OF_CONDITION = frozenset({"index", "value", "valueTwo", "op"})
_OF_FILTER = frozenset({"caps", "arches", "minKernel"})


def parse_profile(text: str) -> Profile:
    """Reads a profile.

    Raises:
        InvalidInputError: it is none; says where.
        NotImplementedHereError: it wants a program to be asked about each call, or flags that are not offered.
    """
    if len(text) > PROFILE_BYTES_MAX:
        raise _invalid(f"it is longer than {PROFILE_BYTES_MAX} bytes")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error
    top = _object(content, "the profile", _TOP)
    if top.get("listenerPath") or top.get("listenerMetadata"):
        raise NotImplementedHereError("a seccomp profile with a listener is not supported")
    _check_flags(_texts(top, "flags"))
    architectures = _texts(top, "architectures")
    mapped = _list(top, "archMap")
    if architectures and mapped:
        raise _invalid(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either"
            " 'architectures' or 'archMap'"
        )
    rules = tuple(_rule(item) for item in _list(top, "syscalls"))
    if sum(len(rule.names) for rule in rules) > PROFILE_NAMES_MAX:
        raise _invalid(f"it names more than {PROFILE_NAMES_MAX} system calls")
    return Profile(
        default_action=_action(top.get("defaultAction"), top.get("defaultErrnoRet")),
        architectures=tuple(map(_architecture, architectures)),
        sub_architectures=dict(map(_mapped, mapped)),
        rules=rules,
    )


def _check_flags(flags: tuple[str, ...]) -> None:
    refused = set(flags) - _HARMLESS_FLAGS
    if refused:
        raise NotImplementedHereError(f"seccomp flag {min(refused)} is not supported")


def _rule(item: object) -> Rule:
    content = _object(item, "syscalls", _OF_RULE)
    name, names = content.get("name"), _texts(content, "names")
    if name and names:
        raise _invalid(
            "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or"
            " 'names'"
        )
    conditions = tuple(_condition(argument) for argument in _list(content, "args"))
    if len(conditions) > CONDITIONS_MAX:
        raise _invalid(f"a rule with more than {CONDITIONS_MAX} arguments")
    return Rule(
        names=(_text(name, "name"),) if name else names,
        action=_action(content.get("action"), content.get("errnoRet")),
        conditions=conditions,
        applies=_applies(content),
    )


def _applies(content: Mapping[str, object]) -> Applies:
    includes = _object(content.get("includes") or {}, "includes", _OF_FILTER)
    excludes = _object(content.get("excludes") or {}, "excludes", _OF_FILTER)
    if excludes.get("minKernel"):
        raise NotImplementedHereError("'minKernel' in a seccomp rule's excludes is not supported")
    return Applies(
        capabilities=_capabilities(includes),
        without_capabilities=_capabilities(excludes),
        architectures=frozenset(_texts(includes, "arches")),
        without_architectures=frozenset(_texts(excludes, "arches")),
        kernel=_kernel(includes.get("minKernel")),
    )


def _capabilities(content: Mapping[str, object]) -> frozenset[str]:
    try:
        return frozenset(map(canonical_capability, _texts(content, "caps")))
    except UnknownCapabilityError as error:
        raise _invalid(str(error)) from error


def _kernel(value: object) -> tuple[int, int]:
    if not value:
        return (0, 0)
    major, _, minor = _text(value, "minKernel").partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise _invalid(f"invalid kernel version {value!r}, expected 'kernel.major'")
    return (int(major), int(minor))


def _condition(item: object) -> Condition:
    content = _object(item, "args", _OF_CONDITION)
    operator = content.get("op")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise _invalid(f"unknown operator {operator!r}")
    index = _number(content.get("index", 0), "index", CONDITIONS_MAX - 1)
    return Condition(
        index,
        _OPERATORS[operator],
        _number(content.get("value", 0), "value", _WORD_MAX),
        _number(content.get("valueTwo", 0), "valueTwo", _WORD_MAX),
    )


def _action(name: object, number: object) -> int:
    if name == _NOTIFY:
        raise NotImplementedHereError(f"seccomp action {_NOTIFY} is not supported")
    if not isinstance(name, str) or name not in {*_ACTIONS, *_ACTIONS_WITH_NUMBER}:
        raise _invalid(f"unknown action {name!r}")
    if name in _ACTIONS:
        return _ACTIONS[name]
    make: Callable[[int], int] = _ACTIONS_WITH_NUMBER[name]
    return make(errno.EPERM if number is None else _number(number, "errnoRet", _ERRNO_MAX))


def _architecture(name: str) -> str:
    if not name.startswith(_PREFIX):
        raise _invalid(f"unknown architecture {name!r}")
    return name.removeprefix(_PREFIX).lower()


def _mapped(item: object) -> tuple[str, tuple[str, ...]]:
    content = _object(item, "archMap", frozenset({"architecture", "subArchitectures"}))
    native = _text(content.get("architecture"), "architecture")
    return _architecture(native), tuple(map(_architecture, _texts(content, "subArchitectures")))


# -- shapes ----------------------------------------------------------------------------------------


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError(f"decoding seccomp profile failed: {reason}")


def _object(value: object, what: str, known: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _invalid(f"{what}: not an object")
    unknown = value.keys() - known
    if unknown:
        raise _invalid(f"{what}: unknown field {min(unknown)!r}")
    return cast("Mapping[str, object]", value)


def _list(content: Mapping[str, object], name: str) -> list[object]:
    value = content.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _invalid(f"{name}: not a list")
    return value


def _texts(content: Mapping[str, object], name: str) -> tuple[str, ...]:
    return tuple(_text(item, name) for item in _list(content, name))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _invalid(f"{what}: {value!r} is not a text")
    return value


def _number(value: object, what: str, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise _invalid(f"{what}: {value!r} is not a number from 0 to {largest}")
    return value
