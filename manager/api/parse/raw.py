"""Looking into parsed JSON before it becomes a model: keys in any case, as Go's clients may write them."""

from collections.abc import Mapping
from typing import Any

from common.errors import InvalidInputError


def body_object(raw: Any) -> dict[str, Any]:  # noqa: ANN401
    """The request's body, which must be an object.

    Raises:
        InvalidInputError: nothing was sent, or something else.
    """
    if raw is None:
        raise InvalidInputError("invalid JSON: got EOF while reading request body")
    if not isinstance(raw, dict):
        raise InvalidInputError("invalid JSON: the request body must be an object")
    return raw


def member(raw: object, *path: str) -> Any:  # noqa: ANN401
    """What stands at a path of keys; None where it, or anything before it, is absent."""
    for key in path:
        if not isinstance(raw, Mapping):
            return None
        raw = raw[key] if key in raw else _in_any_case(raw, key)
    return raw


def with_member(raw: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    """A copy with that key, whatever the case it was written in, set."""
    kept = {name: item for name, item in raw.items() if name.lower() != key.lower()}
    return {**kept, key: value}


def _in_any_case(raw: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    wanted = key.lower()
    return next((item for name, item in raw.items() if name.lower() == wanted), None)
