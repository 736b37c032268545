"""Containers that may run only until some moment, unless it is put off: the supervisor sees to it.

The moments are of the clock that goes on while the machine is suspended. A successor that the supervisor becomes does
not know them: whoever had it replaced tells them again.
"""

import time

from worker.runtime.eventloop import EventLoop, after_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LEASES_MAX = 16384
"""Containers with such a moment."""
LOOK_MS = 500
"""Between two looks at the clock."""


class _Limit:
    """Until when one container may run."""

    __slots__ = ("kill_at_ns", "number", "stop_at_ns", "was_signalled")

    def __init__(self, number: int, stop_at_ns: int, kill_at_ns: int) -> None:
        self.number, self.stop_at_ns, self.kill_at_ns = number, stop_at_ns, kill_at_ns
        self.was_signalled = False


class Leases:
    """The moments of all containers."""

    def __init__(
        self,
        loop: EventLoop,
        signal: "Callable[[str, int], None]",
        kill: "Callable[[str], None]",
    ) -> None:
        self._loop, self._signal, self._kill = loop, signal, kill
        self._limits: dict[str, _Limit] = {}

    def has_room_for(self, container_ids: "list[str]") -> bool:
        """Whether these can have a moment, too."""
        return len(self._limits.keys() | set(container_ids)) <= LEASES_MAX

    def put(self, container_id: str, number: int, stop_at_ns: int, kill_at_ns: int) -> None:
        """The container gets that signal at one moment, and is killed at the other; replaces what was said before."""
        self._limits[container_id] = _Limit(number, stop_at_ns, kill_at_ns)
        self._look_later()

    def forget(self, container_id: str) -> None:
        """The container has ended."""
        self._limits.pop(container_id, None)

    def look(self) -> None:
        """Ends what must not run any more."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        for container_id, limit in list(self._limits.items()):
            if now >= limit.kill_at_ns:
                del self._limits[container_id]
                self._kill(container_id)
            elif now >= limit.stop_at_ns and not limit.was_signalled:
                limit.was_signalled = True
                self._signal(container_id, limit.number)
        self._look_later()

    def _look_later(self) -> None:
        if self._limits:
            self._loop.call_at("leases", after_ms(LOOK_MS), self.look)
        else:
            self._loop.cancel("leases")
