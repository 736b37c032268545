"""Secrets and configs on their way to an agent and back, as values."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.model.config import Config
from common.model.secret import Secret
from common.protocol.messages import PAYLOAD_BYTES_PER_MESSAGE_MAX

Key = tuple[str, str]
"""Kind ("secret" or "config") and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handing:
    """What to give to an agent, and what to take back."""

    given: tuple[Secret | Config, ...] = ()
    taken: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.given or self.taken)

    def taken_of(self, kind: str) -> tuple[str, ...]:
        """Ids of what to take back of that kind."""
        return tuple(item_id for taken_kind, item_id in self.taken if taken_kind == kind)

    def parts(self) -> Iterator[tuple[Secret | Config, ...]]:
        """What to give, in parts that each fit a message."""
        part: list[Secret | Config] = []
        size = 0
        for item in self.given:
            if part and size + len(item.spec.data) > PAYLOAD_BYTES_PER_MESSAGE_MAX:
                yield tuple(part)
                part, size = [], 0
            part.append(item)
            size += len(item.spec.data)
        if part:
            yield tuple(part)
