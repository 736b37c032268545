"""Functions written for one dataclass each: to copy it, to take it apart, to put it together.

Copying, packing and unpacking objects is most of what the store does, and a frozen dataclass sets each of its fields
through ``object.__setattr__``, which is most of what making one costs. So each class gets an unfrozen twin of the same
memory layout: an object is filled in as a twin and becomes the real class at the end, before anybody sees it. The
functions are compiled from text that holds nothing but the model's own field names.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

_CLASSES_MAX = 1024


@lru_cache(maxsize=_CLASSES_MAX)
def copier(kind: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    """``copy(value)``: a twin of ``value``, still to be given its class."""
    copies = "".join(f"    twin.{name} = value.{name}\n" for name in field_names(kind))
    return _compiled(
        f"def generated(value):\n    twin = new(Twin)\n{copies}    return twin\n",
        {"new": object.__new__, "Twin": _twin(kind)},
    )


def taker_apart(kind: Any, *, named: bool) -> Callable[[Any], tuple[Any, ...]]:  # noqa: ANN401
    """``take_apart(value)``: the tuple of its fields, behind the name of its class when ``named``."""
    fields = "".join(f"value.{name}, " for name in field_names(kind))
    head = f"{kind.__name__!r}, " if named else ""
    return _compiled(f"def generated(value):\n    return ({head}{fields})\n", {})


def putter_together(
    kind: Any,  # noqa: ANN401
    readers: Sequence[Callable[[Any], Any]],
    plain: Sequence[type | None],
) -> Callable[[list[Any]], Any]:
    """``put_together(items)``: a ``kind`` whose fields are the items, each read by its reader.

    An item of exactly the type that ``plain`` names for its field is taken as it is. There are at least as many
    items as fields.
    """
    scope: dict[str, Any] = {"new": object.__new__, "Twin": _twin(kind), "Kind": kind}
    lines = []
    for place, (name, reader, exact) in enumerate(
        zip(field_names(kind), readers, plain, strict=True)
    ):
        scope[f"read{place}"] = reader
        if exact is None:
            lines.append(f"    twin.{name} = read{place}(items[{place}])\n")
        else:
            scope[f"type{place}"] = exact
            lines.append(
                f"    item = items[{place}]\n"
                f"    twin.{name} = item if type(item) is type{place} else read{place}(item)\n"
            )
    return _compiled(
        "def generated(items):\n"
        "    twin = new(Twin)\n"
        f"{''.join(lines)}"
        "    twin.__class__ = Kind\n"
        "    return twin\n",
        scope,
    )


def field_names(kind: Any) -> list[str]:  # noqa: ANN401
    """The fields of a dataclass in the order of their definition."""
    return [field.name for field in dataclasses.fields(kind)]


def _twin(kind: Any) -> type:  # noqa: ANN401
    return type(
        kind.__name__,
        kind.__bases__,
        {
            "__slots__": kind.__dict__["__slots__"],
            "__setattr__": object.__setattr__,
            "__doc__": kind.__doc__,
        },
    )


def _compiled(text: str, scope: dict[str, Any]) -> Callable[[Any], Any]:
    exec(text, scope)  # noqa: S102 - see above: our own field names
    generated: Callable[[Any], Any] = scope["generated"]
    return generated
