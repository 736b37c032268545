"""All containers of this process: by id and by name, each change on disk before anyone sees it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from common.clock import Clock
from common.errors import InvalidInputError, NotFoundError, SystemFailureError
from common.events import EventLog
from worker.containers.feed import Feed
from worker.containers.record import Container, ContainerState
from worker.containers.records import Records
from worker.containers.restart_policy import is_lasting
from worker.containers.waiting import Waits


@dataclass(slots=True, eq=False)
class Live:
    """A container in this process: its value, and who looks after it."""

    container: Container
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes what it does: starts, pauses or removes it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Of the run under way, or of the last one."""
    watcher: asyncio.Task[None] | None = None
    health: asyncio.Task[None] | None = None
    restart: asyncio.Task[None] | None = None
    """Waits for the moment of the next start, while it is RESTARTING."""
    ends_by_hand: int = 0
    """How many are ending it for something that they do next: nothing else follows from that end."""
    restarts_by_hand: int = 0
    """How many of these start it again then, and have its record say so."""
    is_going: bool = False
    """It is being removed, and its record with it: a disk that takes no more does not hold that up."""
    waits: Waits = field(default_factory=Waits)

    def forget_restart(self) -> None:
        """Waits for its next start no more; its lock is held, so that this has not begun."""
        if self.restart is not None:
            self.restart.cancel()
            self.restart = None

    @property
    def has_process(self) -> bool:
        """Whether its first process lives."""
        return self.container.has_process

    @property
    def is_active(self) -> bool:
        """Whether it runs, or will again of itself."""
        return self.container.is_active


class Register:
    """Who there is. Only its methods change a container's value."""

    def __init__(self, records: Records, clock: Clock, events: EventLog) -> None:
        self.clock = clock
        self._records, self._events = records, events
        self._live: dict[str, Live] = {}
        self._names: dict[str, str] = {}
        self._feed = Feed()

    # -------------------------------------------------------------------------------- looking

    def get(self, container_id: str) -> Live | None:
        """By its full id."""
        return self._live.get(container_id)

    def named(self, name: str) -> Live | None:
        """By its name."""
        return self._live.get(self._names.get(name, ""))

    def known(self, container_id: str) -> Live:
        """By its full id.

        Raises:
            NotFoundError: "No such container: x".
        """
        live = self._live.get(container_id)
        if live is None:
            raise NotFoundError(f"No such container: {container_id}")
        return live

    def find(self, reference: str) -> Live:
        """By full id, then name, then unique beginning of an id.

        Raises:
            NotFoundError: "No such container: x".
            InvalidInputError: the beginning of several ids.
        """
        exact = self.get(reference) or self.named(reference.removeprefix("/"))
        if exact is not None:
            return exact
        matching = [key for key in self._live if reference and key.startswith(reference)]
        if len(matching) > 1:
            raise InvalidInputError(f"multiple IDs found with provided prefix: {reference}")
        if not matching:
            raise NotFoundError(f"No such container: {reference}")
        return self._live[matching[0]]

    def all(self) -> Sequence[Live]:
        """All of them, the newest first."""
        return sorted(
            self._live.values(), key=lambda live: (-live.container.created_at, live.container.id)
        )

    def check_here(self, live: Live) -> None:
        """Refuses one that has been removed meanwhile, or is just being removed.

        Raises:
            NotFoundError: "No such container: x".
        """
        if live.is_going or not self.is_here(live):
            raise NotFoundError(f"No such container: {live.container.id}")

    @asynccontextmanager
    async def locked(self, live: Live) -> AsyncIterator[None]:
        """Nobody else changes what it does meanwhile.

        Raises:
            NotFoundError: whoever had it before has removed it.
        """
        async with live.lock:
            self.check_here(live)
            yield

    def is_here(self, live: Live) -> bool:
        """Whether it has not been removed meanwhile."""
        return self._live.get(live.container.id) is live

    def changed(self) -> AsyncIterator[Container]:
        """Each container whenever it changes; slow readers get only the latest of each."""
        return self._feed.subscribe()

    # ------------------------------------------------------------------------------- changing

    def add(self, container: Container) -> Live:
        """One that is on disk already."""
        live = Live(container)
        self._names[container.config.name] = container.id
        self._live[container.id] = live
        self._feed.tell(container)
        return live

    def drop(self, live: Live) -> None:
        """It is gone from the disk too."""
        del self._live[live.container.id]
        del self._names[live.container.config.name]
        live.waits.gone(live.container)

    def update(self, live: Live, container: Container) -> None:
        """A new value: on disk first, then for everyone.

        Raises:
            SystemFailureError: the disk said no; the old value stands.
        """
        self._records.write(container)
        live.container = container
        self._feed.tell(container)

    def end(self, live: Live, container: Container) -> None:
        """The value of one that has ended; of one that is being removed also where the disk does not take it.

        Raises:
            SystemFailureError: the disk said no; the old value stands.
        """
        try:
            self.update(live, container)
        except SystemFailureError:
            if not live.is_going:
                raise
            live.container = container
            self._feed.tell(container)

    async def flush(self, live: Live) -> None:
        """Makes what its restart policy reads outlive a power failure; nothing for one without a policy.

        Raises:
            SystemFailureError: the disk said no, and it has not been removed meanwhile.
        """
        if not is_lasting(live.container):
            return
        try:
            await asyncio.to_thread(self._records.flush, live.container.id)
        except SystemFailureError:
            if self.is_here(live) and not live.is_going:
                raise

    def rename(self, live: Live, name: str) -> None:
        """Another name, which must be free.

        Raises:
            SystemFailureError: the disk said no; the old name stands.
        """
        before = live.container
        self.update(live, replace(before, config=replace(before.config, name=name)))
        del self._names[before.config.name]
        self._names[name] = before.id

    def die(self, live: Live, error: str) -> None:
        """What could not be removed in full is dead, on disk too if the disk lets us."""
        dead = replace(live.container, state=ContainerState.DEAD, error=error)
        try:
            self.update(live, dead)
        except SystemFailureError:
            live.container = dead
            self._feed.tell(dead)

    # -------------------------------------------------------------------------------- telling

    def tell(self, container: Container, action: str, **attributes: str) -> None:
        """Says in the event log what happened to it."""
        config = container.config
        known = {"image": config.spec.image, "name": config.name}
        self._events.tell(
            "container", action, container.id, {**config.labels, **known, **attributes}
        )

    def tell_of_all(self, action: str, **attributes: str) -> None:
        """Says in the event log what happened to containers as a whole."""
        self._events.tell("container", action, "", attributes)
