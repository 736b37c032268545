"""The supervisor: forks containers, pumps their output, records their ends, and outlives swarmd.

It decides nothing: it does what a client asks over its socket (``wire``), for the client that ``worker.runtime.client``
is. ``supervisor_main`` starts it.
"""

import os
from time import time_ns

from worker.kernel import syscalls
from worker.kernel.cgroupfs import pause
from worker.runtime import wire
from worker.runtime.audiences import Audiences
from worker.runtime.eventloop import EventLoop, after_ms
from worker.runtime.executions import Executions
from worker.runtime.exits import LOST_CODE, forget_exit, read_exit, write_exit
from worker.runtime.held import WAITERS_MAX, Held
from worker.runtime.launch import Launcher
from worker.runtime.leases import LEASES_MAX, Leases
from worker.runtime.leftovers import Leftovers
from worker.runtime.marks import Marks
from worker.runtime.oci_ends import ForeignEnds, kill_group
from worker.runtime.refusal import (
    CONFLICT,
    NOT_FOUND,
    UNAVAILABLE,
    Refusal,
    describe,
)
from worker.runtime.reins import Reins
from worker.runtime.reports import exit_code
from worker.runtime.sharing import joined_containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from worker.kernel.cgroupfs import Cgroups
    from worker.runtime.connections import Request, Verb

SIGCHLD = 17
SIGTERM = 15
_SIGKILL = 9
SWEEP_ROUNDS_MAX = 200
_RECORD_AGAIN_MS = 1000
_SWEEP_AGAIN_MS = 1000


class Supervisor:
    """All containers of one daemon."""

    def __init__(
        self,
        exec_root: str,
        cgroups: "Cgroups",
        loop: EventLoop,
        launcher: Launcher,
        log: "Callable[[str], None]",
    ) -> None:
        self._exec_root = exec_root
        self._cgroups = cgroups
        self._loop = loop
        self._launcher = launcher
        self._log = log
        self.held: dict[str, Held] = {}
        self._by_pid: dict[int, Held] = {}
        self.executions = Executions(loop, launcher)
        self._foreign_ends = ForeignEnds(loop, launcher.foreign, log)
        self.audiences = Audiences(loop, self.held, log)
        self._marks = Marks(exec_root)
        self._leases = Leases(loop, self._send_signal, self._kill_all)
        self._reins = Reins(cgroups, self._running)
        self._leftovers = Leftovers(cgroups, loop, log)
        self.wants_to_end = False
        self.successor: list[str] = []
        """The program to become, when a client asked for that."""

    def verbs(self) -> "dict[str, Verb]":
        """What clients can ask for."""
        return {
            wire.START: self._start,
            wire.SIGNAL: self._signal,
            wire.KILL: self._kill,
            wire.WAIT: self._wait,
            wire.EXEC: self._exec,
            wire.SPAWN: self._spawn,
            wire.RESIZE: self._resize,
            wire.CLEANUP: self._cleanup,
            wire.LEASE: self._lease,
            wire.RUNNING: self._tell_running,
            wire.REEXEC: self._reexec,
            wire.SHUTDOWN: self._shutdown,
            **self.audiences.verbs(),
            **self._reins.verbs(),
        }

    # -- start -------------------------------------------------------------------------------------

    def _start(self, request: "Request", order: "Any") -> None:  # noqa: ANN401 - from the wire
        container_id = order["id"]
        if container_id in self.held:
            raise Refusal(CONFLICT, f"container {container_id} is already running")
        if self._marks.has(container_id):
            raise Refusal(CONFLICT, f"processes of a former run of {container_id} do not die")
        forget_exit(self._exec_root, container_id)
        self._marks.set(container_id)
        audience = self.audiences.take(container_id)
        try:
            others = {other: self._joinable(other) for other in joined_containers(order)}
            held = self._launcher.start(order, others)
        except Exception:
            self._marks.clear(container_id)
            if audience is not None:
                audience.finish()
            raise
        held.starter = request
        self._leftovers.forget(container_id)
        if audience is not None:
            held.gather(audience)
        self.adopt(held)

    def _joinable(self, container_id: str) -> int:
        """The first process of one whose namespaces another container is to share."""
        held = self.held.get(container_id)
        if held is None or held.report is not None or held.pid == 0:
            words = f"cannot join namespaces of a non running container: {container_id}"
            raise Refusal(CONFLICT, words)
        return held.pid

    def adopt(self, held: Held) -> None:
        """Takes a container in: a new one, or one that was handed over."""
        self.held[held.id] = held
        self._by_pid[held.pid] = held
        held.watch(self._loop)
        report = held.report
        if report is not None:
            self._loop.watch(report.fd, lambda _: self._read_report(held))

    def _read_report(self, held: Held) -> None:
        report = held.report
        if report is None or not report.read():
            return
        self._loop.forget(report.fd)
        if not report.has_executed:
            return  # Its end is near, and the reply comes with it.
        held.take_terminal()
        report.close()
        held.report = None
        status = self._meet(held, report.born) if report.born else None
        if held.starter is not None:
            held.starter.answer(held.pid)
            held.starter = None
        if status is not None:
            self._container_ended(held, status)

    def _meet(self, held: Held, pid: int) -> int | None:
        """Its first process is not the one that had an OCI runtime make it: its status when it has ended before."""
        self._by_pid.pop(held.pid, None)
        held.pid = pid
        status = self._launcher.foreign.births.status(pid)
        if status is None:
            self._by_pid[pid] = held
        return status

    def _tell_running(self, request: "Request", how: object) -> None:
        live = [one for one in self.held.values() if one.pid]
        if how == wire.WITH_PIDS:
            request.answer([(one.id, one.pid) for one in live])
        else:
            request.answer([one.id for one in live])

    # -- end ---------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Takes in all children that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            is_known = self._ended(pid, status)
            self._launcher.foreign.births.end(pid, status, is_known=is_known)

    def _ended(self, pid: int, status: int) -> bool:
        """A child has ended; whether it was one that we know."""
        if pid in self._by_pid:
            self._container_ended(self._by_pid.pop(pid), status)
        elif pid in self.executions:
            self.executions.ended(pid, status)
        elif pid in self._foreign_ends:
            self._foreign_ends.ended(pid, status)
        else:
            return False
        return True

    def _container_ended(self, held: Held, status: int) -> None:
        """The log is whole before anyone learns of the end."""
        if held.report is not None:
            ended = held.pid
            self._read_report(held)
            if held.pid != ended:
                return  # It was the one that had a runtime make the container.
            if held.process["runtime"]:
                kill_group(
                    ended
                )  # The runtime may be at work still, or be done without our knowing.
                self._cgroups.kill(held.id)
        refusal = held.report.refusal(status) if held.report is not None else None
        if held.process.get("shares_processes"):
            self._cgroups.kill(
                held.id
            )  # The kernel ends what is left only in a pid namespace of its own.
        held.finish(self._loop)
        held.pid = 0
        if held.lost_entries:
            self._log(
                f"container {held.id}: the disk did not take {held.lost_entries} lines of log"
            )
        self._tell_end(held, refusal, exit_code(status))

    def _tell_end(self, held: Held, refusal: Refusal | None, code: int) -> None:
        """To who asked for the start, or by the record; an OCI runtime forgets the container before."""
        at_ns = time_ns()
        oom_killed = self._cgroups.oom_kills(held.id) > 0

        def tell() -> None:
            is_heard = held.starter is not None and held.starter.is_heard
            if refusal is None or not is_heard:
                # Who asked is gone: the record tells who comes next.
                self._record(held, code, oom_killed=oom_killed, at_ns=at_ns)
                return
            self._let_go(held)
            if held.starter is not None:
                held.starter.refuse(refusal)

        if held.process["runtime"]:
            self._foreign_ends.begin(held.id, tell)
        else:
            tell()

    def _record(self, held: Held, code: int, *, oom_killed: bool, at_ns: int) -> None:
        """Writes the exit record and tells who waits; when the disk refuses, a little later."""
        try:
            write_exit(self._exec_root, held.id, code=code, oom_killed=oom_killed, at_ns=at_ns)
        except OSError as error:
            self._log(f"the end of container {held.id} cannot be recorded: {describe(error)}")
            self._loop.call_at(
                f"record {held.id}",
                after_ms(_RECORD_AGAIN_MS),
                lambda: self._record(held, code, oom_killed=oom_killed, at_ns=at_ns),
            )
            return
        self._let_go(held)
        for waiter in held.waiters:
            self._answer_wait(waiter, held.id)

    def _let_go(self, held: Held) -> None:
        del self.held[held.id]
        self._leases.forget(held.id)
        self._marks.clear(held.id)
        self._leftovers.remove(held.id)

    def _answer_wait(self, request: "Request", container_id: str) -> None:
        found = read_exit(self._exec_root, container_id)
        if found is None:
            request.refuse(Refusal(NOT_FOUND, f"container {container_id} has not been started"))
        else:
            request.answer(found)

    # -- while it runs -----------------------------------------------------------------------------

    def _running(self, container_id: str) -> Held:
        held = self.held.get(container_id)
        if held is None or held.report is not None or held.pid == 0:
            raise Refusal(NOT_FOUND, f"container {container_id} is not running")
        return held

    def _signal(self, request: "Request", arguments: "Any") -> None:  # noqa: ANN401
        container_id, number = arguments
        self._send_signal(container_id, number)
        request.answer()

    def _send_signal(self, container_id: str, number: int) -> None:
        held = self.held.get(container_id)
        if held is not None and held.pid > 0:
            os.kill(held.pid, number)

    def _kill(self, request: "Request", container_id: "Any") -> None:  # noqa: ANN401
        self._kill_all(container_id)
        request.answer()

    def _kill_all(self, container_id: str) -> None:
        held = self.held.get(container_id)
        if held is not None and held.pid > 0:
            held.is_killed = True
            os.kill(held.pid, _SIGKILL)
            if held.process["runtime"] and held.report is not None:
                kill_group(held.pid)
            self._cgroups.kill(container_id)

    def _lease(self, request: "Request", leases: "Any") -> None:  # noqa: ANN401
        """Containers that run already, or are about to be started."""
        if not self._leases.has_room_for([container_id for container_id, *_ in leases]):
            raise Refusal(UNAVAILABLE, f"more than {LEASES_MAX} containers with a lease")
        for container_id, number, stop_at_ns, kill_at_ns in leases:
            self._leases.put(container_id, number, stop_at_ns, kill_at_ns)
        request.answer()

    def _wait(self, request: "Request", container_id: "Any") -> None:  # noqa: ANN401
        held = self.held.get(container_id)
        if held is None:
            self._answer_wait(request, container_id)
        elif len(held.waiters) >= WAITERS_MAX:
            raise Refusal(UNAVAILABLE, f"too many wait for container {container_id}")
        else:
            held.waiters.append(request)

    # -- further processes -------------------------------------------------------------------------

    def _exec(self, request: "Request", order: "Any") -> None:  # noqa: ANN401
        held = self._running(order["id"])
        self._reins.check_moving(held.id)
        self.executions.collect(request, held, order)

    def _spawn(self, request: "Request", order: "Any") -> None:  # noqa: ANN401
        held = self._running(order["id"])
        self._reins.check_moving(held.id)
        self.executions.spawn(request, held, order)

    def _resize(self, request: "Request", arguments: "Any") -> None:  # noqa: ANN401
        container_id, rows, columns = arguments
        self._running(container_id).resize(rows, columns)
        request.answer()

    # -- afterwards --------------------------------------------------------------------------------

    def _cleanup(self, request: "Request", container_id: "Any") -> None:  # noqa: ANN401
        if container_id in self.held:
            raise Refusal(CONFLICT, f"container {container_id} is still running")
        self._foreign_ends.begin(container_id, lambda: self._cleaned(request, container_id))

    def _cleaned(self, request: "Request", container_id: str) -> None:
        if not self._leftovers.remove(container_id):
            request.refuse(
                Refusal(UNAVAILABLE, f"the control group of {container_id} is still busy")
            )
            return
        forget_exit(self._exec_root, container_id)
        request.answer()

    def sweep(self) -> None:
        """Ends what a former supervisor that was killed has left, and records it as killed.

        The kernel sends SIGKILL to a container whose supervisor dies; this makes sure of it.
        """
        for container_id in self._marks.all():
            if container_id in self.held:
                continue
            if not self._kill_leftover(container_id):
                self._log(f"processes of container {container_id} do not die; it is tried again")
                self._loop.call_at("sweep", after_ms(_SWEEP_AGAIN_MS), self.sweep)
                continue
            self._log(f"container {container_id} was left by a supervisor that was killed")
            if read_exit(self._exec_root, container_id) is None:
                oom_killed = self._cgroups.oom_kills(container_id) > 0
                root = self._exec_root
                write_exit(
                    root, container_id, code=LOST_CODE, oom_killed=oom_killed, at_ns=time_ns()
                )
            self._marks.clear(container_id)
            self._leftovers.remove(container_id)

    def _kill_leftover(self, container_id: str) -> bool:
        for _ in range(SWEEP_ROUNDS_MAX):
            if not self._cgroups.processes(container_id):
                return True
            self._cgroups.kill(container_id)
            pause()
        return False

    def _reexec(self, request: "Request", arguments: "Any") -> None:  # noqa: ANN401
        command, handover = arguments if isinstance(arguments, tuple) else (arguments, 0)
        if handover < wire.HANDOVER:
            raise Refusal(UNAVAILABLE, "a supervisor of older code would not understand this one")
        busy = [one.id for one in self.held.values() if one.report is not None or not one.pid]
        if busy or self.executions.are_busy:
            raise Refusal(UNAVAILABLE, "containers are being started, or programs run in them")
        self.successor = list(command)
        request.answer()

    def _shutdown(self, request: "Request", _: object) -> None:
        self.end_if_idle()
        if not self.wants_to_end:
            raise Refusal(CONFLICT, f"{len(self.held)} containers still run")
        request.answer()

    def end_if_idle(self) -> None:
        """Asks the main loop to end, when no container runs."""
        if self.held:
            return
        self._leftovers.remove_all()
        self._cgroups.remove_parent()
        self.wants_to_end = True

    def handle_signals(self, fd: int) -> None:
        """What came by the signalfd."""
        try:
            numbers = syscalls.signal_numbers(os.read(fd, 16 * syscalls.SIGNALFD_RECORD_BYTES))
        except BlockingIOError:
            return
        if SIGCHLD in numbers:
            try:
                self.reap()
            except OSError as error:
                self._log(f"recording an end failed: {describe(error)}")
        if SIGTERM in numbers:
            self.end_if_idle()
            if not self.wants_to_end:
                self._log(f"SIGTERM: {len(self.held)} containers run, so the supervisor stays")
