"""Further processes in containers (``docker exec``): told of first, then started, then remembered with their end."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SwarmdError,
    UnavailableError,
)
from common.ids import IdSource
from common.keeper import Keeper
from worker.containers.ending import not_running
from worker.containers.exit_codes import of_failed_start
from worker.containers.ports import AttachingRuntime, Spawned, Streams
from worker.containers.record import Container, ContainerState
from worker.containers.register import Register
from worker.runtime.bundle import FurtherProcess

log = logging.getLogger("swarmd.containers")

EXECS_MAX = 1000
"""Of one container; the oldest that have ended make room."""
LOST_CODE = 255
"""Of a process whose end nobody saw."""


class ExecState(StrEnum):
    """How far a further process is."""

    CREATED = "created"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """What to run, and which of its streams its user wants."""

    process: FurtherProcess
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A further process as it stands. A new value is made at each change."""

    id: str
    container_id: str
    config: ExecConfig
    state: ExecState = ExecState.CREATED
    pid: int = 0
    exit_code: int | None = None
    """None until it has ended, or could not be started."""


@dataclass(slots=True, eq=False)
class _Entry:
    exec: Exec
    streams: Streams | None = field(default=None)
    is_abandoned: bool = False
    """Nobody is there any more to read its streams."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Execs:
    """The further processes of all containers. They are forgotten with swarmd, as their streams are."""

    def __init__(
        self, register: Register, runtime: AttachingRuntime, keeper: Keeper, new_id: IdSource
    ) -> None:
        self._register, self._runtime = register, runtime
        self._keeper, self._new_id = keeper, new_id
        self._entries: dict[str, _Entry] = {}
        self._of: dict[str, list[str]] = {}

    # -------------------------------------------------------------------------------- looking

    def find(self, exec_id: str) -> Exec:
        """By its id.

        Raises:
            NotFoundError: "No such exec instance: x".
        """
        return self._entry(exec_id).exec

    def of(self, container_id: str) -> Sequence[str]:
        """The ids of a container's further processes that have not ended, the oldest first."""
        return [
            exec_id
            for exec_id in self._of.get(container_id, ())
            if self._entries[exec_id].exec.state is not ExecState.ENDED
        ]

    # ------------------------------------------------------------------------------- changing

    def create(self, container_id: str, config: ExecConfig) -> Exec:
        """Tells of a process that is to run.

        Raises:
            NotFoundError: there is no such container.
            ConflictError: the container does not run.
            InvalidInputError: there is nothing to run.
            UnavailableError: too many are told of already.
        """
        container = self._register.known(container_id).container
        check_takes_exec(container)
        if not config.process.argv:
            raise InvalidInputError("No exec command specified")
        self._make_room(container_id)
        made = Exec(id=self._new_id(), container_id=container_id, config=config)
        self._entries[made.id] = _Entry(made)
        self._of.setdefault(container_id, []).append(made.id)
        self._tell(made, f"exec_create: {_words(made)}")
        return made

    async def start(
        self, exec_id: str, *, detach: bool, console_size: tuple[int, int] = (0, 0)
    ) -> Streams | None:
        """Runs it; gives its streams, or None when nobody is to read them.

        Raises:
            NotFoundError: there is none.
            ConflictError: it was started before, or its container does not run.
            InvalidInputError: the program does not exist or cannot run; its exit code says so too.
        """
        entry = self._entry(exec_id)
        if entry.exec.state is not ExecState.CREATED:
            state = (
                "is already running" if entry.exec.state is ExecState.RUNNING else "has already run"
            )
            raise ConflictError(f"Error: Exec command {exec_id} {state}")
        check_takes_exec(self._register.known(entry.exec.container_id).container)
        process = entry.exec.config.process
        process = replace(
            process,
            detached=detach,
            console_size=console_size if any(console_size) else process.console_size,
        )
        entry.exec = replace(entry.exec, state=ExecState.RUNNING)
        self._tell(entry.exec, f"exec_start: {_words(entry.exec)}")
        try:
            return await self._keeper.finish(self._start(entry, process))
        except asyncio.CancelledError:  # whoever was to read it has left meanwhile
            entry.is_abandoned = True
            if entry.streams is not None:
                entry.streams.close()
            raise

    async def _start(self, entry: _Entry, process: FurtherProcess) -> Streams | None:
        try:
            spawned = await self._runtime.spawn(entry.exec.container_id, process)
        except SwarmdError as error:
            self._end(entry, of_failed_start(error))
            if isinstance(error, NotFoundError):  # it has just ended
                live = self._register.known(entry.exec.container_id)
                raise not_running(live.container) from error
            raise
        entry.exec = replace(entry.exec, pid=spawned.pid)
        entry.streams = spawned.streams
        self._keeper.spawn(self._watch(entry, spawned))
        if process.detached or entry.is_abandoned:
            spawned.streams.close()
            return None
        return spawned.streams

    async def _watch(self, entry: _Entry, spawned: Spawned) -> None:
        try:
            code = await spawned.wait()
        except SwarmdError:
            log.exception("nobody knows how a further process ended", extra={"exec": entry.exec.id})
            code = LOST_CODE
        self._end(entry, code)

    def _end(self, entry: _Entry, code: int) -> None:
        entry.exec = replace(entry.exec, state=ExecState.ENDED, exit_code=code, pid=0)
        entry.streams = None
        entry.ended.set()
        self._tell(entry.exec, "exec_die", exitCode=str(code))

    async def wait(self, exec_id: str) -> Exec:
        """How it is once it has ended, or could not be started.

        Raises:
            NotFoundError: there is none.
        """
        entry = self._entry(exec_id)
        await entry.ended.wait()
        return entry.exec

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Says how large its terminal is.

        Raises:
            NotFoundError: there is none.
            ConflictError: it does not run.
        """
        entry = self._entry(exec_id)
        if entry.exec.state is not ExecState.RUNNING or entry.streams is None:
            raise ConflictError(f"exec process is not started: {exec_id}")
        await entry.streams.resize(rows, columns)

    def detached(self, exec_id: str) -> None:
        """Says that whoever was attached has left by the detach keys; forgotten already is fine."""
        entry = self._entries.get(exec_id)
        if entry is not None:
            self._tell(entry.exec, "exec_detach")

    def forget(self, container_id: str) -> None:
        """The container is gone, and all that was in it."""
        for exec_id in self._of.pop(container_id, ()):
            del self._entries[exec_id]

    # --------------------------------------------------------------------------------- inner parts

    def _entry(self, exec_id: str) -> _Entry:
        entry = self._entries.get(exec_id)
        if entry is None:
            raise NotFoundError(f"No such exec instance: {exec_id}")
        return entry

    def _make_room(self, container_id: str) -> None:
        known = self._of.get(container_id, [])
        if len(known) < EXECS_MAX:
            return
        for exec_id in known:
            if self._entries[exec_id].exec.state is not ExecState.RUNNING:
                known.remove(exec_id)
                del self._entries[exec_id]
                return
        raise UnavailableError(f"{EXECS_MAX} further processes run in this container already")

    def _tell(self, told: Exec, action: str, **attributes: str) -> None:
        live = self._register.get(told.container_id)
        if live is not None:
            self._register.tell(live.container, action, execID=told.id, **attributes)


def check_takes_exec(container: Container) -> None:
    """Refuses a further process where none can run.

    Raises:
        ConflictError: it does not run, is frozen, or is between two runs.
    """
    match container.state:
        case ContainerState.RUNNING:
            return
        case ContainerState.PAUSED:
            raise ConflictError(
                f"Container {container.id} is paused, unpause the container before exec"
            )
        case ContainerState.RESTARTING:
            raise ConflictError(
                f"Container {container.id} is restarting, wait until the container is running"
            )
        case _:
            raise not_running(container)


def _words(told: Exec) -> str:
    return " ".join(told.config.process.argv)
