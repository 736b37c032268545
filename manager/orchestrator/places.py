"""Where something happened in a service since it was last looked at, so that a look may be a short one."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Generic, TypeVar

from manager.store.verdict import Verdict, soonest

P = TypeVar("P", int, str)

PLACES_MAX = 1000
"""Places remembered of one service; beyond that all of it is looked at."""


class Places(Generic[P]):
    """The places to look at, by service. With nothing remembered, the whole service is to be looked at."""

    def __init__(self) -> None:
        self._places: dict[str, set[P]] = {}
        self._whole: set[str] = set()
        self._due: dict[str, float] = {}
        """When each service is to be looked at as a whole."""

    def clear(self) -> None:
        """Forgets everything: each service is to be looked at as a whole."""
        self._places.clear()
        self._whole.clear()
        self._due.clear()

    def note(self, service_id: str, places: Iterable[P]) -> None:
        """Something happened there."""
        noted = self._places.setdefault(service_id, set())
        noted.update(places)
        if len(noted) > PLACES_MAX:
            self._whole.add(service_id)

    def note_whole(self, service_id: str) -> None:
        """Something happened that may concern all of the service."""
        self._whole.add(service_id)

    def forget(self, service_id: str) -> None:
        """The service is gone."""
        self._places.pop(service_id, None)
        self._whole.discard(service_id)
        self._due.pop(service_id, None)

    def take(self, service_id: str, now: float) -> set[P] | None:
        """The places to look at; None is the whole service."""
        places = self._places.pop(service_id, None)
        is_whole = service_id in self._whole or self._due.get(service_id, now + 1) <= now
        self._whole.discard(service_id)
        return None if is_whole else places

    def set_due(self, service_id: str, at: float | None) -> None:
        """When the service is to be looked at again as a whole."""
        if at is None:
            self._due.pop(service_id, None)
        else:
            self._due[service_id] = at

    def also(self, service_id: str, verdict: Verdict) -> Verdict:
        """The verdict of a look at some places; when its time comes, all of the service is looked at."""
        at = soonest(verdict.look_again_at, self._due.get(service_id))
        self.set_due(service_id, at)
        return replace(verdict, look_again_at=at)
