"""Makes containers ready to start, and gives them names."""

import asyncio
import os
import re
from dataclasses import replace

from common.errors import ConflictError, InvalidInputError
from common.ids import IdSource
from worker.containers.names import given_name
from worker.containers.record import Container, ContainerConfig
from worker.containers.register import Live, Register
from worker.containers.resources import HOST, joined
from worker.containers.settle import container_of, hostname_of
from worker.containers.workshop import Machinery, Workshop

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class Creating:
    """Makes what outlives a run, all of it or nothing."""

    def __init__(
        self, register: Register, workshop: Workshop, machinery: Machinery, new_id: IdSource
    ) -> None:
        self._register, self._workshop, self._images = register, workshop, machinery.images
        self._runtimes = machinery.runtimes
        self._new_id = new_id
        self._making: dict[str, asyncio.Event] = {}  # names of containers that are being made

    async def create(self, config: ContainerConfig) -> Container:
        """Makes a container ready to start; without a name it is given one.

        Raises:
            ConflictError: the name is another container's.
            NotFoundError: there is no such image.
            InvalidInputError: it asks for something that cannot be.
        """
        container_id = self._new_id()
        runtime = self._runtimes.settled(config.host.runtime)
        config = replace(config, host=replace(config.host, runtime=runtime))
        if not config.name:
            config = replace(config, name=given_name(container_id, self._is_taken))
        if not config.task_id:
            check_name(config.name)
        while (making := self._making.get(config.name)) is not None:
            await making.wait()  # whoever began it may have been cancelled; it goes on all the same
        existing = self._register.named(config.name)
        if existing is not None:
            return _same_task(existing.container, config)
        config = self._with_hostname(config)
        image = self._images.resolve(config.spec.image)
        now = self._register.clock.now()
        wanted = container_of(config, image, container_id=container_id, now=now)
        made = self._making[config.name] = asyncio.Event()
        try:
            container = await self._workshop.make(wanted, image)
        finally:
            del self._making[config.name]
            made.set()
        live = self._register.add(container)
        self._register.tell(container, "create")
        await self._register.flush(live)
        return container

    def _with_hostname(self, config: ContainerConfig) -> ContainerConfig:
        """Whose network or UTS namespace it shares, that one's hostname it has."""
        modes = (config.network, config.host.uts_mode)
        hostname = config.spec.hostname
        if not hostname and HOST in modes:
            hostname = os.uname().nodename
        for shared in filter(None, map(joined, modes)):
            other = self._register.known(shared).container
            hostname = hostname or hostname_of(other.config.spec, other.id)
        return replace(config, spec=replace(config.spec, hostname=hostname))

    def _is_taken(self, name: str) -> bool:
        return name in self._making or self._register.named(name) is not None

    async def rename(self, live: Live, name: str) -> None:
        """Gives it another name.

        Raises:
            ConflictError: the name is another container's, or it is a task's.
            InvalidInputError: it cannot be a name, or is the same one.
        """
        async with self._register.locked(live):
            container, before = live.container, live.container.config.name
            if not name:
                raise InvalidInputError("Neither old nor new names may be empty")
            check_name(name)
            if name == before:
                raise InvalidInputError(
                    "Renaming a container with the same name as its current name"
                )
            if container.config.task_id:
                raise ConflictError(f"container {container.id} is a task's: its name stays")
            if self._is_taken(name):
                other = self._register.named(name)
                raise _name_taken(name, other.container.id if other else "")
            self._register.rename(live, name)
            await self._register.flush(live)
            self._register.tell(live.container, "rename", oldName=f"/{before}")


def check_name(name: str) -> None:
    """Refuses what cannot be a container's name.

    Raises:
        InvalidInputError: so it is.
    """
    if not NAME.fullmatch(name):
        raise InvalidInputError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )


def _same_task(existing: Container, config: ContainerConfig) -> Container:
    if config.task_id and existing.config.task_id == config.task_id:
        return existing
    raise _name_taken(config.name, existing.id)


def _name_taken(name: str, container_id: str) -> ConflictError:
    return ConflictError(
        f'Conflict. The container name "/{name}" is already in use by container '
        f'"{container_id}". You have to remove (or rename) that container to be able to reuse that name.'
    )
