"""The supervisor's client: ``worker.containers.ports.Runtime`` over the supervisor's socket.

It starts a supervisor when none lives, has one with older code replace itself in place, and connects again when the
connection ends. Closing it leaves supervisor and containers alone.
"""

import asyncio
import logging
import socket
import sys
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from common.clock import Clock, SystemClock
from common.descriptors import AS_FOUND
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SystemFailureError,
    UnavailableError,
)
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
from worker.runtime.link import Link, SupervisorLostError, check_root
from worker.runtime.order_of import check_id, plain_limits, spawn_order, start_order
from worker.runtime.orders import ExecOrder
from worker.runtime.spawned import Ends, SpawnedProcess
from worker.runtime.streams import AttachedStreams
from worker.runtime.usage import read_usage

if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Cgroups

logger = logging.getLogger(__name__)

START_SECONDS = 10.0
"""For a supervisor to come up, or to replace itself."""
REQUEST_SECONDS = 60.0
"""For anything that does not wait for a container by its nature."""
PAUSE_SECONDS = 10.0
"""For all processes of a container to stand still: one that waits for a disk does not at once."""
CLEANUP_SECONDS = 10.0
"""For the kernel to let go of a control group."""
_PAUSE_SECONDS = 0.02
_REEXEC_TRIES_MAX = 50
_LOST_MAX = 100
"""Supervisors lost one after another while something waits, before it gives up."""
_SAID_MAX = 4096
_MILLISECONDS = 1000
_NANO = 10**9

_HERE = Path(__file__).resolve().parent
_PROGRAM = _HERE / "supervisor_main.py"
_SOURCES = (
    "runtime/*.py",
    "kernel/syscalls.py",
    "kernel/cgroup*.py",
    "kernel/device_rules.py",
)


class RuntimeClient:
    """Processes in namespaces and control groups, by way of the supervisor."""

    def __init__(self, exec_root: Path, cgroup_parent: str, *, clock: Clock | None = None) -> None:
        self._exec_root = exec_root.absolute()
        self._cgroup_parent = cgroup_parent
        self._clock = clock or SystemClock()
        self._lock = asyncio.Lock()
        self._wire: Link | None = None
        self._stamp = code_stamp()
        self._groups: Cgroups | None = None

    # -- coming and going --------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects; starts a supervisor when none lives, and has one with other code replace itself.

        Raises:
            SystemFailureError: it does not come up; the reason is in the message.
            ConflictError: one lives that uses another cgroup parent and runs containers there.
        """
        await self._connected()

    async def close(self) -> None:
        """Disconnects. The supervisor and all containers go on."""
        if self._wire is not None:
            closing, self._wire = self._wire, None
            closing.close()
            await closing.lost.wait()

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
        if not (self._exec_root / wire.SOCKET).exists():
            await self.close()
            return
        lost = (await self._connected()).lost
        try:
            await self._ask(wire.SHUTDOWN, None)
        except SupervisorLostError:
            logger.info("the supervisor ended before it answered")
        async with asyncio.timeout(REQUEST_SECONDS):
            await lost.wait()
        await self.close()

    async def _connected(self) -> Link:
        async with self._lock:
            if self._wire is not None and not self._wire.lost.is_set():
                return self._wire
            self._wire = await self._connect()
            return self._wire

    async def _connect(self) -> Link:
        try:
            found = await self._dial()
        except (FileNotFoundError, ConnectionRefusedError):
            await self._launch()
            found = await self._dial()
        hello = await found.ask(wire.HELLO, None, REQUEST_SECONDS)
        if not isinstance(hello, dict):
            raise SystemFailureError(f"not a supervisor: it says {hello!r}")
        if hello["parent"] != self._cgroup_parent:
            return await self._replace(found, str(hello["parent"]))
        if hello["stamp"] == self._stamp:
            return found
        return await self._upgrade(found, int(hello["protocol"]))

    async def _dial(self) -> Link:
        loop = asyncio.get_running_loop()
        path = str(self._exec_root / wire.SOCKET)
        transport, found = await loop.create_unix_connection(Link, path)
        try:
            check_root(transport.get_extra_info("socket"), self._exec_root / wire.SOCKET)
        except SystemFailureError:
            transport.close()
            raise
        return found

    async def _dial_socket(self) -> socket.socket:
        """A connection of one's own; the kernel may have no room for it in the supervisor's queue for a moment."""
        path = self._exec_root / wire.SOCKET
        deadline = self._clock.monotonic() + START_SECONDS
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            peer.setblocking(False)  # noqa: FBT003 - the signature is Python's
            while True:
                try:
                    peer.connect(str(path))
                except BlockingIOError:
                    if self._clock.monotonic() > deadline:
                        raise
                    await self._clock.sleep(_PAUSE_SECONDS)
                else:
                    check_root(peer, path)
                    return peer
        except OSError as error:
            peer.close()
            raise SupervisorLostError from error
        except BaseException:
            peer.close()
            raise

    def _command(self) -> list[str]:
        """The supervisor's program, in a new process or in place of the one that runs."""
        descriptors = str(AS_FOUND[0])
        arguments = (str(self._exec_root), self._cgroup_parent, self._stamp, descriptors)
        return [sys.executable, *wire.FLAGS, str(_PROGRAM), *arguments]

    async def _launch(self) -> None:
        said = await _first_words(self._command())
        if said != wire.READY:
            reason = said.decode(errors="replace").strip() or "the supervisor did not start"
            raise SystemFailureError(reason, hint=f"see {self._exec_root}/supervisor.log")

    async def _replace(self, found: Link, parent: str) -> Link:
        """Another cgroup parent: one that runs nothing makes room."""
        try:
            await found.ask(wire.SHUTDOWN, None, REQUEST_SECONDS)
        except ConflictError as error:
            message = f"the supervisor on {self._exec_root} runs containers in {parent}"
            hint = f"start with --cgroup-parent {parent}, or end them first"
            raise ConflictError(message, hint=hint) from error
        await found.lost.wait()
        return await self._connect()

    async def _upgrade(self, found: Link, protocol: int) -> Link:
        """Other code: it executes ours in its own place. A busy one is asked again; in the end it stays as it is."""
        check = [sys.executable, *wire.FLAGS, str(_PROGRAM), wire.CHECK]
        said = await _first_words(check)
        reason = said.decode(errors="replace")
        command = self._command()
        successor = (command, wire.HANDOVER) if protocol >= wire.PROTOCOL_WITH_HANDOVER else command
        for _ in range(_REEXEC_TRIES_MAX if said == wire.READY else 0):
            try:
                await found.ask(wire.REEXEC, successor, REQUEST_SECONDS)
            except UnavailableError as error:
                reason = error.message
                await self._clock.sleep(_PAUSE_SECONDS)
                continue
            await found.lost.wait()
            return await self._dial()
        if protocol != wire.PROTOCOL:
            raise SystemFailureError(f"the supervisor is of another version: {reason}")
        logger.warning("the supervisor goes on with older code: %s", reason)
        return found

    async def _ask(
        self, verb: str, arguments: object, seconds: float | None = REQUEST_SECONDS
    ) -> object:
        connection = await self._connected()
        return await connection.ask(verb, arguments, seconds)

    async def _ask_again(self, verb: str, arguments: object) -> object:
        """For what may be done twice: once more when the supervisor was lost meanwhile."""
        try:
            return await self._ask(verb, arguments)
        except SupervisorLostError:
            return await self._ask(verb, arguments)

    # -- the Runtime port --------------------------------------------------------------------------

    async def start(self, bundle: Bundle) -> int:
        """Runs the container's first process; returns its pid on the host once it has exec'd."""
        pid = await self._ask(wire.START, start_order(bundle))
        if not isinstance(pid, int):
            raise SystemFailureError(f"not a pid: {pid!r}")
        return pid

    async def signal(self, container_id: str, number: int) -> None:
        """Sends a signal to the first process; one that has ended is fine."""
        await self._ask_again(wire.SIGNAL, (container_id, int(number)))

    async def kill(self, container_id: str) -> None:
        """SIGKILL to every process of the container, in whatever sessions or namespaces they are."""
        await self._ask_again(wire.KILL, container_id)

    async def lease(self, leases: Sequence[RunLease]) -> None:
        """Has containers stopped and killed at these moments, whatever becomes of this process; may be put off."""
        for lease in leases:
            check_id(lease.id)
        order = [
            (one.id, int(one.stop_signal), int(one.stop_at * _NANO), int(one.kill_at * _NANO))
            for one in leases
        ]
        await self._ask_again(wire.LEASE, order)

    async def wait(self, container_id: str) -> Exit:
        """How it ended, once it has; at once when it had ended before, also under an earlier swarmd."""
        check_id(container_id)
        for _ in range(_LOST_MAX):
            try:
                code, oom_killed, at = _triple(await self._ask(wire.WAIT, container_id, None))
            except SupervisorLostError:
                await self._clock.sleep(_PAUSE_SECONDS)
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
        answer = await self._ask(wire.EXEC, order, timeout_seconds + REQUEST_SECONDS)
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
        await self._connected()
        peer = await self._dial_socket()
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
        await self._connected()
        ends = Ends(tty=process.tty, open_stdin=process.open_stdin, detached=process.detached)
        try:
            peer = await self._dial_socket()
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
        await self._ask_again(wire.RESIZE, (container_id, rows, columns))

    async def cleanup(self, container_id: str) -> None:
        """Takes away its cgroup and exit record; may be called again. The container must have ended."""
        check_id(container_id)
        deadline = self._clock.monotonic() + CLEANUP_SECONDS
        while True:
            try:
                await self._ask_again(wire.CLEANUP, container_id)
            except UnavailableError as error:
                if self._clock.monotonic() > deadline:
                    raise SystemFailureError(error.message) from error
                await self._clock.sleep(_PAUSE_SECONDS)
            else:
                return

    async def pause(self, container_id: str) -> None:
        """Freezes all its processes; a frozen one stays so."""
        check_id(container_id)
        deadline = self._clock.monotonic() + PAUSE_SECONDS
        while not await self._ask_again(wire.PAUSE, container_id):
            if self._clock.monotonic() > deadline:
                await self.resume(container_id)
                raise SystemFailureError(
                    f"processes of container {container_id} do not stand still"
                )
            await self._clock.sleep(_PAUSE_SECONDS)

    async def resume(self, container_id: str) -> None:
        """Lets them go on."""
        check_id(container_id)
        await self._ask_again(wire.RESUME, container_id)

    async def limit(self, container_id: str, limits: CgroupLimits) -> None:
        """Sets the limits of one that runs; nothing is changed when the kernel refuses one of them."""
        check_id(container_id)
        await self._ask_again(wire.LIMIT, (container_id, plain_limits(limits)))

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
        answer = await self._ask_again(wire.RUNNING, None)
        if not isinstance(answer, list):
            raise SystemFailureError(f"not a list of containers: {answer!r}")
        return frozenset(map(str, answer))

    async def first_processes(self) -> Mapping[str, int]:
        """Pids on the host of the first processes that live; 0 for one whose supervisor is too old to tell."""
        answer = await self._ask_again(wire.RUNNING, wire.WITH_PIDS)
        if not isinstance(answer, list):
            raise SystemFailureError(f"not a list of containers: {answer!r}")
        return dict((one, 0) if isinstance(one, str) else one for one in answer)


def _triple(answer: object) -> tuple[int, bool, float]:
    match answer:
        case (int() as code, bool() as oom_killed, float() as at):
            return code, oom_killed, at
        case _:
            raise SystemFailureError(f"not an exit: {answer!r}")


async def _first_words(command: list[str]) -> bytes:
    """What a program says on its standard output until it closes it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    if process.stdout is None:
        raise SystemFailureError("the supervisor's output is not at hand")
    try:
        async with asyncio.timeout(START_SECONDS):
            said = await process.stdout.read(_SAID_MAX)
            await process.wait()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise SystemFailureError(f"the supervisor did not start in {START_SECONDS} s") from error
    return said


def code_stamp() -> str:
    """A number of the code that a supervisor runs, to find out whether one that lives is of the same."""
    files = sorted(path for pattern in _SOURCES for path in _HERE.parent.glob(pattern))
    checksum = 0
    for path in files:
        checksum = zlib.crc32(path.read_bytes(), checksum)
    return f"{checksum:08x}"
