"""Who is attached to which container, and who waits for one that has not been started. The supervisor's part of it."""

from worker.runtime import wire
from worker.runtime.attached import Attached
from worker.runtime.audience import Audience
from worker.runtime.refusal import NOT_FOUND, UNAVAILABLE, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from worker.runtime.connections import Request, Verb
    from worker.runtime.eventloop import EventLoop
    from worker.runtime.held import Held

ANNOUNCED_MAX = 1024
"""Containers that somebody is attached to before they are started."""


class Audiences:
    """Those of containers that run are theirs; those of the others are kept here."""

    def __init__(
        self, loop: "EventLoop", held: "dict[str, Held]", log: "Callable[[str], None]"
    ) -> None:
        self._loop = loop
        self._held = held
        """The supervisor's containers."""
        self._log = log
        self._announced: dict[str, Audience] = {}

    def __iter__(self) -> "Iterator[tuple[str, Audience]]":
        """Of containers that run, and of those that are to be started."""
        for one in self._held.values():
            if one.audience is not None:
                yield one.id, one.audience
        yield from self._announced.items()

    def verbs(self) -> "dict[str, Verb]":
        """What clients can ask for."""
        return {wire.ATTACH: self._attach}

    def _attach(self, request: "Request", arguments: "Any") -> None:  # noqa: ANN401 - from the wire
        """The request's connection becomes a stream. One that does not run may be about to."""
        container_id, before_start, with_input, with_output = arguments
        held = self._held.get(container_id)
        held = held if held is not None and held.pid else None
        audience = held.audience if held is not None else self._announced.get(container_id)
        if audience is None:
            audience = Audience(self._loop, self._log)
            self._seat(audience, container_id, held, may_wait=before_start)
        audience.check_room()
        fd, reader = request.take_connection()
        member = Attached(fd, reader, audience, with_input=with_input, with_output=with_output)
        audience.admit(member)
        member.send(request.encode(None))
        if held is not None:
            held.tell_end(member)

    def _seat(
        self, audience: Audience, container_id: str, held: "Held | None", *, may_wait: bool
    ) -> None:
        """Gives a container that nobody is attached to an audience, or has it wait for the container's start."""
        if held is not None:
            held.gather(audience)
            return
        if not may_wait:
            raise Refusal(NOT_FOUND, f"container {container_id} is not running")
        if len(self._announced) >= ANNOUNCED_MAX:
            raise Refusal(UNAVAILABLE, f"{ANNOUNCED_MAX} containers are waited for already")
        self._announced[container_id] = audience
        audience.on_relief = lambda: self._forget_if_left(container_id)

    def _forget_if_left(self, container_id: str) -> None:
        """Nobody waits for the container any more."""
        audience = self._announced.get(container_id)
        if audience is not None and not audience.members:
            del self._announced[container_id]

    def take(self, container_id: str) -> Audience | None:
        """Those who waited for this container, which is being started; they are its own from now on."""
        return self._announced.pop(container_id, None)

    def restore(self, container_id: str, members: "list[Any]") -> None:
        """Takes in those who were attached to this container, or waited for it, before this program ran."""
        audience = Audience(self._loop, self._log)
        self._seat(audience, container_id, self._held.get(container_id), may_wait=True)
        for words in members:
            audience.restore(words)
