"""Any value of a model's type, for properties."""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(max_size=5)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NANOSECONDS = 1_000_000_000
EARLIEST, LATEST = 1_000_000_000.0, 4_000_000_000.0
"""Moments between which a float cannot tell two nanoseconds apart, so that writing them loses nothing."""
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGERS,
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    bytes: st.binary(max_size=5),
    types.NoneType: st.none(),
}
UNITS: dict[str, st.SearchStrategy[Any]] = {
    "nanoseconds": st.integers(0, 10**15).map(lambda nanos: nanos / NANOSECONDS),
    "rfc3339": st.just(0.0) | st.floats(EARLIEST, LATEST),
    "index": st.integers(0, 2**63 - 1),
    "base64": st.binary(max_size=5),
}


@lru_cache(maxsize=1024)
def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is not None:
        return _any_generic(kind, origin, args)
    if dataclasses.is_dataclass(kind):
        return st.builds(_sometimes_default(kind), st.data())
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return PLAIN[kind]


def _any_generic(kind: Any, origin: Any, args: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is typing.Annotated:
        return UNITS[kind.__metadata__[0]]
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(any_of(arg) for arg in args))
    if origin in (tuple, list):
        return st.lists(any_of(args[0]), max_size=2).map(origin)
    assert issubclass(origin, Mapping)
    return st.dictionaries(any_of(args[0]), any_of(args[1]), max_size=2)


def _sometimes_default(kind: Any) -> Callable[[st.DataObject], Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)

    def draw(data: st.DataObject) -> Any:
        given = {}
        for field in fields:
            needed = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if needed or data.draw(st.integers(0, 2)) == 0:
                given[field.name] = data.draw(any_of(hints[field.name]))
        return kind(**given)

    return draw
