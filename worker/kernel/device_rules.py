"""Which devices a container may use: Docker's list, for both kinds of cgroup.

CAP_MKNOD is among Docker's default capabilities; this list is what keeps it from being a way to the host's disks.
"""

import struct

CHARACTER = "c"
BLOCK = "b"
EVERY_KIND = "a"
ANY = -1
NUMBER_MAX = (1 << 31) - 1
_DIGITS_MAX = 11
_ALL_ACCESS = "rwm"

Rule = tuple[str, int, int, str]
"""Kind, major, minor (``ANY`` for all), access out of "rwm" (m: mknod)."""

EVERYTHING: Rule = (EVERY_KIND, ANY, ANY, _ALL_ACCESS)
"""Allows all that there is."""

DEFAULT_DEVICE_RULES: tuple[Rule, ...] = (
    (CHARACTER, ANY, ANY, "m"),
    (BLOCK, ANY, ANY, "m"),
    (CHARACTER, 1, 3, "rwm"),  # /dev/null
    (CHARACTER, 1, 5, "rwm"),  # /dev/zero
    (CHARACTER, 1, 7, "rwm"),  # /dev/full
    (CHARACTER, 1, 8, "rwm"),  # /dev/random
    (CHARACTER, 1, 9, "rwm"),  # /dev/urandom
    (CHARACTER, 5, 0, "rwm"),  # /dev/tty
    (CHARACTER, 5, 1, "rwm"),  # /dev/console
    (CHARACTER, 5, 2, "rwm"),  # /dev/ptmx
    (CHARACTER, 136, ANY, "rwm"),  # /dev/pts/*
)


class DeviceRuleError(ValueError):
    """A rule that is none."""


def parse_rule(text: str) -> list[Rule]:
    """Reads a rule as Docker writes it: "c 1:* rwm", "b 8:0 r", "a" or "a *:* rwm" for everything.

    Raises:
        DeviceRuleError: it is none.
    """
    if text == EVERY_KIND:
        return [EVERYTHING]
    words = text.split(" ")
    if len(words) != 3 or words[0] not in (EVERY_KIND, *_KINDS):  # noqa: PLR2004 - kind, numbers, access
        raise DeviceRuleError(f"invalid device cgroup rule format: '{text}'")
    kind, (major, colon, minor), access = words[0], words[1].partition(":"), words[2]
    if not colon or not access or len(access) > len(_ALL_ACCESS) or set(access) - {*_ALL_ACCESS}:
        raise DeviceRuleError(f"invalid device cgroup rule format: '{text}'")
    access = "".join(letter for letter in _ALL_ACCESS if letter in access)
    numbers = _parse_number(major, text), _parse_number(minor, text)
    if kind != EVERY_KIND:
        return [(kind, *numbers, access)]
    if (*numbers, access) == EVERYTHING[1:]:
        return [EVERYTHING]
    return [(each, *numbers, access) for each in (CHARACTER, BLOCK)]


def _parse_number(text: str, rule: str) -> int:
    if text == "*":
        return ANY
    if not (text.isascii() and text.isdigit()) or int(text[:_DIGITS_MAX]) > NUMBER_MAX:
        raise DeviceRuleError(f"invalid device cgroup rule format: '{rule}'")
    return int(text)


# eBPF operation codes, by what they do.
_LOAD_WORD = 0x61
_AND_IMMEDIATE = 0x57
_SHIFT_RIGHT = 0x77
_MOVE_REGISTER = 0xBF
_MOVE_IMMEDIATE = 0xB7
_JUMP_IF_NOT_EQUAL = 0x55
_EXIT = 0x95

# Registers. The kernel gives the context in r1: u32 access << 16 | kind, u32 major, u32 minor.
_R_RESULT, _R_CONTEXT, _R_KIND, _R_ACCESS, _R_MAJOR, _R_MINOR, _R_SPARE = 0, 1, 2, 3, 4, 5, 6

_KINDS = {BLOCK: 1, CHARACTER: 2}
_ACCESS_BITS = {"m": 1, "r": 2, "w": 4}
_ACCESS_MASK = 7


def v1_lines(rules: tuple[Rule, ...] = DEFAULT_DEVICE_RULES) -> list[str]:
    """What to write to ``devices.allow``, one write each, once all is denied."""
    if EVERYTHING in rules:
        return [EVERY_KIND]
    return [
        f"{kind} {_number(major)}:{_number(minor)} {access}" for kind, major, minor, access in rules
    ]


def _number(number: int) -> str:
    return "*" if number == ANY else str(number)


def v2_program(rules: tuple[Rule, ...] = DEFAULT_DEVICE_RULES) -> bytes:
    """An eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE) that allows what a rule allows and nothing else."""
    program = (
        _instruction(_LOAD_WORD, _R_KIND, _R_CONTEXT, 0)
        + _instruction(_AND_IMMEDIATE, _R_KIND, immediate=0xFFFF)
        + _instruction(_LOAD_WORD, _R_ACCESS, _R_CONTEXT, 0)
        + _instruction(_SHIFT_RIGHT, _R_ACCESS, immediate=16)
        + _instruction(_LOAD_WORD, _R_MAJOR, _R_CONTEXT, 4)
        + _instruction(_LOAD_WORD, _R_MINOR, _R_CONTEXT, 8)
    )
    for rule in rules:
        program += _rule_block(rule)
    return program + _answer(0)


def _rule_block(rule: Rule) -> bytes:
    """Instructions that answer "allowed" when the rule fits, and otherwise run on behind themselves."""
    kind, major, minor, access = rule
    checks: list[tuple[int, int]] = []
    checks += [] if kind == EVERY_KIND else [(_R_KIND, _KINDS[kind])]
    checks += [] if major == ANY else [(_R_MAJOR, major)]
    checks += [] if minor == ANY else [(_R_MINOR, minor)]
    allowed = sum(_ACCESS_BITS[letter] for letter in access)
    outside = ~allowed & _ACCESS_MASK
    prologue = b""
    if set(access) != set(_ALL_ACCESS):
        prologue = _instruction(_MOVE_REGISTER, _R_SPARE, _R_ACCESS) + _instruction(
            _AND_IMMEDIATE, _R_SPARE, immediate=outside
        )
        checks.append((_R_SPARE, 0))
    answer = _answer(1)
    behind = len(answer) // 8
    body = b""
    for position, (register, wanted) in enumerate(checks):
        distance = len(checks) - position - 1 + behind
        body += _instruction(_JUMP_IF_NOT_EQUAL, register, offset=distance, immediate=wanted)
    return prologue + body + answer


def _answer(value: int) -> bytes:
    return _instruction(_MOVE_IMMEDIATE, _R_RESULT, immediate=value) + _instruction(_EXIT)


def _instruction(
    code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, offset, immediate)
