import hashlib
import json

import pytest

from worker.kernel.libseccomp import ALLOW, Comparison, Condition, FilterRule, errno_action
from worker.runtime.seccomp import Applies, Machine, Profile, Rule, filter_for
from worker.runtime.seccomp_default import DEFAULT_PROFILE

MACHINE = Machine(architecture="x86_64", kernel=(6, 1))
DENY = errno_action(1)
NONE: frozenset[str] = frozenset()
ADMIN = frozenset({"CAP_SYS_ADMIN"})

CONDITIONS = {
    "always": (Applies(), NONE, MACHINE, True),
    "with a capability": (Applies(capabilities=ADMIN), ADMIN, MACHINE, True),
    "without it": (Applies(capabilities=ADMIN), NONE, MACHINE, False),
    "with one of two": (
        Applies(capabilities=ADMIN | {"CAP_BPF"}), ADMIN, MACHINE, False,
    ),
    "unless a capability": (Applies(without_capabilities=ADMIN), ADMIN, MACHINE, False),
    "unless one that is not had": (Applies(without_capabilities=ADMIN), NONE, MACHINE, True),
    "on this architecture": (
        Applies(architectures=frozenset({"amd64", "x32"})), NONE, MACHINE, True,
    ),
    "on another": (Applies(architectures=frozenset({"arm64"})), NONE, MACHINE, False),
    "not on this one": (Applies(without_architectures=frozenset({"amd64"})), NONE, MACHINE, False),
    "on an older kernel": (Applies(kernel=(6, 2)), NONE, MACHINE, False),
    "on this kernel": (Applies(kernel=(6, 1)), NONE, MACHINE, True),
    "on a newer kernel": (Applies(kernel=(5, 20)), NONE, MACHINE, True),
}  # fmt: skip


@pytest.mark.parametrize(
    ("applies", "capabilities", "machine", "expected"), CONDITIONS.values(), ids=CONDITIONS
)
def test_a_rule_counts_when_all_its_conditions_hold(
    applies: Applies, capabilities: frozenset[str], machine: Machine, *, expected: bool
) -> None:
    profile = Profile(
        default_action=DENY, rules=(Rule(names=("read",), action=ALLOW, applies=applies),)
    )
    rules = filter_for(profile, capabilities, machine).rules
    assert rules == ((FilterRule("read", ALLOW),) if expected else ())


def test_conditions_on_several_arguments_must_all_hold() -> None:
    both = (Condition(0, Comparison.EQ, 1), Condition(1, Comparison.EQ, 2))
    profile = Profile(
        default_action=DENY, rules=(Rule(names=("read",), action=ALLOW, conditions=both),)
    )
    assert filter_for(profile, NONE, MACHINE).rules == (FilterRule("read", ALLOW, both),)


def test_conditions_on_one_argument_are_alternatives() -> None:
    one, other = Condition(0, Comparison.EQ, 1), Condition(0, Comparison.EQ, 2)
    profile = Profile(
        default_action=DENY, rules=(Rule(names=("read",), action=ALLOW, conditions=(one, other)),)
    )
    assert filter_for(profile, NONE, MACHINE).rules == (
        FilterRule("read", ALLOW, (one,)),
        FilterRule("read", ALLOW, (other,)),
    )


ARCHITECTURES = {
    "the machine's own": (Profile(default_action=DENY, rules=()), ("x86_64",)),
    "what else it runs": (DEFAULT_PROFILE, ("x86_64", "x86", "x32")),
    "those that are named": (
        Profile(default_action=DENY, rules=(), architectures=("x86",)), ("x86",),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("profile", "expected"), ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_a_filter_is_for(profile: Profile, expected: tuple[str, ...]) -> None:
    assert filter_for(profile, NONE, MACHINE).architectures == expected


def test_no_system_call_is_named_twice_for_all_containers() -> None:
    always = [
        name
        for rule in DEFAULT_PROFILE.rules
        if rule.applies == Applies() and not rule.conditions
        for name in rule.names
    ]
    assert len(always) == len(set(always))


DOCKERS = "8618fb2c2e292ca569213a936153e96601afc4df52d0ec0bcecef532c278c731"
"""Of the rules in moby's profiles/seccomp/default.json, written as below and sorted."""


def row(rule: Rule, name: str) -> list[object]:
    applies = rule.applies
    return [
        name,
        "SCMP_ACT_ALLOW" if rule.action == ALLOW else "SCMP_ACT_ERRNO",
        0 if rule.action == ALLOW else rule.action & 0xFFFF,
        [
            [one.index, f"SCMP_CMP_{one.comparison.name}", one.value, one.masked_value]
            for one in rule.conditions
        ],
        sorted(applies.capabilities),
        sorted(applies.architectures),
        ".".join(map(str, applies.kernel)) if any(applies.kernel) else "",
        sorted(applies.without_capabilities),
        sorted(applies.without_architectures),
    ]


def test_the_default_profile_says_what_dockers_says() -> None:
    rows = [row(rule, name) for rule in DEFAULT_PROFILE.rules for name in rule.names]
    lines = sorted(json.dumps(one, separators=(",", ":")) for one in rows)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == DOCKERS
