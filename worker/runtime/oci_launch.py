"""Having an OCI runtime make processes, and having it forget containers: forks of the supervisor that do it.

A maker runs the runtime and ends; what it made is named by its report and comes to the supervisor as an orphan.
"""

import os

from worker.kernel import syscalls
from worker.kernel.cgroupfs import pause
from worker.runtime.child import become_foreign_maker, end_as_foreign_forgetter
from worker.runtime.oci_births import Births
from worker.runtime.oci_child import (
    Runtime,
    forget_container,
    has_left,
    left_by_runtime,
    start_container,
    start_further,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Entrance
    from worker.runtime.child import Surroundings
    from worker.runtime.held import Held
    from worker.runtime.orders import ProcessOrder, StartOrder

FORGET_ROUNDS_MAX = 5000
"""Of 2 ms: for a runtime to forget a container that a supervisor which was killed has left."""
_SIGKILL = 9


class ForeignLauncher:
    """What makers are made with."""

    def __init__(self, exec_root: str, parent: str, shown: tuple[str, ...]) -> None:
        self._exec_root = exec_root
        self._parent = parent.rstrip("/")
        self._shown = shown
        self.births = Births()

    def start(self, order: "StartOrder", around: "Surroundings", pids: dict[str, int]) -> int:
        """Forks the maker of a container, which may join others (their first processes); gives its pid."""
        shown = around.entrance.shown
        runtime = self._runtime(order["id"], order["process"]["runtime"], shown)
        group = f"{self._parent}/{order['id']}"
        supervisor = os.getpid()
        pid = syscalls.clone(0, cgroup_fd=_birthplace(around.entrance))
        if pid == 0:
            become_foreign_maker(
                order["process"],
                around,
                supervisor,
                lambda: start_container(order, runtime, group, around, pids),
            )
        self.births.begin(pid)
        return pid

    def execute(self, held: "Held", process: "ProcessOrder", around: "Surroundings") -> int:
        """Forks the maker of a further process; gives its pid."""
        runtime = self._runtime(held.id, process["runtime"], around.entrance.shown)
        supervisor = os.getpid()
        pid = syscalls.clone(0, cgroup_fd=_birthplace(around.entrance))
        if pid == 0:
            become_foreign_maker(
                process,
                around,
                supervisor,
                lambda: start_further(process, runtime, held.pid, around),
            )
        self.births.begin(pid)
        return pid

    def has_left(self, container_id: str) -> bool:
        """Whether a runtime still knows a container, or did when a supervisor was killed."""
        return has_left(self._exec_root, container_id)

    def forget(self, container_id: str) -> int:
        """Forks a child that has the container forgotten, once it has ended; gives the child's pid."""
        program = left_by_runtime(self._exec_root, container_id)
        runtime = self._runtime(container_id, program, self._shown)
        pid = syscalls.clone(0)
        if pid == 0:
            end_as_foreign_forgetter(lambda: forget_container(runtime))
        return pid

    def forget_now(self, container_id: str) -> None:
        """The same, to its end: before it is started again."""
        pid = self.forget(container_id)
        for _ in range(FORGET_ROUNDS_MAX):
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            pause()
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)

    def _runtime(self, container_id: str, program: str, shown: tuple[str, ...]) -> Runtime:
        return Runtime(program, self._exec_root, container_id, shown)


def _birthplace(entrance: "Entrance") -> int:
    """The unified group where it only names processes; where it has limits, the maker is not to count for them."""
    return entrance.born_in if entrance.to_join else -1
