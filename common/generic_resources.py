"""A node's own resources as its administrator writes them: ``GPU=UUID1`` by name, ``SSD=3`` by number. Pure."""

from collections.abc import Iterable
from typing import Final

from common.model.resources import DiscreteResource, GenericResource, NamedResource

GENERIC_RESOURCES_MAX: Final = 1000
"""Of one node: they are part of each of its registrations."""
_AMOUNT_MAX: Final = 2**63 - 1


def generic_resources(texts: Iterable[str]) -> tuple[GenericResource, ...]:
    """Reads resources; a kind is either counted once, or each of its units has a name of its own.

    Raises:
        ValueError: with the text that is wrong.
    """
    found: dict[GenericResource, None] = {}
    kinds: dict[str, bool] = {}
    for text in texts:
        resource, kind, is_named = _read(text)
        if resource in found or kinds.get(kind, is_named) != is_named:
            raise ValueError(f"{text!r}: {kind} is given twice, or both as a number and by names")
        if kind in kinds and not is_named:
            raise ValueError(f"{text!r}: the number of {kind} is given twice")
        kinds[kind] = is_named
        found[resource] = None
    if len(found) > GENERIC_RESOURCES_MAX:
        raise ValueError(f"more than {GENERIC_RESOURCES_MAX} resources")
    return tuple(found)


def _read(text: str) -> tuple[GenericResource, str, bool]:
    kind, sign, value = text.partition("=")
    kind, value = kind.strip(), value.strip()
    if not (sign and kind and value) or not _is_plain(kind):
        raise ValueError(f"{text!r} is not of the form NAME=VALUE")
    if not _is_number(value):
        named = NamedResource(kind=kind, value=value)
        return GenericResource(named_resource_spec=named), kind, True
    amount = int(value)
    if not 0 < amount <= _AMOUNT_MAX:
        raise ValueError(f"{text!r}: the number must be from 1 to {_AMOUNT_MAX}")
    counted = DiscreteResource(kind=kind, value=amount)
    return GenericResource(discrete_resource_spec=counted), kind, False


def _is_plain(kind: str) -> bool:
    """It becomes part of a variable's name in the containers that get it."""
    return kind.isascii() and kind.replace("-", "").replace("_", "").replace(".", "").isalnum()


def _is_number(value: str) -> bool:
    return value.isascii() and value.removeprefix("-").isdigit()
