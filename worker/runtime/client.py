"""The supervisor's client: ``worker.containers.ports.Runtime`` over the supervisor's socket.

It starts a supervisor when none lives, has one with older code replace itself in place, and connects again when the
connection ends. Closing it leaves supervisor and containers alone.
"""

import asyncio
import itertools
import logging
import socket
import struct
import sys
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from typing_extensions import override

from common.clock import Clock, SystemClock
from common.descriptors import AS_FOUND
from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SwarmdError,
    SystemFailureError,
    UnavailableError,
)
from worker.kernel.cgroups import open_cgroups
from worker.runtime import refusal, wire
from worker.runtime.bundle import Bundle, CgroupLimits, ExecResult, Exit, RunLease, Usage
from worker.runtime.orders import ExecOrder, check_id, plain_limits, start_order
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
_PEER_FORMAT = "3i"

_HERE = Path(__file__).resolve().parent
_PROGRAM = _HERE / "supervisor_main.py"
_SOURCES = (
    "runtime/*.py",
    "kernel/syscalls.py",
    "kernel/cgroup*.py",
    "kernel/device_rules.py",
)

_ERRORS: dict[str, type[SwarmdError]] = {
    refusal.INVALID: InvalidInputError,
    refusal.CONFLICT: ConflictError,
    refusal.NOT_FOUND: NotFoundError,
    refusal.UNAVAILABLE: UnavailableError,
    refusal.SYSTEM: SystemFailureError,
}


class _SupervisorLostError(UnavailableError):
    """The connection ended before the answer came."""


class RuntimeClient:
    """Processes in namespaces and control groups, by way of the supervisor."""

    def __init__(self, exec_root: Path, cgroup_parent: str, *, clock: Clock | None = None) -> None:
        self._exec_root = exec_root.absolute()
        self._cgroup_parent = cgroup_parent
        self._clock = clock or SystemClock()
        self._lock = asyncio.Lock()
        self._wire: _Wire | None = None
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
        except _SupervisorLostError:
            logger.info("the supervisor ended before it answered")
        async with asyncio.timeout(REQUEST_SECONDS):
            await lost.wait()
        await self.close()

    async def _connected(self) -> "_Wire":
        async with self._lock:
            if self._wire is not None and not self._wire.lost.is_set():
                return self._wire
            self._wire = await self._connect()
            return self._wire

    async def _connect(self) -> "_Wire":
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

    async def _dial(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        path = str(self._exec_root / wire.SOCKET)
        transport, found = await loop.create_unix_connection(_Wire, path)
        peer: socket.socket = transport.get_extra_info("socket")
        size = struct.calcsize(_PEER_FORMAT)
        _, uid, _ = struct.unpack(
            _PEER_FORMAT, peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        if uid != 0:
            transport.close()
            raise SystemFailureError(f"{path} is served by user {uid}, not by root")
        return found

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

    async def _replace(self, found: "_Wire", parent: str) -> "_Wire":
        """Another cgroup parent: one that runs nothing makes room."""
        try:
            await found.ask(wire.SHUTDOWN, None, REQUEST_SECONDS)
        except ConflictError as error:
            message = f"the supervisor on {self._exec_root} runs containers in {parent}"
            hint = f"start with --cgroup-parent {parent}, or end them first"
            raise ConflictError(message, hint=hint) from error
        await found.lost.wait()
        return await self._connect()

    async def _upgrade(self, found: "_Wire", protocol: int) -> "_Wire":
        """Other code: it executes ours in its own place. A busy one is asked again; in the end it stays as it is."""
        check = [sys.executable, *wire.FLAGS, str(_PROGRAM), wire.CHECK]
        said = await _first_words(check)
        reason = said.decode(errors="replace")
        for _ in range(_REEXEC_TRIES_MAX if said == wire.READY else 0):
            try:
                await found.ask(wire.REEXEC, self._command(), REQUEST_SECONDS)
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
        except _SupervisorLostError:
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
            except _SupervisorLostError:
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


class _Wire(asyncio.Protocol):
    """One connection: requests out, answers to whoever waits for them."""

    def __init__(self) -> None:
        self._reader = wire.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._numbers = itertools.count(1)
        self.lost = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's are not of asyncio's classes

    @override
    def data_received(self, data: bytes) -> None:
        try:
            for value in self._reader.feed(data):
                self._deliver(value)
        except wire.FrameError:
            logger.exception("the supervisor's answer cannot be read")
            self.close()

    def _deliver(self, value: object) -> None:
        match value:
            case (int() as number, str() as outcome, answer):
                future = self._waiting.pop(number, None)
            case _:
                raise wire.FrameError(f"not an answer: {value!r}")
        if future is None or future.done():
            return
        if outcome == wire.OK:
            future.set_result(answer)
        else:
            future.set_exception(_ERRORS.get(outcome, SystemFailureError)(str(answer)))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_SupervisorLostError("the supervisor ended or was replaced"))
        self._waiting.clear()

    async def ask(self, verb: str, arguments: object, seconds: float | None) -> object:
        """Sends a request and waits for its answer.

        Raises:
            SwarmdError: what the supervisor answered instead, or that the time was up.
        """
        if self._transport is None or self.lost.is_set():
            raise _SupervisorLostError("the supervisor ended or was replaced")
        number = next(self._numbers)
        try:
            frame = wire.encode_frame((number, verb, arguments))
        except wire.FrameError as error:
            raise InvalidInputError(f"the container's description is too large: {error}") from error
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._transport.write(frame)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise SystemFailureError(f"the supervisor did not answer in {seconds} s") from error
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Ends the connection now; ``lost`` is set a moment later."""
        if self._transport is not None:
            self._transport.abort()


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
