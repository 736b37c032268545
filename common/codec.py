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
from typing import Any, TypeVar

import msgpack

from common.errors import SwarmdError
from common.generated import field_names, putter_together, taker_apart

T = TypeVar("T")
_Decode = Callable[[Any], Any]

INTERNED_MAX = 4096
"""Interned objects remembered, for packing and for unpacking each."""


class CodecError(SwarmdError):
    """Bytes that are not what they should be."""


class _Recent:
    """The most recently used entries of a cache, bounded by ``INTERNED_MAX``. Threads may share it."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any) -> Any:  # noqa: ANN401
        value = self._entries.get(key)
        if value is not None:
            try:
                self._entries.move_to_end(key)
            except KeyError:  # another thread has just made room
                self._entries[key] = value
        return value

    def put(self, key: Any, value: Any) -> None:  # noqa: ANN401
        self._entries[key] = value
        while len(self._entries) > INTERNED_MAX:
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


def pack_plain(value: Any) -> bytes:  # noqa: ANN401
    """Packs plain values: numbers, text, bytes, and arrays and maps of them."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack_plain(data: bytes) -> Any:  # noqa: ANN401
    """Unpacks plain values; an array is a list.

    Raises:
        CodecError: the bytes are not msgpack.
    """
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise CodecError(f"not valid msgpack: {error}") from error


def tagged(*members: type) -> None:
    """Registers the members of a closed union: from now on each is packed with its name."""
    _tagged.update(members)


_tagged: set[type] = set()


def _fields_of(value: Any) -> Any:  # noqa: ANN401
    """What stands in msgpack for a value that it does not know."""
    kind: Any = type(value)
    return _packer(kind)(value)


@lru_cache(maxsize=1024)
def _packer(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    if dataclasses.is_dataclass(kind):
        take_apart = taker_apart(kind, named=kind in _tagged)
        return _interned_packer(take_apart) if hasattr(kind, "__interned__") else take_apart
    if issubclass(kind, Mapping):
        return dict
    if issubclass(kind, frozenset):
        return sorted
    raise TypeError(f"{kind.__name__} has no place in the codec")


def _interned_packer(take_apart: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], bytes]:
    def pack(value: Any) -> bytes:  # noqa: ANN401
        known: tuple[Any, bytes] | None = _packed.get(id(value))
        if known is None:
            known = (value, encode(take_apart(value)))
            _packed.put(id(value), known)
        return known[1]

    return pack


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
        return decoder(_without_unit(kind))
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(typing.get_args(kind))
    if origin is not None:
        return _container_decoder(origin, typing.get_args(kind))
    if dataclasses.is_dataclass(kind):
        return (
            _interned_decoder(kind) if hasattr(kind, "__interned__") else _dataclass_decoder(kind)
        )
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum_decoder(kind)
    return _plain_decoder(kind)


def _plain_decoder(kind: type) -> _Decode:
    if kind is float:
        return _float

    def plain(raw: Any) -> Any:  # noqa: ANN401
        if type(raw) is not kind:
            raise CodecError(f"expected {kind.__name__}, found {type(raw).__name__}")
        return raw

    return plain


def _enum_decoder(kind: type[Enum]) -> _Decode:
    members = {member.value: member for member in kind}

    def member(raw: Any) -> Any:  # noqa: ANN401
        try:
            return members[raw]
        except KeyError:
            raise CodecError(f"not a valid {kind.__name__}: {raw!r}") from None

    return member


def _float(raw: Any) -> float:  # noqa: ANN401
    if type(raw) is float or type(raw) is int:
        return float(raw)
    raise CodecError(f"expected float, found {type(raw).__name__}")


def _container_decoder(origin: Any, args: tuple[Any, ...]) -> _Decode:  # noqa: ANN401
    if origin in (tuple, list, frozenset):
        item = decoder(args[0])
        return lambda raw: origin(map(item, raw) if type(raw) is list else _sequence(raw))
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
    if kind not in _tagged:
        return plain

    def named(raw: Any) -> Any:  # noqa: ANN401
        name, *fields = _sequence(raw)
        if name != kind.__name__:
            raise CodecError(f"expected a {kind.__name__}, found a {name}")
        return plain(fields)

    return named


@lru_cache(maxsize=1024)
def _untagged_decoder(kind: Any) -> _Decode:  # noqa: ANN401
    prepared: list[tuple[Callable[[list[Any]], Any], list[_Decode]]] = []

    def build(raw: Any) -> Any:  # noqa: ANN401
        if not prepared:  # on first use, since a class may contain itself
            prepared.append(_prepare(kind))
        put_together, readers = prepared[0]
        if type(raw) is list and len(raw) >= len(readers):
            return put_together(raw)
        names = field_names(kind)
        given = zip(names, readers, _sequence(raw), strict=False)
        return kind(**{name: read(item) for name, read, item in given})

    return build


def _prepare(kind: Any) -> tuple[Callable[[list[Any]], Any], list[_Decode]]:  # noqa: ANN401
    hints = typing.get_type_hints(kind, include_extras=True)
    bare = [_without_unit(hints[name]) for name in field_names(kind)]
    readers = [decoder(hint) for hint in bare]
    exact = [hint if hint in _AS_THEY_ARE else None for hint in bare]
    return putter_together(kind, readers, exact), readers


_AS_THEY_ARE = (str, int, float, bool, bytes)


def _without_unit(hint: Any) -> Any:  # noqa: ANN401
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


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
