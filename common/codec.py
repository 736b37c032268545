"""Model objects to msgpack bytes and back: what stands in the raft log and travels between nodes.

A dataclass is an array of its fields in the order of their definition. That order is the format: fields are only
ever appended, with a default. A reader takes the default for a field that the bytes do not have yet, and ignores
fields that it does not know. A member of a closed union is preceded by its class's name. A class with
``__interned__`` is packed as bytes of its own, so that equal specs decode to one shared object.
"""

import dataclasses
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

import msgpack

from common.errors import SwarmdError

T = TypeVar("T")
_Decode = Callable[[Any], Any]

INTERNED_MAX = 4096
"""Interned objects remembered, for packing and for unpacking each."""


class CodecError(SwarmdError):
    """Bytes that are not what they should be."""


class _Recent:
    """The most recently used entries of a cache, bounded by ``INTERNED_MAX``."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any) -> Any:  # noqa: ANN401
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: Any, value: Any) -> None:  # noqa: ANN401
        self._entries[key] = value
        if len(self._entries) > INTERNED_MAX:
            self._entries.popitem(last=False)


_packed = _Recent()  # id of an interned object -> (the object, its bytes)
_unpacked = _Recent()  # (class, bytes) -> the object


def encode(value: Any) -> bytes:  # noqa: ANN401
    """Packs a model object, or a list or tuple of them."""
    packed: bytes = msgpack.packb(value, default=_fields_of, use_bin_type=True)
    return packed


def decode(kind: type[T], data: bytes) -> T:
    """Unpacks what ``encode`` packed.

    Raises:
        CodecError: the bytes are not a ``kind``.
    """
    try:
        raw = msgpack.unpackb(data, raw=False, strict_map_key=True)
        value: T = decoder(kind)(raw)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException) as error:
        raise CodecError(f"not a valid {getattr(kind, '__name__', kind)}: {error}") from error
    return value


def tagged(*members: type) -> None:
    """Registers the members of a closed union: from now on each is packed with its name."""
    _tagged.update(members)


_tagged: set[type] = set()


@lru_cache(maxsize=1024)
def _getter(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    names = [field.name for field in dataclasses.fields(kind)]
    if not names:
        return lambda _value: ()
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda value: (get(value),)
    return attrgetter(*names)


def _fields_of(value: Any) -> Any:  # noqa: ANN401
    kind = type(value)
    if not dataclasses.is_dataclass(kind):
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, frozenset):
            return sorted(value)
        raise TypeError(f"{kind.__name__} has no place in the codec")
    if not hasattr(kind, "__interned__"):
        fields = _getter(kind)(value)
        return (kind.__name__, *fields) if kind in _tagged else fields
    known = _packed.get(id(value))
    if known is None:
        known = (value, msgpack.packb(_getter(kind)(value), default=_fields_of, use_bin_type=True))
        _packed.put(id(value), known)
    return known[1]


def decoder(kind: Any) -> _Decode:  # noqa: ANN401
    """Gives the function that turns unpacked msgpack into a ``kind`` (a class, a union, a container of them)."""
    try:
        return _cached_decoder(kind)
    except TypeError:  # an unhashable annotation
        return _make_decoder(kind)


@lru_cache(maxsize=4096)
def _cached_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    return _make_decoder(kind)


def _make_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return decoder(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(typing.get_args(kind))
    if origin is not None:
        return _container_decoder(origin, typing.get_args(kind))
    if dataclasses.is_dataclass(kind):
        return (
            _interned_decoder(kind) if hasattr(kind, "__interned__") else _dataclass_decoder(kind)
        )
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _plain_decoder(kind)


def _plain_decoder(kind: type) -> _Decode:
    if kind is float:
        return _float

    def plain(raw: Any) -> Any:  # noqa: ANN401
        if type(raw) is not kind:
            raise CodecError(f"expected {kind.__name__}, found {type(raw).__name__}")
        return raw

    return plain


def _float(raw: Any) -> float:  # noqa: ANN401
    if type(raw) is float or type(raw) is int:
        return float(raw)
    raise CodecError(f"expected float, found {type(raw).__name__}")


def _container_decoder(origin: Any, args: tuple[Any, ...]) -> _Decode:  # noqa: ANN401
    if origin in (tuple, list):
        item = decoder(args[0])
        return lambda raw: origin(map(item, _sequence(raw)))
    if origin is frozenset:
        item = decoder(args[0])
        return lambda raw: frozenset(map(item, _sequence(raw)))
    key, value = decoder(args[0]), decoder(args[1])
    return lambda raw: {key(k): value(v) for k, v in _mapping(raw).items()}


def _sequence(raw: Any) -> list[Any]:  # noqa: ANN401
    if not isinstance(raw, list):
        raise CodecError(f"expected an array, found {type(raw).__name__}")
    return raw


def _mapping(raw: Any) -> dict[Any, Any]:  # noqa: ANN401
    if not isinstance(raw, dict):
        raise CodecError(f"expected a map, found {type(raw).__name__}")
    return raw


def _union_decoder(members: tuple[Any, ...]) -> _Decode:
    classes = [member for member in members if member is not types.NoneType]
    if len(classes) == 1:
        inner = decoder(classes[0])
        return lambda raw: None if raw is None else inner(raw)
    by_name = {member.__name__: _untagged_decoder(member) for member in classes}
    nullable = len(classes) < len(members)

    def union(raw: Any) -> Any:  # noqa: ANN401
        if raw is None and nullable:
            return None
        name, *fields = _sequence(raw)
        if name not in by_name:
            raise CodecError(f"unknown kind {name!r}", hint="it was written by a newer version")
        return by_name[name](fields)

    return union


def _dataclass_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    plain = _untagged_decoder(kind)
    if kind in _tagged:
        return lambda raw: plain(_sequence(raw)[1:])
    return plain


@lru_cache(maxsize=1024)
def _untagged_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    steps: list[tuple[str, _Decode]] = []

    def build(raw: Any) -> Any:  # noqa: ANN401
        if not steps:  # on first use, since a class may contain itself
            hints = typing.get_type_hints(kind, include_extras=True)
            steps.extend((f.name, decoder(hints[f.name])) for f in dataclasses.fields(kind))
        return kind(
            **{name: read(item) for (name, read), item in zip(steps, _sequence(raw), strict=False)}
        )

    return build


def _interned_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    build = _untagged_decoder(kind)

    def interned(raw: Any) -> Any:  # noqa: ANN401
        if type(raw) is not bytes:
            raise CodecError(f"expected bytes of a {kind.__name__}, found {type(raw).__name__}")
        known = _unpacked.get((kind, raw))
        if known is None:
            known = build(msgpack.unpackb(raw, raw=False, strict_map_key=True))
            _unpacked.put((kind, raw), known)
        return known

    return interned
