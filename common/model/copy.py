"""A changed copy of a model object, several times faster than ``dataclasses.replace``."""

from typing import Any, TypeVar

from common.generated import copier

T = TypeVar("T")


def changed(value: T, **fields: Any) -> T:  # noqa: ANN401 - as dataclasses.replace
    """Copies ``value`` with some fields changed.

    Raises:
        AttributeError: ``value`` has no such field.
    """
    kind: Any = type(value)
    copy = copier(kind)(value)
    for name, content in fields.items():
        setattr(copy, name, content)
    copy.__class__ = kind
    return copy  # type: ignore[no-any-return]  # a twin until the line above
