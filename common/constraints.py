"""Placement constraints: reading ``key==value`` and ``key!=value``, and whether a node satisfies them.

The keys are SwarmKit's: ``node.id``, ``node.hostname``, ``node.ip`` (an address or a CIDR), ``node.role``,
``node.platform.os``, ``node.platform.arch``, ``node.labels.NAME`` and ``engine.labels.NAME``. Keys and values match in
any case, except the NAME of a label. A label that a node lacks counts as empty. A key that is none of these is
accepted, as Docker does, and no node satisfies it.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from common.errors import InvalidInputError
from common.model.node import Node

OPERATORS = ("==", "!=")
NODE_LABEL_PREFIX = "node.labels."
ENGINE_LABEL_PREFIX = "engine.labels."
PARSED_MAX = 4096
"""Constraints remembered in their parsed form."""

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint: the node's value of ``key`` equals ``value``, or must not."""

    key: str
    is_equal: bool
    value: str


def parse_constraints(texts: Iterable[str]) -> tuple[Constraint, ...]:
    """Reads constraints as the user wrote them.

    Raises:
        InvalidInputError: one of them is not a constraint.
    """
    return tuple(_parse(text) for text in texts)


def node_satisfies(constraints: Iterable[Constraint], node: Node) -> bool:
    """Whether a node satisfies all of the constraints."""
    return all(_satisfies(constraint, node) for constraint in constraints)


@lru_cache(maxsize=PARSED_MAX)
def _parse(text: str) -> Constraint:
    for operator in OPERATORS:  # in this order: Docker looks for == first, wherever it stands
        left, found, right = text.partition(operator)
        if not found:
            continue
        key, value = left.strip(), right.strip()
        if not _KEY.fullmatch(key):
            raise InvalidInputError(f"key '{key}' is invalid")
        if not _VALUE.fullmatch(value):
            raise InvalidInputError(f"value '{value}' is invalid")
        return Constraint(key=key, is_equal=operator == "==", value=value)
    raise InvalidInputError(f"constraint expected one operator from {', '.join(OPERATORS)}")


def _satisfies(constraint: Constraint, node: Node) -> bool:
    key = constraint.key.casefold()
    if key == "node.ip":
        return _ip_satisfies(constraint, node.status.addr)
    found = attribute(node, constraint.key)
    if found is None:
        return False
    wanted = constraint.value
    if key == "node.platform.arch":
        wanted, found = canonical_architecture(wanted), canonical_architecture(found)
    return (wanted.casefold() == found.casefold()) == constraint.is_equal


def attribute(node: Node, key: str) -> str | None:
    """What a node has for a key of the constraint grammar; None for a key that is not one.

    A label that the node lacks is empty.
    """
    folded = key.casefold()
    if folded in _PLAIN_KEYS:
        return _PLAIN_KEYS[folded](node)
    if folded.startswith(NODE_LABEL_PREFIX) and folded != NODE_LABEL_PREFIX:
        return node.spec.labels.get(key[len(NODE_LABEL_PREFIX) :], "")
    if folded.startswith(ENGINE_LABEL_PREFIX) and folded != ENGINE_LABEL_PREFIX:
        return node.description.engine.labels.get(key[len(ENGINE_LABEL_PREFIX) :], "")
    return None


_PLAIN_KEYS: dict[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.id,
    "node.hostname": lambda node: node.description.hostname,
    "node.role": lambda node: node.spec.role.value,
    "node.platform.os": lambda node: node.description.platform.os,
    "node.platform.arch": lambda node: node.description.platform.architecture,
}


def canonical_architecture(architecture: str) -> str:
    """Go's name of a processor architecture for uname's, so that both words mean the same."""
    folded = architecture.casefold()
    return _ARCHITECTURES.get(folded, folded)


def _ip_satisfies(constraint: Constraint, addr: str) -> bool:
    try:
        wanted = ipaddress.ip_network(constraint.value, strict=False)
    except ValueError:
        return False  # no node satisfies a malformed address, whatever the operator
    try:
        is_within = ipaddress.ip_address(addr) in wanted
    except ValueError:
        is_within = False
    return is_within == constraint.is_equal
