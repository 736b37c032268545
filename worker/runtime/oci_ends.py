"""The end of a container that an OCI runtime made: first the runtime forgets it, then it is told."""

import os

from worker.runtime.eventloop import EventLoop, after_ms
from worker.runtime.refusal import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.runtime.oci_launch import ForeignLauncher

FORGET_MS = 10_000
_SIGKILL = 9


def kill_group(leader: int) -> None:
    """Ends a maker with the runtime that it runs; one that has ended is fine."""
    try:
        os.killpg(leader, _SIGKILL)
    except ProcessLookupError:
        return


class ForeignEnds:
    """Containers that runtimes are forgetting."""

    def __init__(
        self, loop: EventLoop, launcher: "ForeignLauncher", log: "Callable[[str], None]"
    ) -> None:
        self._loop = loop
        self._launcher = launcher
        self._log = log
        self._then: dict[int, tuple[str, Callable[[], None]]] = {}
        """Container and what comes next, by the pid of the child that has it forgotten."""

    def __contains__(self, pid: int) -> bool:
        return pid in self._then

    def begin(self, container_id: str, then: "Callable[[], None]") -> None:
        """Has a container forgotten, and calls ``then`` in any case."""
        if not self._launcher.has_left(container_id):
            then()
            return
        try:
            pid = self._launcher.forget(container_id)
        except OSError as error:
            self._log(f"container {container_id} is not forgotten: {describe(error)}")
            then()
            return
        self._then[pid] = (container_id, then)
        self._loop.call_at(f"forget {pid}", after_ms(FORGET_MS), lambda: os.kill(pid, _SIGKILL))

    def ended(self, pid: int, status: int) -> None:
        """Such a child has ended."""
        self._loop.cancel(f"forget {pid}")
        container_id, then = self._then.pop(pid)
        if status != 0:
            self._log(f"the runtime of container {container_id} did not forget it in order")
        then()
