"""Runs the eBPF program in a few lines of interpreter: what it answers is what v1's lines say."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.kernel.device_rules import (
    ANY,
    DEFAULT_DEVICE_RULES,
    EVERY_KIND,
    EVERYTHING,
    DeviceRuleError,
    Rule,
    parse_rule,
    v1_lines,
    v2_program,
)

BITS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}


def run(  # noqa: C901 - a case per instruction
    program: bytes, kind: str, access: str, major: int, minor: int
) -> bool:
    wanted = sum(BITS[letter] for letter in access)
    context = struct.pack("<III", wanted << 16 | KINDS[kind], major, minor)
    registers = [0] * 10
    at = 0
    while True:
        code, both, offset, immediate = struct.unpack_from("<BBhi", program, at * 8)
        target, source = both & 15, both >> 4
        at += 1
        match code:
            case 0x61:
                registers[target] = struct.unpack_from("<I", context, offset)[0]
            case 0x57:
                registers[target] &= immediate
            case 0x77:
                registers[target] >>= immediate
            case 0xBF:
                registers[target] = registers[source]
            case 0xB7:
                registers[target] = immediate
            case 0x55:
                at += offset if registers[target] != immediate else 0
            case 0x95:
                return registers[0] == 1
            case _:
                pytest.fail(f"no such instruction: {code:#x}")


def allows(rules: tuple[Rule, ...], kind: str, access: str, major: int, minor: int) -> bool:
    return any(
        rule_kind in (EVERY_KIND, kind)
        and rule_major in (ANY, major)
        and rule_minor in (ANY, minor)
        and set(access) <= set(rule_access)
        for rule_kind, rule_major, rule_minor, rule_access in rules
    )


CASES = {
    "/dev/null is read and written": ("c", "rw", 1, 3, True),
    "a terminal of the container": ("c", "rw", 136, 9, True),
    "any node can be made": ("b", "m", 254, 0, True),
    "a disk is not read": ("b", "r", 254, 0, False),
    "a disk is not written": ("b", "w", 8, 1, False),
    "the kernel's log is not read": ("c", "r", 1, 11, False),
    "memory is not read": ("c", "r", 1, 1, False),
    "making and reading at once is not allowed": ("b", "mr", 254, 0, False),
}


@pytest.mark.parametrize(
    ("kind", "access", "major", "minor", "expected"), CASES.values(), ids=CASES
)
def test_the_default_list(
    kind: str, access: str, major: int, minor: int, *, expected: bool
) -> None:
    assert run(v2_program(), kind, access, major, minor) is expected
    assert allows(DEFAULT_DEVICE_RULES, kind, access, major, minor) is expected


numbers = st.integers(0, 6)
accesses = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda some: "".join(sorted(some)))
rules = st.tuples(st.sampled_from("abc"), numbers | st.just(ANY), numbers | st.just(ANY), accesses)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(rules, max_size=6), st.sampled_from("bc"), accesses, numbers, numbers)
def test_the_program_says_what_the_rules_say(
    some: list[Rule], kind: str, access: str, major: int, minor: int
) -> None:
    listed = tuple(some)
    expected = allows(listed, kind, access, major, minor)
    assert run(v2_program(listed), kind, access, major, minor) is expected


def test_v1_lines_are_the_kernels_syntax() -> None:
    assert v1_lines((("c", 1, 3, "rwm"), ("b", ANY, ANY, "m"), ("c", 136, ANY, "rw"))) == [
        "c 1:3 rwm",
        "b *:* m",
        "c 136:* rw",
    ]


def test_v1_needs_one_line_for_everything() -> None:
    assert v1_lines((*DEFAULT_DEVICE_RULES, EVERYTHING)) == ["a"]


PARSED: dict[str, list[Rule]] = {
    "c 1:3 rwm": [("c", 1, 3, "rwm")],
    "b 8:* r": [("b", 8, ANY, "r")],
    "c *:* mr": [("c", ANY, ANY, "rm")],
    "a": [EVERYTHING],
    "a *:* rwm": [EVERYTHING],
    "a 7:1 rw": [("c", 7, 1, "rw"), ("b", 7, 1, "rw")],
}


@pytest.mark.parametrize(("text", "expected"), PARSED.items(), ids=PARSED)
def test_a_rule_is_read(text: str, expected: list[Rule]) -> None:
    assert parse_rule(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "c", "d 1:3 r", "c 1 r", "c 1:3", "c 1:3 x", "c 1:3 rwmr", "c 1:-3 r", "c 1:3  r",
     "c :3 r", "c 1:99999999999999999999 r", "c 1:3 r\na"],
)  # fmt: skip
def test_no_rule_is(text: str) -> None:
    with pytest.raises(DeviceRuleError, match="invalid device cgroup rule format"):
        parse_rule(text)
