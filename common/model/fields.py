"""How a field of the model is called and written in the Engine API's JSON.

The model is one schema with two encodings (``common.codec``: msgpack; ``common.engine_json``: the API's JSON).
A field's JSON name is its own name in CamelCase (``stop_signal`` -> ``StopSignal``, ``node_id`` -> ``NodeID``);
where Docker's differs, ``called`` says it. Durations and moments are seconds (float) here; ``Seconds`` is an
integer of nanoseconds and ``Timestamp`` an RFC 3339 string in JSON.
"""

from collections.abc import Mapping
from dataclasses import MISSING, field
from typing import Annotated, Any

Seconds = Annotated[float, "nanoseconds"]
"""A duration in seconds; the suffix ``_seconds`` of a field's name is not part of its JSON name."""

Timestamp = Annotated[float, "rfc3339"]
"""Seconds since the epoch; 0.0 is "never" and is written as Go's zero time, 0001-01-01T00:00:00Z."""

Index = Annotated[int, "index"]
"""A raft index; ``{"Index": n}`` in JSON."""

Bytes = Annotated[bytes, "base64"]
"""Bytes; a base64 string in JSON."""

KEPT_BACK: Mapping[str, None] = {"json": None}
"""The metadata of a field that is never part of the Engine API's JSON: neither written nor read."""


def called(name: str, *, default: Any = MISSING, default_factory: Any = MISSING) -> Any:  # noqa: ANN401
    """A dataclass field whose JSON name is not the CamelCase of its own."""
    metadata = {"json": name}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)
