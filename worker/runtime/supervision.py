"""The supervisor as its client has it: found or started, replaced in place when its code is older, connected to again.

Letting go of it leaves it and all containers alone.
"""

import asyncio
import logging
import socket
import sys
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from common.clock import Clock
from common.descriptors import AS_FOUND
from common.errors import ConflictError, SystemFailureError, UnavailableError
from worker.runtime import wire
from worker.runtime.link import Link, SupervisorLostError, check_root

logger = logging.getLogger(__name__)

START_SECONDS = 10.0
"""For a supervisor to come up, or to replace itself."""
REQUEST_SECONDS = 60.0
"""For anything that does not wait for a container by its nature."""
_AGAIN_SECONDS = 0.02
_REEXEC_TRIES_MAX = 50
_SAID_MAX = 4096

_HERE = Path(__file__).resolve().parent
_PROGRAM = _HERE / "supervisor_main.py"
_SOURCES = (
    "runtime/*.py",
    "kernel/syscalls.py",
    "kernel/cgroup*.py",
    "kernel/device_rules.py",
)


class Supervision:
    """Our connection to one exec root's supervisor."""

    def __init__(self, exec_root: Path, cgroup_parent: str, clock: Clock) -> None:
        self._exec_root = exec_root.absolute()
        self._cgroup_parent = cgroup_parent
        self._clock = clock
        self._lock = asyncio.Lock()
        self._link: Link | None = None
        self.stamp = code_stamp()

    async def open(self) -> None:
        """Connects; starts a supervisor when none lives, and has one with other code replace itself.

        Raises:
            SystemFailureError: it does not come up; the reason is in the message.
            ConflictError: one lives that uses another cgroup parent and runs containers there.
        """
        await self._connected()

    async def close(self) -> None:
        """Disconnects. The supervisor and all containers go on."""
        if self._link is not None:
            closing, self._link = self._link, None
            closing.close()
            await closing.lost.wait()

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
            await self.ask(wire.SHUTDOWN, None)
        except SupervisorLostError:
            logger.info("the supervisor ended before it answered")
        async with asyncio.timeout(REQUEST_SECONDS):
            await lost.wait()
        await self.close()

    async def _connected(self) -> Link:
        async with self._lock:
            if self._link is not None and not self._link.lost.is_set():
                return self._link
            self._link = await self._connect()
            return self._link

    async def _connect(self) -> Link:
        try:
            found = await self._linked()
        except (FileNotFoundError, ConnectionRefusedError):
            await self._launch()
            found = await self._linked()
        hello = await found.ask(wire.HELLO, None, REQUEST_SECONDS)
        if not isinstance(hello, dict):
            raise SystemFailureError(f"not a supervisor: it says {hello!r}")
        if hello["parent"] != self._cgroup_parent:
            return await self._replace(found, str(hello["parent"]))
        if hello["stamp"] == self.stamp:
            return found
        return await self._upgrade(found, int(hello["protocol"]))

    async def _linked(self) -> Link:
        loop = asyncio.get_running_loop()
        path = str(self._exec_root / wire.SOCKET)
        transport, found = await loop.create_unix_connection(Link, path)
        try:
            check_root(transport.get_extra_info("socket"), self._exec_root / wire.SOCKET)
        except SystemFailureError:
            transport.close()
            raise
        return found

    async def dial(self) -> socket.socket:
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
                    await self._clock.sleep(_AGAIN_SECONDS)
                else:
                    check_root(peer, path)
                    return peer
        except OSError as error:
            peer.close()
            raise SupervisorLostError from error
        except BaseException:
            peer.close()
            raise

    def command(self) -> list[str]:
        """The supervisor's program, in a new process or in place of the one that runs."""
        descriptors = str(AS_FOUND[0])
        arguments = (str(self._exec_root), self._cgroup_parent, self.stamp, descriptors)
        return [sys.executable, *wire.FLAGS, str(_PROGRAM), *arguments]

    async def _launch(self) -> None:
        said = await _first_words(self.command())
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
        command = self.command()
        successor = (command, wire.HANDOVER) if protocol >= wire.PROTOCOL_WITH_HANDOVER else command
        for _ in range(_REEXEC_TRIES_MAX if said == wire.READY else 0):
            try:
                await found.ask(wire.REEXEC, successor, REQUEST_SECONDS)
            except UnavailableError as error:
                reason = error.message
                await self._clock.sleep(_AGAIN_SECONDS)
                continue
            await found.lost.wait()
            return await self._linked()
        if protocol != wire.PROTOCOL:
            raise SystemFailureError(f"the supervisor is of another version: {reason}")
        logger.warning("the supervisor goes on with older code: %s", reason)
        return found

    async def ask(
        self, verb: str, arguments: object, seconds: float | None = REQUEST_SECONDS
    ) -> object:
        """Sends a request and waits for its answer, connecting before when that is needed.

        Raises:
            SwarmdError: what the supervisor answered instead, or that it was lost.
        """
        connection = await self._connected()
        return await connection.ask(verb, arguments, seconds)

    async def ask_again(self, verb: str, arguments: object) -> object:
        """For what may be done twice: once more when the supervisor was lost meanwhile."""
        try:
            return await self.ask(verb, arguments)
        except SupervisorLostError:
            return await self.ask(verb, arguments)


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
