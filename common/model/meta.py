"""What every stored object has."""

from dataclasses import dataclass

from common.model.fields import Index, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The head of every stored object; written by the store when the object's entry is applied."""

    id: str
    version: Index = 0
    """Raft index of the last write; 0 for an object not stored yet."""
    created_at: Timestamp = 0.0
    updated_at: Timestamp = 0.0
