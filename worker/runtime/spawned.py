"""A further process in a container, from our side: its pipes or terminal, and the connection that tells its end."""

import asyncio
import os
import socket

from typing_extensions import override

from common.errors import SystemFailureError
from worker.runtime import terminal, wire
from worker.runtime.framed import Framed
from worker.runtime.link import SupervisorLostError, refused
from worker.runtime.orders import SpawnOrder
from worker.runtime.streams import ProcessStreams

_NUMBER = 1


class Ends:
    """Descriptors of one further process: those that it is sent, and ours."""

    def __init__(self, *, tty: bool, open_stdin: bool, detached: bool) -> None:
        self.theirs: list[int] = []
        self._console = -1
        self._stdin = -1
        self._outputs: dict[int, int] = {}
        try:
            if tty and not detached:
                self._console = self._socket()
            elif not detached:
                self._stdin = self._input() if open_stdin else -1
                self._outputs = {self._output(): wire.STDOUT, self._output(): wire.STDERR}
        except OSError as error:
            self.close()
            raise SystemFailureError(f"no descriptors for a further process: {error}") from error

    def _socket(self) -> int:
        ours, child = socket.socketpair()
        self.theirs.append(child.detach())
        return ours.detach()

    def _input(self) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self.theirs.append(reading)
        return writing

    def _output(self) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        self.theirs.append(writing)
        return reading

    def close_theirs(self) -> None:
        """They have been sent."""
        for fd in self.theirs:
            os.close(fd)
        self.theirs.clear()

    def streams(self) -> ProcessStreams:
        """Ours, once the process runs; they are the streams' to close.

        Raises:
            SystemFailureError: its terminal has not come.
        """
        if self._console < 0:
            made = ProcessStreams(self._stdin, self._outputs)
            self._stdin, self._outputs = -1, {}
            return made
        os.set_blocking(self._console, False)
        try:
            master = terminal.receive(self._console)
        except OSError as error:
            raise SystemFailureError(f"its terminal did not come: {error}") from error
        if master < 0:
            raise SystemFailureError("its terminal did not come")
        return ProcessStreams(master, {master: wire.STDOUT}, is_terminal=True)

    def close(self) -> None:
        """Closes what is still ours."""
        self.close_theirs()
        for fd in {self._console, self._stdin, *self._outputs} - {-1}:
            os.close(fd)
        self._console = self._stdin = -1
        self._outputs = {}


class SpawnedProcess(Framed):
    """One further process: ``worker.containers.ports.Spawned``, and its connection to the supervisor."""

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[int] = loop.create_future()
        self._ended: asyncio.Future[int] = loop.create_future()
        self._streams: ProcessStreams | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """On the host."""
        return self._pid

    @property
    def streams(self) -> ProcessStreams:
        """What it writes and reads; ended from the start for a detached one."""
        if self._streams is None:
            raise SystemFailureError("a process that has not been started has no streams")
        return self._streams

    async def wait(self) -> int:
        """Its exit code: 0-255, 128 + signal.

        Raises:
            UnavailableError: the supervisor was lost meanwhile: nobody knows.
        """
        return await asyncio.shield(self._ended)

    # -- starting ----------------------------------------------------------------------------------

    async def begin(self, peer: socket.socket, order: SpawnOrder, ends: Ends) -> None:
        """Sends the order and waits until the program runs.

        Raises:
            SwarmdError: what the supervisor said instead.
        """
        try:
            await self._send(peer, wire.encode_frame((_NUMBER, wire.SPAWN, order)), ends)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=peer)
        except BaseException:
            peer.close()
            raise
        try:
            self._pid = await self._started
            self._streams = ends.streams()
        except BaseException:
            self.close()
            raise

    async def _send(self, peer: socket.socket, frame: bytes, ends: Ends) -> None:
        try:
            sent = socket.send_fds(peer, [frame], ends.theirs) if ends.theirs else 0
            ends.close_theirs()
            await asyncio.get_running_loop().sock_sendall(peer, frame[sent:])
        except OSError as error:
            raise SupervisorLostError from error

    def close(self) -> None:
        """Does not want to know its end."""
        self._abort()

    # -- asyncio's side ----------------------------------------------------------------------------

    @override
    def _cannot_read(self, error: wire.FrameError) -> None:
        self._fail(SystemFailureError(f"the supervisor's answer cannot be read: {error}"))

    @override
    def _take(self, value: object) -> None:
        match value:
            case (_, wire.OK, int() as number) if not self._started.done():
                self._started.set_result(number)
            case (_, wire.OK, int() as number) if not self._ended.done():
                self._ended.set_result(number)
                self.close()
            case (_, str() as outcome, answer) if outcome != wire.OK:
                self._fail(refused(outcome, answer))
            case _:
                raise wire.FrameError(f"not an answer: {value!r}")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._fail(SupervisorLostError())

    def _fail(self, error: Exception) -> None:
        for future in (self._started, self._ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # Looked at: nobody needs to ask for it.
        self.close()
