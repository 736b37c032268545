"""Flags as tables: each says where its value stands in what is sent. Pure.

A setting has one value; a collection is a flag that may be given several times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.swarmctl import arguments

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A flag with one value."""

    flag: str
    path: tuple[str, ...]
    read: Callable[[str], Any] = str
    short: str = ""
    help: str = ""
    is_switch: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A flag that may be given several times."""

    flag: str
    path: tuple[str, ...]
    read: Callable[[str], Any] = str
    """One given text to one item; to ``(key, value)`` where the collection is a map."""
    key: Callable[[Any], Any] = lambda item: item
    """What tells items apart: adding one with the key of another replaces it."""
    remove_key: Callable[[str], Any] | None = None
    """What the text given to ``-rm`` stands for; None: the text itself."""
    removed_by: Callable[[Any], Any] | None = None
    """What of an item ``-rm`` names; None: its key."""
    short: str = ""
    help: str = ""
    is_map: bool = False
    many: bool = False
    """Whether one text reads to several items (a range of ports)."""


METAVARS: dict[Callable[[str], Any], str] = {
    arguments.duration: "DURATION",
    arguments.duration_as_written: "DURATION",
    arguments.size: "BYTES",
    arguments.swap: "BYTES",
    arguments.cpus: "DECIMAL",
    arguments.ratio: "RATIO",
    arguments.whole: "NUMBER",
    arguments.count: "NUMBER",
}
"""What ``--help`` shows for a flag's value, by how it is read."""


def apply_settings(spec: Spec, settings: Iterable[Setting], given: Mapping[str, Any]) -> None:
    """Puts the settings that were given where they stand.

    Raises:
        ValueError: one of them is not of its form.
    """
    for setting in settings:
        if setting.flag not in given:
            continue
        value = given[setting.flag]
        if setting.is_switch and setting.read is not str and not value:
            continue
        is_value = setting.is_switch and setting.read is str
        section(spec, setting.path)[setting.path[-1]] = (
            value if is_value else read(setting.flag, setting.read, str(value))
        )


def section(spec: Spec, path: tuple[str, ...]) -> dict[str, Any]:
    """The object in which the last name of a path stands; made where it is not there."""
    found = spec
    for key in path[:-1]:
        if found.get(key) is None:
            found[key] = {}
        found = found[key]
    return found


def read(flag: str, reader: Callable[[str], Any], text: str) -> Any:  # noqa: ANN401 - the flag's own type
    """What a text says; an error names the flag."""
    try:
        return reader(text)
    except ValueError as error:
        raise ValueError(f"--{flag}: {error}") from None


def items(collection: Collection, texts: Sequence[str]) -> list[Any]:
    """What the texts of a collection say."""
    found = [read(collection.flag, collection.read, text) for text in texts]
    return [item for several in found for item in several] if collection.many else found


def add(spec: Spec, collection: Collection, texts: Sequence[str]) -> None:
    """Adds what was given; what has the key of another replaces it."""
    if not texts:
        return
    place, name = section(spec, collection.path), collection.path[-1]
    if collection.is_map:
        place[name] = dict(place.get(name) or {}) | dict(items(collection, texts))
        return
    fresh = items(collection, texts)
    replaced = [collection.key(item) for item in fresh]
    place[name] = [
        item for item in place.get(name) or [] if collection.key(item) not in replaced
    ] + fresh


def remove(spec: Spec, collection: Collection, texts: Sequence[str]) -> None:
    """Takes away what was named."""
    if not texts:
        return
    place, name = section(spec, collection.path), collection.path[-1]
    if collection.is_map:
        place[name] = {
            key: value for key, value in (place.get(name) or {}).items() if key not in texts
        }
        return
    stands_for = collection.remove_key or str
    gone = [read(f"{collection.flag}-rm", stands_for, text) for text in texts]
    named = collection.removed_by or collection.key
    place[name] = [item for item in place.get(name) or [] if named(item) not in gone]
