"""System call filters: values that say what is allowed, and their BPF programs, made by libseccomp.

A program is made once and loaded by many processes (``syscalls.load_filter``).
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from common.errors import InvalidInputError
from worker.kernel.libraries import load_library

LIBRARY = "libseccomp.so.2"
PACKAGE = "libseccomp2"
"""Where Debian has the library."""
INSTRUCTIONS_MAX = 4096
"""The kernel takes no longer program (BPF_MAXINSNS)."""
CONDITIONS_MAX = 6
"""A system call has six arguments."""

KILL_PROCESS = 0x80000000
KILL_THREAD = 0
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000
_DATA_MASK = 0xFFFF

_ATTRIBUTE_OPTIMIZE = 8
_BINARY_TREE = 2
_UNKNOWN_SYSCALL = -1
_X32_BIT = 0x40000000
_AUDIT_64_BIT = 0x80000000

_LOAD = 0x20
_JUMP = 0x05
_IF_EQUAL = 0x15
_IF_GREATER = 0x25
_IF_AT_LEAST = 0x35
_RETURN = 0x06
_NUMBER_OFFSET = 0
_ARCHITECTURE_OFFSET = 4


class Comparison(IntEnum):
    """How an argument is compared with a value."""

    NE = 1
    LT = 2
    LE = 3
    EQ = 4
    GE = 5
    GT = 6
    MASKED_EQ = 7


@dataclass(frozen=True, slots=True)
class Condition:
    """One argument of a call, compared."""

    index: int
    """0 to 5."""
    comparison: Comparison
    value: int
    """The mask of MASKED_EQ."""
    masked_value: int = 0
    """What MASKED_EQ compares with."""


@dataclass(frozen=True, slots=True)
class FilterRule:
    """What happens to one system call when all conditions hold."""

    name: str
    action: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A whole filter: the first rule that holds decides, the default otherwise."""

    default_action: int
    architectures: tuple[str, ...]
    """By libseccomp's names: "x86_64", "x86", "x32"; others end the process."""
    rules: tuple[FilterRule, ...]


def errno_action(number: int) -> int:
    """The call fails with this error."""
    return ERRNO | number & _DATA_MASK


def trace_action(number: int) -> int:
    """A tracer decides; without one, the call fails."""
    return TRACE | number & _DATA_MASK


def native_architecture() -> str:
    """This machine's, by libseccomp's name."""
    return platform.machine()


def compile_filter(wanted: Filter) -> bytes:
    """The BPF program of a filter: an array of ``struct sock_filter``.

    Rules for calls that the library does not know are left out, as runc does. A call that is newer than all that the
    filter names fails as one that the kernel does not have: programs then do without it, where a "not permitted"
    would end them.

    Raises:
        InvalidInputError: the filter cannot be made: the library's words, or it is too long.
        SystemFailureError: the host does not have the library.
    """
    library = _load()
    context = library.seccomp_init(wanted.default_action)
    if not context:
        raise InvalidInputError("invalid seccomp default action")
    try:
        tokens = _set_architectures(library, context, wanted.architectures)
        _check(library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE), "optimize")
        for rule in wanted.rules:
            _add(library, context, rule, wanted.default_action)
        program = _export(library, context)
    finally:
        library.seccomp_release(context)
    if not _is_permissive(wanted.default_action):
        names = {rule.name for rule in wanted.rules}
        newest = {token: _newest(library, token, names) for token in tokens}
        program = _unknown_as_missing(newest) + program
    if len(program) // 8 > INSTRUCTIONS_MAX:
        raise InvalidInputError(
            f"the seccomp profile makes {len(program) // 8} instructions,"
            f" more than the kernel's {INSTRUCTIONS_MAX}"
        )
    return program


def _is_permissive(action: int) -> bool:
    return action in (ALLOW, LOG, errno_action(errno.ENOSYS))


def _set_architectures(
    library: ctypes.CDLL, context: int, architectures: tuple[str, ...]
) -> list[int]:
    """Makes the filter for exactly these; gives the library's tokens of those that it knows."""
    native = library.seccomp_arch_native()
    tokens = []
    for name in architectures:
        token = library.seccomp_arch_resolve_name(name.encode())
        if not token:
            continue  # This machine's kernel cannot run programs of one that the library does not know.
        code = library.seccomp_arch_add(context, token)
        if code == -errno.EDOM:
            continue  # Of the other byte order, likewise.
        if code != -errno.EEXIST:
            _check(code, f"architecture {name}")
        tokens.append(token)
    if native not in tokens:
        _check(library.seccomp_arch_remove(context, native), "architecture")
    if not tokens:
        raise InvalidInputError("the seccomp profile is for no architecture of this machine")
    return tokens


def _add(library: ctypes.CDLL, context: int, rule: FilterRule, default_action: int) -> None:
    number = library.seccomp_syscall_resolve_name(rule.name.encode())
    if number == _UNKNOWN_SYSCALL or rule.action == default_action:
        return
    array = (_Comparison * len(rule.conditions))(*map(_comparison, rule.conditions))
    code = library.seccomp_rule_add_array(context, rule.action, number, len(array), array)
    _check(code, f"rule for {rule.name}")


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("index", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def _comparison(condition: Condition) -> _Comparison:
    return _Comparison(
        condition.index, int(condition.comparison), condition.value, condition.masked_value
    )


def _export(library: ctypes.CDLL, context: int) -> bytes:
    file = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, file), "export")
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


def _check(code: int, what: str) -> None:
    if code < 0:
        raise InvalidInputError(f"seccomp profile: {what}: {os.strerror(-code)}")


# -- calls of the future ---------------------------------------------------------------------------


def _newest(library: ctypes.CDLL, token: int, names: Iterable[str]) -> int:
    return max(
        (library.seccomp_syscall_resolve_name_arch(token, name.encode()) for name in names),
        default=_UNKNOWN_SYSCALL,
    )


def _unknown_as_missing(newest: dict[int, int]) -> bytes:
    """Instructions that go before a program: calls above an architecture's newest one do not exist."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for token, last in newest.items():
        if last >= _X32_BIT:  # In the kernel's eyes it is x86_64, with numbers of its own.
            ranges.setdefault(token | _AUDIT_64_BIT, []).append((_X32_BIT, last))
        elif last >= 0:
            ranges.setdefault(token, []).append((0, last))
    return b"".join(_block(token, found) for token, found in ranges.items())


def _block(token: int, ranges: list[tuple[int, int]]) -> bytes:
    """Of one architecture: in which range of numbers a call is decides which is the last that is known."""
    tests = b""
    for first, last in sorted(ranges):
        behind = len(tests) // 8
        tests = (
            _instruction(_IF_AT_LEAST, first, 0, 3)
            + _instruction(_IF_GREATER, last, 0, 1)
            + _instruction(_RETURN, errno_action(errno.ENOSYS))
            + _instruction(_JUMP, behind)
            + tests
        )
    body = _instruction(_LOAD, _NUMBER_OFFSET) + tests
    return (
        _instruction(_LOAD, _ARCHITECTURE_OFFSET)
        + _instruction(_IF_EQUAL, token, 0, len(body) // 8)
        + body
    )


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, when_true, when_false, value)


def _load() -> ctypes.CDLL:
    library = load_library(LIBRARY, PACKAGE)
    pointer, number, word = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
    for name, result, arguments in (
        ("seccomp_init", pointer, (word,)),
        ("seccomp_release", None, (pointer,)),
        ("seccomp_attr_set", number, (pointer, number, word)),
        ("seccomp_arch_native", word, ()),
        ("seccomp_arch_resolve_name", word, (ctypes.c_char_p,)),
        ("seccomp_arch_add", number, (pointer, word)),
        ("seccomp_arch_remove", number, (pointer, word)),
        ("seccomp_syscall_resolve_name", number, (ctypes.c_char_p,)),
        ("seccomp_syscall_resolve_name_arch", number, (word, ctypes.c_char_p)),
        ("seccomp_rule_add_array", number, (pointer, word, number, ctypes.c_uint, pointer)),
        ("seccomp_export_bpf", number, (pointer, number)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
