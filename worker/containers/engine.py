"""The local engine: containers from image, volumes, network and process, level-triggered across restarts.

This is the whole of what others may ask of it; each part of the work has a module of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from common.clock import Clock
from common.errors import NotImplementedHereError, SystemFailureError
from common.events import EventLog
from common.ids import IdSource
from common.keeper import Keeper
from common.model.endpoint import Protocol
from worker.containers.attaching import Attaching
from worker.containers.bundle_of import Places
from worker.containers.creating import Creating
from worker.containers.ending import Ending
from worker.containers.execs import Execs
from worker.containers.files import ContainerFile
from worker.containers.journal_reader import read_journal
from worker.containers.log_drivers import JOURNALD, facts_of, log_options_of
from worker.containers.log_lines import LogQuery, LogRecord
from worker.containers.logs import LogReader
from worker.containers.ports import Streams
from worker.containers.process_table import ProcessTable
from worker.containers.record import Container, ContainerConfig, ContainerState
from worker.containers.recovering import Recovering
from worker.containers.register import Live, Register
from worker.containers.removing import Pruned, Removing
from worker.containers.running import Running
from worker.containers.signals import signal_number
from worker.containers.trees import Trees
from worker.containers.updating import ContainerUpdate, Updating
from worker.containers.waiting import Ended, WaitCondition
from worker.containers.workshop import Machinery, Workshop
from worker.runtime.bundle import LogOptions, RunLease, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Time, chance and listeners."""

    clock: Clock
    events: EventLog
    new_id: IdSource
    """Draws container ids (``common.ids.container_id_source``)."""


class LocalEngine:
    """Implements ``worker.agent.ports.Containers``. Use it as an async context manager: entering recovers.

    A change of a container is on disk before anyone sees it. Leaving the context stops no container.
    Every method that takes a full id raises ``NotFoundError`` when there is no such container.
    """

    def __init__(
        self, data_root: str, exec_root: str, machinery: Machinery, surroundings: Surroundings
    ) -> None:
        self._workshop = Workshop(data_root, exec_root, machinery)
        self._runtime, self._clock = machinery.runtime, surroundings.clock
        self._keeper = Keeper()
        register = Register(self._workshop.records, surroundings.clock, surroundings.events)
        self._register = register
        self._running = Running(register, self._workshop, machinery, self._keeper)
        self._ending = Ending(register, self._running, machinery)
        self._creating = Creating(register, self._workshop, machinery, surroundings.new_id)
        self._removing = Removing(register, self._workshop, self._ending, self._keeper)
        self._recovering = Recovering(register, self._workshop, machinery, self._running)
        self._updating = Updating(register, machinery.runtime)
        self._attaching = Attaching(register, machinery.runtime)
        self.execs = Execs(register, machinery.runtime, self._keeper, surroundings.new_id)
        self.trees = Trees(register, self._workshop, machinery, self._ending)
        self._removing.forget = self.execs.forget
        self._running.remove = self._removing.remove_after_end

    async def __aenter__(self) -> Self:
        await self._keeper.open()
        try:
            containers = await asyncio.to_thread(self._workshop.records.open)
            await self._recovering.recover(containers)
            await self.trees.recover()
            self._keeper.spawn(self._workshop.publishing.go_on(self._clock))
        except BaseException as error:
            await self._keeper.close(error)
            raise
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._keeper.close(error)

    # -------------------------------------------------------------------------------- looking

    def get(self, container_id: str) -> Container | None:
        """How it stands now."""
        live = self._register.get(container_id)
        return live.container if live else None

    def find(self, reference: str) -> Container:
        """By full id, then name, then unique beginning of an id.

        Raises:
            NotFoundError: "No such container: x".
            InvalidInputError: the beginning of several ids.
        """
        return self._register.find(reference).container

    def all(self) -> Sequence[Container]:
        """All containers of this node, the newest first."""
        return [live.container for live in self._register.all()]

    def changed(self) -> AsyncIterator[Container]:
        """Each container whenever its state or health changes; slow readers get only the latest of each."""
        return self._register.changed()

    def log_path(self, container_id: str) -> str:
        """The file that its output goes to, "" when it is thrown away.

        Raises:
            NotFoundError: there is no such container.
        """
        options = self._log_options(container_id)
        return "" if options.driver == JOURNALD else options.path

    def log_details(self, container_id: str) -> Mapping[str, str]:
        """What its log driver says with each line (``docker logs --details``).

        Raises:
            NotFoundError: there is no such container.
        """
        return self._log_options(container_id).attributes

    def _log_options(self, container_id: str) -> LogOptions:
        container = self._known(container_id).container
        path = self._workshop.places(container_id).file(container.log_file)
        return log_options_of(container.config.log_driver, path=path, facts=facts_of(container))

    def places(self, container_id: str) -> Places:
        """Its directories."""
        return self._workshop.places(self._known(container_id).container.id)

    def logs(self, container_id: str, query: LogQuery) -> AsyncGenerator[LogRecord, None]:
        """Lines of its log, oldest first; with ``follow`` until it has ended and been read to the end.

        Raises:
            NotFoundError: there is no such container.
            NotImplementedHereError: its log driver keeps nothing.
        """
        options = self._log_options(container_id)
        if not options.path:
            raise NotImplementedHereError("configured logging driver does not support reading")
        has_ended = lambda: self._has_ended(container_id)  # noqa: E731
        if options.driver == JOURNALD:
            return read_journal(container_id, query, has_ended=has_ended)
        reader = LogReader(options, query, self._clock, has_ended=has_ended)
        return reader.read()

    def port_holder(self, protocol: Protocol, port: int, address: str) -> str:
        """Which container publishes a port of the host, for others who want it."""
        return self._workshop.publishing.holder(protocol, port, address)

    def _has_ended(self, container_id: str) -> bool:
        container = self.get(container_id)
        return container is None or container.state in (ContainerState.EXITED, ContainerState.DEAD)

    async def usage(self, container_id: str) -> Usage:
        """What it uses now (``docker stats``).

        Raises:
            NotFoundError: there is no such container, or it does not run.
        """
        return await self._attaching.usage(self._known(container_id))

    async def processes(self, container_id: str) -> Sequence[int]:
        """Pids of all its processes, on the host (``docker top``).

        Raises:
            ConflictError: it does not run.
        """
        return await self._attaching.processes(self._known(container_id))

    async def top(self, container_id: str, arguments: str = "") -> ProcessTable:
        """The table of its processes, as ``ps`` on the host prints it; without arguments that of ``-ef``.

        Raises:
            ConflictError: it does not run.
            InvalidInputError: the arguments are not understood.
        """
        return await self._attaching.top(self._known(container_id), arguments)

    def tell(self, container_id: str, action: str, **attributes: str) -> None:
        """Says in the event log what others did with it; gone already is fine."""
        live = self._register.get(container_id)
        if live is not None:
            self._register.tell(live.container, action, **attributes)

    async def size(self, container_id: str) -> int:
        """Bytes of the files that it has written beside its image.

        Raises:
            SystemFailureError: the disk said no.
        """
        live = self._known(container_id)
        try:
            return await self._workshop.size(container_id)
        except SystemFailureError:
            self._register.check_here(live)
            raise

    # ------------------------------------------------------------------- from creation to removal

    async def create(self, config: ContainerConfig) -> Container:
        """Makes a container ready to start. The same name with the same task again gives the one that exists.

        Without a name it is given one.

        Raises:
            ConflictError: the name is another container's.
            NotFoundError: "No such image: x:1".
            InvalidInputError: the spec asks for something that cannot be.
            SystemFailureError: the machine refused; nothing is left of it.
        """
        return await self._keeper.finish(self._creating.create(config))

    async def start(self, container_id: str, files: Sequence[ContainerFile] = ()) -> Container:
        """Runs it, with one of ``files`` for each secret and config of its spec; one that runs stays as it is.

        Raises:
            NotFoundError: there is no such container.
            ConflictError: it is paused or half removed, or a port that it publishes is another's.
            InvalidInputError: its program cannot run, or a file is missing.
            SystemFailureError: the machine refused.
        """
        return await self._keeper.finish(self._running.start(self._known(container_id), files))

    async def stop(
        self, container_id: str, *, grace_seconds: float | None = None, signal: str = ""
    ) -> Container:
        """Stop signal, then SIGKILL to all of it after the grace. Returns when it has ended; ended already is fine.

        Without a grace it is the container's own; below zero it has no end. Its restart policy leaves it alone.
        What has begun comes to its end also when whoever asked for it leaves.

        Raises:
            NotFoundError: there is no such container.
            InvalidInputError: there is no such signal.
            SystemFailureError: it does not die.
        """
        live = self._known(container_id)
        stop = self._ending.stop(live, grace_seconds=grace_seconds, signal=signal)
        return await self._keeper.finish(stop)

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Sends a signal to its first process, SIGKILL to all of them. Does not wait for an end.

        Raises:
            ConflictError: "container x is not running".
            InvalidInputError: "invalid signal: x".
        """
        await self._ending.kill(self._known(container_id), signal)

    async def restart(
        self, container_id: str, *, grace_seconds: float | None = None, signal: str = ""
    ) -> Container:
        """Stops it as ``stop`` does, and starts it; one that does not run is started.

        Raises:
            NotFoundError: there is no such container.
            SwarmdError: as of ``stop`` and ``start``.
        """
        live = self._known(container_id)
        stop = partial(self._ending.stop, live, grace_seconds=grace_seconds, signal=signal)
        return await self._keeper.finish(self._running.restart(live, stop))

    async def pause(self, container_id: str) -> None:
        """Freezes all its processes.

        Raises:
            ConflictError: it does not run, restarts, or is paused.
            SystemFailureError: the kernel refused.
        """
        await self._keeper.finish(self._ending.pause(self._known(container_id)))

    async def unpause(self, container_id: str) -> None:
        """Lets them go on.

        Raises:
            ConflictError: it is not paused.
        """
        await self._keeper.finish(self._ending.unpause(self._known(container_id)))

    async def rename(self, container_id: str, name: str) -> None:
        """Gives it another name.

        Raises:
            ConflictError: the name is another's, or the container is a task's.
            InvalidInputError: it cannot be a name, or it is the one it has.
        """
        await self._creating.rename(self._known(container_id), name.removeprefix("/"))

    async def update(self, container_id: str, wanted: ContainerUpdate) -> Container:
        """Changes what it may use, also while it runs, and its restart policy.

        Raises:
            ConflictError: it is half removed.
            InvalidInputError: what is wanted contradicts itself or what it has.
            SystemFailureError: the kernel refused; all is as it was.
        """
        return await self._keeper.finish(self._updating.update(self._known(container_id), wanted))

    async def remove(self, container_id: str, *, force: bool = True, volumes: bool = True) -> None:
        """Takes away everything of it but named volumes; one that is gone already is fine.

        Args:
            container_id: its full id.
            force: kills it if it runs.
            volumes: takes its anonymous volumes away too.

        Raises:
            ConflictError: it runs, and is not forced.
            SystemFailureError: it does not die, or the machine refused; it is ``dead`` then and may be removed again.
        """
        live = self._register.get(container_id)
        if live is not None:
            await self._keeper.finish(self._removing.remove(live, force=force, volumes=volumes))

    async def prune(self, wanted: Callable[[Container], bool]) -> Pruned:
        """Removes all that does not run and that ``wanted`` says so of; anonymous volumes stay.

        Raises:
            ConflictError: another prune is under way.
        """
        return await self._removing.prune(wanted)

    async def let_run_until(self, moments: Mapping[str, tuple[float, float]]) -> None:
        """Has containers stopped, and killed, at these moments since the machine's start, also without this process."""
        leases = [
            RunLease(
                id=container_id,
                stop_signal=signal_number(live.container.stop_signal),
                stop_at=stop_at,
                kill_at=kill_at,
            )
            for container_id, (stop_at, kill_at) in moments.items()
            if (live := self._register.get(container_id)) is not None
        ]
        if leases:
            await self._runtime.lease(leases)

    # -------------------------------------------------------------------- beside one that runs

    def wait(self, container_id: str, condition: WaitCondition) -> Awaitable[Ended]:
        """Its end, awaited; from this call on nothing is missed.

        Raises:
            NotFoundError: there is no such container.
            UnavailableError: too many wait already.
        """
        live = self._known(container_id)
        return live.waits.wait(live.container, condition)

    async def attach(
        self, container_id: str, *, with_input: bool = True, with_output: bool = True
    ) -> Streams:
        """What it writes from now on, and its input. Attached before its start is attached from its first byte.

        Who is not ``with_output`` reads nothing but the end, and does not hold it up.

        Raises:
            ConflictError: it is paused, or waits for its next start.
            UnavailableError: too many are attached.
        """
        return await self._attaching.attach(
            self._known(container_id), with_input=with_input, with_output=with_output
        )

    def detached(self, container_id: str) -> None:
        """Says that somebody attached has left by the detach keys; gone already is fine."""
        live = self._register.get(container_id)
        if live is not None:
            self._register.tell(live.container, "detach")

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """Says how large its terminal is.

        Raises:
            ConflictError: it does not run.
            NotFoundError: it has no terminal.
        """
        await self._attaching.resize(self._known(container_id), rows, columns)

    def _known(self, container_id: str) -> Live:
        return self._register.known(container_id)
