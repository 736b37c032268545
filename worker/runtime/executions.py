"""Further processes in containers: health checks, whose output is collected, and those that somebody talks to."""

import os

from worker.runtime import terminal
from worker.runtime.eventloop import EventLoop, after_ms
from worker.runtime.held import DRAIN_BYTES_MAX, PUMP_BYTES, Held
from worker.runtime.launch import Launcher, is_ending
from worker.runtime.process import READY
from worker.runtime.programs import failure_code
from worker.runtime.refusal import INVALID, NOT_FOUND, SYSTEM, UNAVAILABLE, Refusal
from worker.runtime.reports import Report, exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.connections import Request
    from worker.runtime.orders import ExecOrder, SpawnOrder

EXECUTIONS_MAX = 1024
EXECUTIONS_OF_ONE_MAX = 256
"""Of one container: it can keep those that have ended, by tracing them."""
REAPED_SECONDS = 1
"""From the kill of one to its end, in which nobody waits any longer."""
LATE_CODE = -1
TIMEOUT_MAX_MS = 24 * 3600 * 1000
OUTPUT_MAX_BYTES = 4 << 20
SETUP_SECONDS = 60
"""For a further process to execute its program; a hostile file system could hold it up for ever."""
_SIGKILL = 9


class Execution:
    """A further process in a container."""

    __slots__ = (
        "alarm",
        "console",
        "container_id",
        "held",
        "is_answered",
        "is_late",
        "is_spawned",
        "output",
        "output_fd",
        "output_max",
        "pid",
        "report",
        "request",
    )

    def __init__(
        self, container_id: str, request: "Request", *, output_max: int, is_spawned: bool
    ) -> None:
        self.container_id = container_id
        self.held: Held | None = None
        """Its container, while it is set up."""
        self.request = request
        self.is_spawned = is_spawned
        """Whether its client has its descriptors, is told its pid at the start and its code at the end."""
        self.output_max = output_max
        self.output = bytearray()
        self.output_fd = -1
        self.console = -1
        """The socket by which it sends its terminal, when it is nobody's."""
        self.report = Report(-1)
        self.alarm = ""
        """The name of the one that rings when its time is up."""
        self.pid = 0
        self.is_late = False
        """Whether it was killed because its time was up."""
        self.is_answered = False
        """Whether that was told before its end."""

    def pump(self) -> int:
        """Takes one piece of output; what is beyond the bound is thrown away."""
        piece = terminal.read_piece(self.output_fd, PUMP_BYTES)
        if piece is None:
            return -1
        self.output += piece[: self.output_max - len(self.output)]
        return len(piece)

    def finish(self, loop: EventLoop) -> None:
        """Takes in the output that is left, and closes everything."""
        taken = 0
        while self.output_fd >= 0 and taken < DRAIN_BYTES_MAX:
            length = self.pump()
            if length <= 0:
                break
            taken += length
        self.close_output(loop)
        self.close_console(loop)
        self.report.read()
        self.close_report(loop)

    def close_output(self, loop: EventLoop) -> None:
        """No more output."""
        if self.output_fd >= 0:
            loop.forget(self.output_fd)
            os.close(self.output_fd)
            self.output_fd = -1

    def close_console(self, loop: EventLoop) -> None:
        """Its terminal has come, or never comes."""
        if self.console >= 0:
            loop.forget(self.console)
            os.close(self.console)
            self.console = -1

    def close_report(self, loop: EventLoop) -> None:
        """It has said what it had to say."""
        if self.report.fd >= 0:
            loop.forget(self.report.fd)
            self.report.close()


class Executions:
    """All further processes."""

    def __init__(self, loop: EventLoop, launcher: Launcher) -> None:
        self._loop = loop
        self._launcher = launcher
        self._by_pid: dict[int, Execution] = {}

    @property
    def are_busy(self) -> bool:
        """Whether there is one that another supervisor could not go on with."""
        return any(not one.is_spawned or one.report.fd >= 0 for one in self._by_pid.values())

    def __contains__(self, pid: int) -> bool:
        return pid in self._by_pid

    def _check_room(self, container_id: str) -> None:
        if len(self._by_pid) >= EXECUTIONS_MAX:
            raise Refusal(UNAVAILABLE, f"{EXECUTIONS_MAX} further processes run already")
        of_one = sum(one.container_id == container_id for one in self._by_pid.values())
        if of_one >= EXECUTIONS_OF_ONE_MAX:
            words = f"{of_one} further processes run in container {container_id} already"
            raise Refusal(UNAVAILABLE, words)

    # -- health checks -----------------------------------------------------------------------------

    def collect(self, request: "Request", held: Held, order: "ExecOrder") -> None:
        """Runs one to its end, or until its time is up; the answer is its code and its output."""
        self._check_room(held.id)
        limit = min(order["output_max_bytes"], OUTPUT_MAX_BYTES)
        execution = Execution(held.id, request, output_max=limit, is_spawned=False)
        execution.held = held
        self._launcher.collect(held, order["argv"], execution)
        self._by_pid[execution.pid] = execution
        self._loop.watch(execution.output_fd, lambda _: self._pump(execution))
        if held.process["runtime"]:
            self._loop.watch(execution.report.fd, lambda _: self._read_report(execution))
        deadline = after_ms(min(order["timeout_ms"], TIMEOUT_MAX_MS))
        execution.alarm = f"exec {execution.pid}"
        self._loop.call_at(execution.alarm, deadline, lambda: self._expire(execution))

    def _pump(self, execution: Execution) -> None:
        if execution.pump() == 0:
            execution.close_output(self._loop)

    def _expire(self, execution: Execution) -> None:
        """Kills it with its whole session's first group; it has not been reaped, so the pid is its own."""
        execution.is_late = True
        group = os.getpgid(execution.pid)
        if group == os.getpgrp():  # It has not left ours yet.
            os.kill(execution.pid, _SIGKILL)
        else:
            os.killpg(group, _SIGKILL)
        deadline = after_ms(REAPED_SECONDS * 1000)
        self._loop.call_at(execution.alarm, deadline, lambda: self._tell_late(execution))

    def _tell_late(self, execution: Execution) -> None:
        """Once: it has ended, or is kept by the kernel or by a tracer in its container, which nobody waits for."""
        if execution.is_answered:
            return
        execution.is_answered = True
        if execution.is_spawned:
            words = f"the process did not come to run in {SETUP_SECONDS} s"
            execution.request.refuse(Refusal(SYSTEM, words))
        else:
            execution.request.answer((LATE_CODE, bytes(execution.output)))

    def _collected(self, execution: Execution, status: int) -> None:
        if execution.is_late:
            self._tell_late(execution)
            return
        if execution.report.has_executed:
            execution.request.answer((exit_code(status), bytes(execution.output)))
            return
        refusal = _refusal(execution, status)
        if refusal.kind == INVALID:
            words = refusal.message.encode(errors="replace")
            execution.request.answer((failure_code(refusal.message), words))
        else:
            execution.request.refuse(refusal)

    # -- those that somebody talks to --------------------------------------------------------------

    def spawn(self, request: "Request", held: Held, order: "SpawnOrder") -> None:
        """Runs one with the descriptors that came; without any, nobody reads what it writes."""
        descriptors = request.take_descriptors()
        try:
            self._check_room(held.id)
            execution = Execution(held.id, request, output_max=0, is_spawned=True)
            execution.held = held
            self._launcher.spawn(held, order, descriptors, execution)
        finally:
            for fd in descriptors:
                os.close(fd)
        self._by_pid[execution.pid] = execution
        self._loop.watch(execution.report.fd, lambda _: self._read_report(execution))
        deadline = after_ms(SETUP_SECONDS * 1000)
        execution.alarm = f"exec {execution.pid}"
        self._loop.call_at(execution.alarm, deadline, lambda: self._expire(execution))
        if execution.console >= 0:
            self._loop.watch(execution.console, lambda _: self._take_terminal(execution))

    def _read_report(self, execution: Execution) -> None:
        if not execution.report.read():
            return
        execution.close_report(self._loop)
        if execution.is_spawned:  # The alarm was for the set-up alone.
            self._loop.cancel(execution.alarm)
        if not execution.report.has_executed:
            return  # Its end is near, and the reply comes with it.
        execution.held = None
        status = self._meet(execution) if execution.report.born else None
        if execution.is_spawned:
            execution.request.answer(execution.pid)
        if status is not None:
            self._end(execution, status)

    def _meet(self, execution: Execution) -> int | None:
        """It is another process than the one that had an OCI runtime make it: its status when it has ended before."""
        self._by_pid.pop(execution.pid, None)
        execution.pid = execution.report.born
        status = self._launcher.foreign.births.status(execution.pid)
        if status is None:
            self._by_pid[execution.pid] = execution
        return status

    def _take_terminal(self, execution: Execution) -> None:
        """Of one that is nobody's: what is written there is read and thrown away."""
        try:
            master = terminal.receive(execution.console)
        except BlockingIOError:
            return
        execution.close_console(self._loop)
        if master >= 0:
            os.set_blocking(master, False)
            execution.output_fd = master
            self._loop.watch(master, lambda _: self._pump(execution))

    # -- another supervisor ------------------------------------------------------------------------

    @property
    def words(self) -> "list[tuple[int, str, tuple[int, int], int]]":
        """Those that another supervisor goes on with: pid, container, who is told the end, terminal."""
        return [
            (one.pid, one.container_id, one.request.words, one.output_fd)
            for one in self._by_pid.values()
        ]

    def adopt(self, pid: int, container_id: str, request: "Request", terminal_fd: int) -> None:
        """Goes on with one that another supervisor has spawned."""
        execution = Execution(container_id, request, output_max=0, is_spawned=True)
        execution.pid = pid
        execution.report.content = READY
        execution.output_fd = terminal_fd
        self._by_pid[pid] = execution
        if terminal_fd >= 0:
            self._loop.watch(terminal_fd, lambda _: self._pump(execution))

    # -- end ---------------------------------------------------------------------------------------

    def ended(self, pid: int, status: int) -> None:
        """One has ended: tells who waits."""
        execution = self._by_pid.pop(pid)
        if execution.report.fd >= 0:
            self._read_report(execution)
            if execution.pid != pid:
                return  # It was the maker that has ended.
        self._end(execution, status)

    def _end(self, execution: Execution, status: int) -> None:
        self._loop.cancel(execution.alarm)
        execution.finish(self._loop)
        if not execution.is_spawned:
            self._collected(execution, status)
        elif execution.report.has_executed:
            execution.request.answer(exit_code(status))
        elif execution.is_late:
            self._tell_late(execution)
        else:
            execution.request.refuse(_refusal(execution, status))


def _refusal(execution: Execution, status: int) -> Refusal:
    """Why it did not come to run; the end of its container says more than what that has led to."""
    refusal = execution.report.refusal(status)
    held = execution.held
    if refusal.kind == SYSTEM and held is not None and (held.is_killed or is_ending(held.pid)):
        return Refusal(NOT_FOUND, f"container {execution.container_id} is not running")
    return refusal
