"""Seccomp profiles: rules that apply under conditions, and what is left of them for one container.

A profile is Docker's format as values (``seccomp_json`` reads it, ``seccomp_default`` is the one that applies when
nobody names another).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from worker.kernel.libseccomp import Condition, Filter, FilterRule

DOCKER_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "ppc64le": "ppc64le",
    "loongarch64": "loong64",
}
"""What a profile's conditions call a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applies:
    """When a rule counts: all that is said must hold."""

    capabilities: frozenset[str] = frozenset()
    """The container has all of them."""
    without_capabilities: frozenset[str] = frozenset()
    """The container has none of them."""
    architectures: frozenset[str] = frozenset()
    """The machine is one of these, by Docker's names; none said is any."""
    without_architectures: frozenset[str] = frozenset()
    kernel: tuple[int, int] = (0, 0)
    """At least this version."""


ALWAYS = Applies()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to some system calls."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()
    applies: Applies = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All rules, for all machines and containers."""

    default_action: int
    rules: tuple[Rule, ...]
    architectures: tuple[str, ...] = ()
    """By libseccomp's names; () is as ``sub_architectures`` says for the machine, or the machine's own."""
    sub_architectures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What else a machine runs: "x86_64" runs "x86" and "x32"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a profile's conditions ask of the host."""

    architecture: str
    """By libseccomp's name."""
    kernel: tuple[int, int]


def filter_for(profile: Profile, capabilities: frozenset[str], machine: Machine) -> Filter:
    """What a profile means for a container with these capabilities on this machine."""
    if profile.architectures:
        architectures = profile.architectures
    else:
        more = profile.sub_architectures.get(machine.architecture, ())
        architectures = (machine.architecture, *more)
    return Filter(
        default_action=profile.default_action,
        architectures=architectures,
        rules=tuple(
            filter_rule
            for rule in profile.rules
            if _does_apply(rule.applies, capabilities, machine)
            for filter_rule in _each(rule)
        ),
    )


def _does_apply(applies: Applies, capabilities: frozenset[str], machine: Machine) -> bool:
    name = DOCKER_ARCHITECTURES.get(machine.architecture, machine.architecture)
    return (
        applies.capabilities <= capabilities
        and not applies.without_capabilities & capabilities
        and (not applies.architectures or name in applies.architectures)
        and name not in applies.without_architectures
        and machine.kernel >= applies.kernel
    )


def _each(rule: Rule) -> Iterator[FilterRule]:
    """One for each name; conditions on one argument are alternatives, as in runc."""
    indexes = [condition.index for condition in rule.conditions]
    for name in rule.names:
        if len(set(indexes)) == len(indexes):
            yield FilterRule(name, rule.action, rule.conditions)
        else:
            for condition in rule.conditions:
                yield FilterRule(name, rule.action, (condition,))
