"""Model objects to the Engine API's JSON and back.

The JSON names and units come from the model itself (``common.model.fields``). Reading is as Go's: unknown keys are
ignored, keys match in any case when not exactly, ``null`` is the default, and so is "" where only certain words are
allowed. Writing leaves out what is None, and an empty string or list or False where that is the default; numbers and
``Labels`` always stand. So what was written reads as what it was.
"""

import base64
import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any, TypeVar

from common.errors import InvalidInputError

T = TypeVar("T")
_Parse = Callable[[Any, str], Any]
_Render = Callable[[Any], Any]

NANOSECONDS = 1_000_000_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
"""Whole numbers of the API are Go's int64."""
ZERO_TIME = "0001-01-01T00:00:00Z"
_ACRONYMS = {"id": "ID", "ip": "IP", "os": "OS", "dns": "DNS"}


def json_fields(kind: Any) -> "list[dataclasses.Field[Any]]":  # noqa: ANN401
    """The fields that are part of the API's JSON: all that are not kept back."""
    return [
        field for field in dataclasses.fields(kind) if field.metadata.get("json", "") is not None
    ]


def json_name(field: "dataclasses.Field[Any]") -> str:
    """The name of a field in the API's JSON."""
    if "json" in field.metadata:
        return str(field.metadata["json"])
    name = field.name.removesuffix("_seconds")
    return "".join(_ACRONYMS.get(word, word.capitalize()) for word in name.split("_"))


def rfc3339(moment: float) -> str:
    """A moment as Docker writes it, with nanoseconds; 0.0 is Go's zero time."""
    if moment == 0.0:
        return ZERO_TIME
    seconds = math.floor(moment)
    nanos = round(
        (moment - seconds) * NANOSECONDS
    )  # the difference is exact, a product would not be
    seconds, nanos = seconds + nanos // NANOSECONDS, nanos % NANOSECONDS
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def from_rfc3339(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 moment.

    Raises:
        ValueError: it is not one.
    """
    if text in ("", ZERO_TIME):
        return 0.0
    head, dot, tail = text.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))] if dot else ""
    whole = datetime.fromisoformat(head + tail[len(digits) :])
    if whole.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return whole.timestamp() + (float(f"0.{digits}") if digits else 0.0)


def render(value: Any) -> Any:  # noqa: ANN401
    """Gives what ``json.dumps`` takes."""
    kind: Any = type(value)
    return _renderer_of(kind)(value)


def parse(kind: type[T], raw: Any, where: str = "") -> T:  # noqa: ANN401
    """Reads a ``kind`` out of parsed JSON; ``where`` names the place in error messages.

    Raises:
        InvalidInputError: with the path of the first value that does not fit.
    """
    hint: Any = kind
    value: T = _parser(hint)(raw, where or kind.__name__)
    return value


# ------------------------------------------------------------------------------------------ writing


@lru_cache(maxsize=1024)
def _renderer_of(kind: Any) -> _Render:  # noqa: ANN401
    if dataclasses.is_dataclass(kind):
        return _dataclass_renderer(kind)
    if issubclass(kind, IntEnum):
        return lambda value: value.name.lower()
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, (tuple, list, frozenset)):
        return lambda value: [render(item) for item in value]
    if issubclass(kind, Mapping):
        return lambda value: {key: render(item) for key, item in value.items()}
    return lambda value: value


def _dataclass_renderer(kind: Any) -> _Render:  # noqa: ANN401
    hints = typing.get_type_hints(kind, include_extras=True)
    steps = [
        (f.name, json_name(f), _field_renderer(hints[f.name]), _default(f))
        for f in json_fields(kind)
    ]

    def write(value: Any) -> dict[str, Any]:  # noqa: ANN401
        result = {}
        for name, key, step, default in steps:
            item = getattr(value, name)
            if item is None or (_is_empty(item) and item == default and key != "Labels"):
                continue
            result[key] = step(item)
        return result

    return write


def _default(field: "dataclasses.Field[Any]") -> Any:  # noqa: ANN401
    """What a reader takes when the key is absent."""
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


def _is_empty(item: Any) -> bool:  # noqa: ANN401
    return isinstance(item, (bool, str, bytes, tuple, list, frozenset, dict)) and not item


def _field_renderer(hint: Any) -> _Render:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        unit: _Render = {
            "nanoseconds": lambda v: round(v * NANOSECONDS),
            "rfc3339": rfc3339,
            "index": lambda v: {"Index": v},
            "base64": lambda v: base64.b64encode(v).decode(),
        }[hint.__metadata__[0]]
        return unit
    if origin in (typing.Union, types.UnionType):
        members = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        if len(members) == 1:
            return _field_renderer(members[0])
        return lambda value: {type(value).__name__: render(value)}
    return render


# ------------------------------------------------------------------------------------------ reading


def _fault(where: str, expected: str, raw: Any) -> InvalidInputError:  # noqa: ANN401
    found = "null" if raw is None else type(raw).__name__
    return InvalidInputError(f"invalid value for {where}: expected {expected}, found {found}")


@lru_cache(maxsize=4096)
def _parser(hint: Any) -> _Parse:  # noqa: ANN401
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _unit_parser(hint.__metadata__[0])
    if origin in (typing.Union, types.UnionType):
        return _union_parser(typing.get_args(hint))
    if origin is not None:
        return _container_parser(origin, typing.get_args(hint))
    if dataclasses.is_dataclass(hint):
        return _dataclass_parser(hint)
    if issubclass(hint, Enum):
        return _enum_parser(hint)
    return _plain_parser(hint)


def _plain_parser(kind: type) -> _Parse:
    words = {str: "a string", int: "an integer", bool: "true or false", float: "a number"}

    def plain(raw: Any, where: str) -> Any:  # noqa: ANN401
        if kind is float and type(raw) in (int, float):
            return float(raw)
        if kind is int and type(raw) is float and raw.is_integer():
            return int(raw)
        if type(raw) is not kind:
            raise _fault(where, words.get(kind, kind.__name__), raw)
        if isinstance(raw, int) and not INT64_MIN <= raw <= INT64_MAX:
            raise InvalidInputError(f"invalid value for {where}: {raw} is out of range")
        if isinstance(raw, str) and not _is_text(raw):
            raise InvalidInputError(f"invalid value for {where}: not valid Unicode text")
        return raw

    return plain


def _is_text(raw: str) -> bool:
    """False for half a surrogate pair, which JSON can spell and nothing else can carry."""
    if raw.isascii():
        return True
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unit_parser(unit: str) -> _Parse:
    integer, string = _plain_parser(int), _plain_parser(str)

    def moment(raw: Any, where: str) -> float:  # noqa: ANN401
        try:
            return from_rfc3339(string(raw, where))
        except ValueError:
            raise InvalidInputError(
                f"invalid value for {where}: {raw!r} is not an RFC 3339 time"
            ) from None

    def octets(raw: Any, where: str) -> bytes:  # noqa: ANN401
        try:
            return base64.b64decode(string(raw, where), validate=True)
        except ValueError:
            raise InvalidInputError(f"invalid value for {where}: not base64") from None

    def index(raw: Any, where: str) -> int:  # noqa: ANN401
        number: int = integer(raw.get("Index", 0) if isinstance(raw, dict) else raw, where)
        return number

    def duration(raw: Any, where: str) -> float:  # noqa: ANN401
        return float(integer(raw, where)) / NANOSECONDS

    readers: dict[str, _Parse] = {
        "nanoseconds": duration,
        "rfc3339": moment,
        "index": index,
        "base64": octets,
    }
    return readers[unit]


def _enum_parser(kind: type[Enum]) -> _Parse:
    ints = issubclass(kind, IntEnum)
    known: dict[Any, Enum] = {(m.name.lower() if ints else m.value): m for m in kind}

    def member(raw: Any, where: str) -> Any:  # noqa: ANN401
        if not isinstance(raw, str):
            raise _fault(where, "a string", raw)
        if raw not in known:
            raise InvalidInputError(
                f"invalid value for {where}: {raw!r}", hint=f"one of {', '.join(map(str, known))}"
            )
        return known[raw]

    return member


def _container_parser(origin: Any, args: tuple[Any, ...]) -> _Parse:  # noqa: ANN401
    if origin in (tuple, list, frozenset):
        item = _parser(args[0])

        def items(raw: Any, where: str) -> Any:  # noqa: ANN401
            if not isinstance(raw, list):
                raise _fault(where, "a list", raw)
            return origin(item(value, f"{where}[{place}]") for place, value in enumerate(raw))

        return items
    value_parser = _parser(args[1])

    def mapping(raw: Any, where: str) -> Any:  # noqa: ANN401
        if not isinstance(raw, dict):
            raise _fault(where, "an object", raw)
        return {key: value_parser(value, f"{where}.{key}") for key, value in raw.items()}

    return mapping


def _union_parser(args: tuple[Any, ...]) -> _Parse:
    members = [arg for arg in args if arg is not types.NoneType]
    if len(members) == 1:
        inner = _parser(members[0])
        return lambda raw, where: None if raw is None else inner(raw, where)
    by_name = {member.__name__.lower(): _parser(member) for member in members}
    names = ", ".join(member.__name__ for member in members)

    def one_of(raw: Any, where: str) -> Any:  # noqa: ANN401
        given = [item for item in raw.items() if item[1] is not None] if type(raw) is dict else []
        if len(given) != 1 or given[0][0].lower() not in by_name:
            raise InvalidInputError(f"invalid value for {where}: expected exactly one of {names}")
        name, body = given[0]
        return by_name[name.lower()](body, f"{where}.{name}")

    return one_of


def _is_word(hint: Any) -> bool:  # noqa: ANN401
    return isinstance(hint, type) and issubclass(hint, Enum)


def _dataclass_parser(kind: Any) -> _Parse:  # noqa: ANN401
    by_key: dict[str, tuple[str, _Parse]] = {}
    by_lower: dict[str, tuple[str, _Parse]] = {}
    words: set[str] = set()

    def prepare() -> None:
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in json_fields(kind):
            entry = (field.name, _parser(hints[field.name]))
            if _is_word(hints[field.name]):
                words.add(field.name)
            by_key[json_name(field)] = entry
            by_lower[json_name(field).lower()] = entry

    def read(raw: Any, where: str) -> Any:  # noqa: ANN401
        if not isinstance(raw, dict):
            raise _fault(where, "an object", raw)
        if not by_key:
            prepare()
        known = (
            (by_key.get(key) or by_lower.get(key.lower()), key)
            for key in raw
            if raw[key] is not None
        )
        given = {
            entry[0]: entry[1](raw[key], f"{where}.{key}")
            for entry, key in known
            if entry and not (raw[key] == "" and entry[0] in words)
        }
        try:
            return kind(**given)
        except TypeError:
            raise InvalidInputError(f"incomplete value for {where}") from None

    return read
