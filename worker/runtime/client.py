"""The supervisor's client: ``worker.containers.ports.Runtime`` over the supervisor's socket.

It starts a supervisor when none lives, has one with older code replace itself in place, and connects again when the
connection ends (``supervision``). Closing it leaves supervisor and containers alone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from common.clock import Clock, SystemClock
from common.errors import InvalidInputError, NotFoundError, SystemFailureError, UnavailableError
from worker.kernel.cgroups import open_cgroups
from worker.runtime import wire
from worker.runtime.bundle import (
    Bundle,
    CgroupLimits,
    ExecResult,
    Exit,
    FurtherProcess,
    RunLease,
    Usage,
)
from worker.runtime.link import SupervisorLostError
from worker.runtime.order_of import check_id, plain_limits, spawn_order, start_order
from worker.runtime.orders import ExecOrder
from worker.runtime.spawned import Ends, SpawnedProcess
from worker.runtime.streams import AttachedStreams
from worker.runtime.supervision import REQUEST_SECONDS, Supervision
from worker.runtime.usage import read_usage

if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Cgroups

PAUSE_SECONDS = 10.0
"""For all processes of a container to stand still: one that waits for a disk does not at once."""
CLEANUP_SECONDS = 10.0
"""For the kernel to let go of a control group."""
_AGAIN_SECONDS = 0.02
_LOST_MAX = 100
"""Supervisors lost one after another while something waits, before it gives up."""
_MILLISECONDS = 1000
_NANO = 10**9


class RuntimeClient:
    """Processes in namespaces and control groups, by way of the supervisor."""

    def __init__(self, exec_root: Path, cgroup_parent: str, *, clock: Clock | None = None) -> None:
        self._cgroup_parent = cgroup_parent
        self._clock = clock or SystemClock()
        self._supervision = Supervision(exec_root, cgroup_parent, self._clock)
        self._groups: Cgroups | None = None

    # -- coming and going --------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects; starts a supervisor when none lives, and has one with other code replace itself.

        Raises:
            SystemFailureError: it does not come up; the reason is in the message.
            ConflictError: one lives that uses another cgroup parent and runs containers there.
        """
        await self._supervision.open()

    async def close(self) -> None:
        """Disconnects. The supervisor and all containers go on."""
        await self._supervision.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.close()

    async def shutdown(self) -> None:
        """Ends the supervisor; nothing of it is left.

        Raises:
            ConflictError: containers still run.
        """
        await self._supervision.shutdown()

    # -- the Runtime port --------------------------------------------------------------------------

    async def start(self, bundle: Bundle) -> int:
        """Runs the container's first process; returns its pid on the host once it has exec'd."""
        pid = await self._supervision.ask(wire.START, start_order(bundle))
        if not isinstance(pid, int):
            raise SystemFailureError(f"not a pid: {pid!r}")
        return pid

    async def signal(self, container_id: str, number: int) -> None:
        """Sends a signal to the first process; one that has ended is fine."""
        await self._supervision.ask_again(wire.SIGNAL, (container_id, int(number)))

    async def kill(self, container_id: str) -> None:
        """SIGKILL to every process of the container, in whatever sessions or namespaces they are."""
        await self._supervision.ask_again(wire.KILL, container_id)

    async def lease(self, leases: Sequence[RunLease]) -> None:
        """Has containers stopped and killed at these moments, whatever becomes of this process; may be put off."""
        for lease in leases:
            check_id(lease.id)
        order = [
            (one.id, int(one.stop_signal), int(one.stop_at * _NANO), int(one.kill_at * _NANO))
            for one in leases
        ]
        await self._supervision.ask_again(wire.LEASE, order)

    async def wait(self, container_id: str) -> Exit:
        """How it ended, once it has; at once when it had ended before, also under an earlier swarmd."""
        check_id(container_id)
        for _ in range(_LOST_MAX):
            try:
                code, oom_killed, at = _triple(
                    await self._supervision.ask(wire.WAIT, container_id, None)
                )
            except SupervisorLostError:
                await self._clock.sleep(_AGAIN_SECONDS)
                continue
            return Exit(id=container_id, code=code, oom_killed=oom_killed, at=at)
        raise SystemFailureError(f"the supervisor was lost {_LOST_MAX} times")

    async def exec(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        output_max_bytes: int,
    ) -> ExecResult:
        """Runs a further process with the container's own user, environment, limits and confinement, to its end."""
        if not argv or any("\0" in word for word in argv):
            raise InvalidInputError("no command specified, or a null byte in it")
        order = ExecOrder(
            id=container_id,
            argv=list(argv),
            timeout_ms=int(timeout_seconds * _MILLISECONDS),
            output_max_bytes=output_max_bytes,
        )
        answer = await self._supervision.ask(wire.EXEC, order, timeout_seconds + REQUEST_SECONDS)
        match answer:
            case (int() as code, bytes() as output):
                return ExecResult(code=code, output=output)
            case _:
                raise SystemFailureError(f"not the end of a program: {answer!r}")

    async def attach(
        self,
        container_id: str,
        *,
        before_start: bool = False,
        with_input: bool = True,
        with_output: bool = True,
    ) -> AttachedStreams:
        """What a container writes from now on, and its input; several may be attached at a time.

        With ``before_start`` one that does not run is about to be started: attached from its first byte. Who is not
        ``with_output`` reads nothing but the end.

        Raises:
            NotFoundError: it does not run.
            UnavailableError: too many are attached.
        """
        check_id(container_id)
        await self._supervision.open()
        peer = await self._supervision.dial()
        try:
            _, streams = await asyncio.get_running_loop().create_unix_connection(
                AttachedStreams, sock=peer
            )
        except BaseException:
            peer.close()
            raise
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await streams.ask((container_id, before_start, with_input, with_output))
        except TimeoutError as error:
            streams.close()
            raise SystemFailureError("the supervisor did not answer") from error
        except BaseException:
            streams.close()
            raise
        return streams

    async def spawn(self, container_id: str, process: FurtherProcess) -> SpawnedProcess:
        """Runs a further process in a container that runs.

        Raises:
            NotFoundError: the container does not run.
            InvalidInputError: the program does not exist, or cannot run here.
            UnavailableError: too many run already.
        """
        order = spawn_order(container_id, process)
        await self._supervision.open()
        ends = Ends(tty=process.tty, open_stdin=process.open_stdin, detached=process.detached)
        try:
            peer = await self._supervision.dial()
            spawned = SpawnedProcess()
            async with asyncio.timeout(REQUEST_SECONDS):
                await spawned.begin(peer, order, ends)
        except TimeoutError as error:
            raise SystemFailureError("the supervisor did not answer") from error
        finally:
            ends.close()
        return spawned

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """Says how large the terminal of its first process is.

        Raises:
            NotFoundError: it does not run, or has no terminal.
        """
        await self._supervision.ask_again(wire.RESIZE, (container_id, rows, columns))

    async def cleanup(self, container_id: str) -> None:
        """Takes away its cgroup and exit record; may be called again. The container must have ended."""
        check_id(container_id)
        deadline = self._clock.monotonic() + CLEANUP_SECONDS
        while True:
            try:
                await self._supervision.ask_again(wire.CLEANUP, container_id)
            except UnavailableError as error:
                if self._clock.monotonic() > deadline:
                    raise SystemFailureError(error.message) from error
                await self._clock.sleep(_AGAIN_SECONDS)
            else:
                return

    async def pause(self, container_id: str) -> None:
        """Freezes all its processes; a frozen one stays so."""
        check_id(container_id)
        deadline = self._clock.monotonic() + PAUSE_SECONDS
        while not await self._supervision.ask_again(wire.PAUSE, container_id):
            if self._clock.monotonic() > deadline:
                await self.resume(container_id)
                raise SystemFailureError(
                    f"processes of container {container_id} do not stand still"
                )
            await self._clock.sleep(_AGAIN_SECONDS)

    async def resume(self, container_id: str) -> None:
        """Lets them go on."""
        check_id(container_id)
        await self._supervision.ask_again(wire.RESUME, container_id)

    async def limit(self, container_id: str, limits: CgroupLimits) -> None:
        """Sets the limits of one that runs; nothing is changed when the kernel refuses one of them."""
        check_id(container_id)
        await self._supervision.ask_again(wire.LIMIT, (container_id, plain_limits(limits)))

    async def usage(self, container_id: str) -> Usage:
        """What it uses now."""
        check_id(container_id)
        try:
            return await asyncio.to_thread(read_usage, self._cgroups(), container_id)
        except OSError as error:
            raise NotFoundError(f"container {container_id} is not running") from error

    async def processes(self, container_id: str) -> Sequence[int]:
        """Pids of all its processes, on the host."""
        check_id(container_id)
        pids = await asyncio.to_thread(self._cgroups().processes, container_id)
        if not pids:
            raise NotFoundError(f"container {container_id} is not running")
        return pids

    def _cgroups(self) -> "Cgroups":
        """The kernel's own account, looked up at the first question."""
        if self._groups is None:
            self._groups = open_cgroups(self._cgroup_parent)
        return self._groups

    async def running(self) -> frozenset[str]:
        """Ids of containers whose first process lives."""
        answer = await self._supervision.ask_again(wire.RUNNING, None)
        if not isinstance(answer, list):
            raise SystemFailureError(f"not a list of containers: {answer!r}")
        return frozenset(map(str, answer))

    async def first_processes(self) -> Mapping[str, int]:
        """Pids on the host of the first processes that live; 0 for one whose supervisor is too old to tell."""
        answer = await self._supervision.ask_again(wire.RUNNING, wire.WITH_PIDS)
        if not isinstance(answer, list):
            raise SystemFailureError(f"not a list of containers: {answer!r}")
        return dict((one, 0) if isinstance(one, str) else one for one in answer)


def _triple(answer: object) -> tuple[int, bool, float]:
    match answer:
        case (int() as code, bool() as oom_killed, float() as at):
            return code, oom_killed, at
        case _:
            raise SystemFailureError(f"not an exit: {answer!r}")
