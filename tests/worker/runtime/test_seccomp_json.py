import json

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from worker.kernel.libseccomp import (
    ALLOW,
    KILL_PROCESS,
    LOG,
    Comparison,
    Condition,
    errno_action,
    trace_action,
)
from worker.runtime.seccomp import Applies, Profile, Rule
from worker.runtime.seccomp_json import PROFILE_BYTES_MAX, parse_profile


def test_a_profile_is_read_with_all_it_says() -> None:
    text = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "archMap": [
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
            ],
            "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "comment": "both"},
                {
                    "name": "clone",
                    "action": "SCMP_ACT_ERRNO",
                    "args": [
                        {"index": 1, "value": 6, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"},
                        {"index": 2, "op": "SCMP_CMP_GE"},
                    ],
                    "includes": {"caps": ["CAP_BPF"], "arches": ["amd64"], "minKernel": "4.8"},
                    "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]},
                },
                {"names": ["bpf"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
                {"names": ["mount"], "action": "SCMP_ACT_KILL_PROCESS", "args": None},
                {"names": ["acct"], "action": "SCMP_ACT_LOG"},
            ],
        }
    )
    assert parse_profile(text) == Profile(
        default_action=errno_action(38),
        sub_architectures={"x86_64": ("x86",), "riscv64": ()},
        rules=(
            Rule(names=("read", "write"), action=ALLOW),
            Rule(
                names=("clone",),
                action=errno_action(1),
                conditions=(
                    Condition(1, Comparison.MASKED_EQ, 6, 2),
                    Condition(2, Comparison.GE, 0),
                ),
                applies=Applies(
                    capabilities=frozenset({"CAP_BPF"}),
                    architectures=frozenset({"amd64"}),
                    kernel=(4, 8),
                    without_capabilities=frozenset({"CAP_SYS_ADMIN"}),
                    without_architectures=frozenset({"s390"}),
                ),
            ),
            Rule(names=("bpf",), action=trace_action(7)),
            Rule(names=("mount",), action=KILL_PROCESS),
            Rule(names=("acct",), action=LOG),
        ),
    )


def test_architectures_may_be_a_list() -> None:
    text = '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}'
    assert parse_profile(text).architectures == ("x86_64",)


RULE = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


def of(**changes: object) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **changes})


def of_rule(**changes: object) -> str:
    return of(syscalls=[{**RULE, **changes}])


INVALID = {
    "no JSON": ("{", "decoding seccomp profile failed"),
    "JSON that is too deep": ("[" * 100_000, "decoding seccomp profile failed"),
    "no object": ("[]", "the profile: not an object"),
    "too long": (" " * (PROFILE_BYTES_MAX + 1), "longer than"),
    "no default": ("{}", "unknown action None"),
    "an unknown action": (of_rule(action="SCMP_ACT_X"), "unknown action 'SCMP_ACT_X'"),
    "an unknown field": (of(defaultActon=1), "unknown field 'defaultActon'"),
    "an unknown field of a rule": (of_rule(arguments=[]), "unknown field 'arguments'"),
    "name and names": (of_rule(name="write"), "both 'name' and 'names'"),
    "two kinds of architectures": (
        of(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86"}]),
        "both 'architectures' and 'archMap'",
    ),
    "an unknown architecture": (of(architectures=["x86"]), "unknown architecture 'x86'"),
    "an unknown operator": (of_rule(args=[{"index": 0, "op": "="}]), "unknown operator '='"),
    "an operator that is no text": (of_rule(args=[{"op": []}]), "unknown operator"),
    "an action that is no text": (of_rule(action=[]), "unknown action"),
    "a seventh argument": (of_rule(args=[{"index": 6, "op": "SCMP_CMP_EQ"}]), "0 to 5"),
    "a value below 0": (of_rule(args=[{"value": -1, "op": "SCMP_CMP_EQ"}]), "value: -1"),
    "a name that is none": (of_rule(names=[""]), "is not a text"),
    "an unknown capability": (of_rule(includes={"caps": ["CAP_X"]}), "CAP_X"),
    "a kernel that is none": (of_rule(includes={"minKernel": "4"}), "invalid kernel version '4'"),
    "too many calls": (of_rule(names=["read"] * 20_001), "more than 20000 system calls"),
    "seven conditions": (of_rule(args=[{"op": "SCMP_CMP_EQ"}] * 7), "more than 6"),
}


@pytest.mark.parametrize(("text", "reason"), INVALID.values(), ids=INVALID)
def test_no_profile_is(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        parse_profile(text)


NOT_OFFERED = {
    "a listener": of(listenerPath="/run/x"),
    "the action that asks a listener": of_rule(action="SCMP_ACT_NOTIFY"),
    "a flag": of(flags=["SECCOMP_FILTER_FLAG_LOG"]),
}


@pytest.mark.parametrize("text", NOT_OFFERED.values(), ids=NOT_OFFERED)
def test_refused_by_name_is(text: str) -> None:
    with pytest.raises(NotImplementedHereError, match="not supported"):
        parse_profile(text)
