"""Control groups of containers that have ended: taken away now, or as soon as the kernel lets go of them."""

from worker.runtime.eventloop import EventLoop, after_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.kernel.cgroupfs import Cgroups

LEFTOVER_TRIES_MAX = 500
_AGAIN_MS = 20


class Leftovers:
    """Groups that the kernel holds busy, and how often they were tried."""

    def __init__(self, cgroups: "Cgroups", loop: EventLoop, log: "Callable[[str], None]") -> None:
        self._cgroups = cgroups
        self._loop = loop
        self._log = log
        self._tries: dict[str, int] = {}

    def remove(self, container_id: str) -> bool:
        """Takes a container's group away: now if the kernel lets us, else a little later."""
        if self._cgroups.remove(container_id):
            self._tries.pop(container_id, None)
            return True
        tries = self._tries.get(container_id, 0) + 1
        self._tries[container_id] = tries
        if tries > LEFTOVER_TRIES_MAX:
            self._log(f"the control group of {container_id} stays busy; cleanup will try again")
            del self._tries[container_id]
        self._loop.call_at("leftovers", after_ms(_AGAIN_MS), self.remove_all)
        return False

    def remove_all(self) -> None:
        """Tries all of them once more."""
        for container_id in list(self._tries):
            self.remove(container_id)

    def forget(self, container_id: str) -> None:
        """The container runs again, in a group of the same name."""
        self._tries.pop(container_id, None)
