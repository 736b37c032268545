"""Reads and writes the trees of containers (``docker cp``, ``diff``, ``export``, ``commit``), by helper processes.

A container that runs is seen as its first process sees it, with all that is mounted in it. One that does not is mounted
for the helper alone; while it is written to, it cannot be started.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.errors import ConflictError, SystemFailureError
from common.model.container_spec import MountType
from worker.containers.ending import Ending
from worker.containers.ports import Images, Volumes
from worker.containers.record import Container, ContainerState, MountPoint
from worker.containers.records import disk_errors
from worker.containers.register import Live, Register
from worker.containers.workshop import Machinery, Workshop
from worker.trees.helper import Helper, a_helper
from worker.trees.order import TreeMount, TreeOrder, Work
from worker.trees.path import tree_path

HELPERS_MAX = 8
"""Trees read or written at the same time; further ones wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A tree being read: what was said first, and the bytes that follow."""

    head: Mapping[str, Any] = field(default_factory=dict)
    pieces: AsyncIterator[bytes]


class Trees:
    """One per node."""

    def __init__(
        self, register: Register, workshop: Workshop, machinery: Machinery, ending: Ending
    ) -> None:
        self._register, self._workshop, self._ending = register, workshop, ending
        self._images: Images = machinery.images
        self._volumes: Volumes = machinery.volumes
        self._places = asyncio.Semaphore(HELPERS_MAX)

    async def stat(self, container_id: str, path: str) -> Mapping[str, Any]:
        """What a path of a container leads to (Engine API ``ContainerPathStat``).

        Raises:
            NotFoundError: there is no such container or path.
            InvalidInputError: it cannot be a path.
        """
        async with self._reading(container_id, Work.STAT, path) as found:
            return found.head

    @asynccontextmanager
    async def get(self, container_id: str, path: str) -> AsyncIterator[Reading]:
        """What a path leads to, as a tar archive.

        Raises:
            NotFoundError: there is no such container or path.
            InvalidInputError: it cannot be a path.
            SystemFailureError: it cannot be read to its end; raised while it is read.
        """
        async with self._reading(container_id, Work.GET, path) as found:
            self._tell(container_id, "archive-path")
            yield found

    @asynccontextmanager
    async def export(self, container_id: str) -> AsyncIterator[Reading]:
        """Its whole tree without what is mounted in it, as a tar archive.

        Raises:
            NotFoundError: there is no such container.
            SystemFailureError: it cannot be read to its end; raised while it is read.
        """
        async with self._reading(container_id, Work.EXPORT) as found:
            self._tell(container_id, "export")
            yield found

    @asynccontextmanager
    async def changes(self, container_id: str) -> AsyncIterator[Reading]:
        """What it has changed of its image, as a JSON list.

        Raises:
            NotFoundError: there is no such container.
            SystemFailureError: it cannot be read to its end; raised while it is read.
        """
        async with self._reading(container_id, Work.CHANGES) as found:
            yield found

    @asynccontextmanager
    async def layer(self, container_id: str) -> AsyncIterator[Reading]:
        """What it has changed of its image, as a layer's archive.

        Raises:
            NotFoundError: there is no such container.
            SystemFailureError: it holds what no image can; raised while it is read.
        """
        async with self._reading(container_id, Work.LAYER) as found:
            yield found

    @asynccontextmanager
    async def standing_still(self, container_id: str) -> AsyncIterator[None]:
        """All of a container stands still meanwhile, if it runs; a crash does not leave it so.

        Raises:
            NotFoundError: there is no such container.
            SystemFailureError: the kernel or the disk refused.
        """
        live = self._register.known(container_id)
        if live.container.state is not ContainerState.RUNNING:
            yield
            return
        mark = self._mark(container_id)
        with disk_errors():
            mark.touch()
        try:
            with suppress(ConflictError):  # it has just ended
                await self._ending.pause(live)
            yield
        finally:
            await self._go_on(live)

    async def recover(self) -> None:
        """Lets those go on that stood still when this process ended."""
        for live in self._register.all():
            if self._mark(live.container.id).exists():
                await self._go_on(live)

    async def _go_on(self, live: Live) -> None:
        with suppress(ConflictError):  # somebody else has let it go on, or it was killed
            await self._ending.unpause(live)
        self._mark(live.container.id).unlink(missing_ok=True)

    def _mark(self, container_id: str) -> Path:
        return Path(self._workshop.places(container_id).file("still"))

    async def put(
        self,
        container_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        is_strict: bool,
        as_user: bool,
    ) -> None:
        """Extracts a tar archive, compressed or not, into a directory of a container.

        ``is_strict`` keeps a directory from taking the place of something else and the other way round; ``as_user``
        makes everything the container's user's.

        Raises:
            NotFoundError: there is no such container or path.
            InvalidInputError: a damaged archive, or one that contradicts what is there; a part of it may be there.
            ForbiddenError: the path is read-only.
            SystemFailureError: the disk said no; a part of it may be there.
        """
        tree_path(path)
        live = self._register.known(container_id)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._places)
            await live.lock.acquire()
            if live.has_process:
                live.lock.release()
            else:  # it may not be started in the middle
                stack.callback(live.lock.release)
            order = self._order(live, Work.PUT, path)
            order = _with_manner(order, live.container, is_strict=is_strict, as_user=as_user)
            helper = await stack.enter_async_context(a_helper(order))
            await self._first_line(helper, live)
            self._check_still(live, order)
            await helper.feed(chunks)
            await helper.line()
            await helper.end()
        self._tell(container_id, "extract-to-dir")

    @asynccontextmanager
    async def _reading(
        self, container_id: str, work: Work, path: str = ""
    ) -> AsyncIterator[Reading]:
        if path or work in (Work.STAT, Work.GET):
            tree_path(path)
        live = self._register.known(container_id)
        async with self._places:
            order = self._order(live, work, path)
            async with a_helper(order) as helper:
                head = await self._first_line(helper, live)
                self._check_still(live, order)
                yield Reading(head=head, pieces=helper.pieces())

    async def _first_line(self, helper: Helper, live: Live) -> dict[str, Any]:
        """What a helper says of a container, unless that is removed: then nothing else matters."""
        try:
            return await helper.line()
        except SystemFailureError:
            self._register.check_here(live)
            raise

    def _check_still(self, live: Live, order: TreeOrder) -> None:
        """The helper has the tree now: was it still this container's?"""
        container = live.container
        if not self._register.is_here(live):
            raise ConflictError(f"container {container.id} was removed meanwhile")
        if order.pid and (not live.has_process or container.pid != order.pid):
            raise ConflictError(f"container {container.id} ended meanwhile", hint="try again")

    def _order(self, live: Live, work: Work, path: str) -> TreeOrder:
        container = live.container
        places = self._workshop.places(container.id)
        is_whole = work in (Work.EXPORT, Work.CHANGES, Work.LAYER)
        return TreeOrder(
            work=work,
            container=container.id,
            pid=container.pid if live.has_process else 0,
            lower=self._images.resolve(container.image_id).layers,
            upper=places.file("upper"),
            overlay_work=places.file("work"),
            place=places.merged,
            root_read_only=container.config.spec.read_only,
            mounts=() if is_whole else self._mounts(container),
            path=path,
        )

    def _mounts(self, container: Container) -> tuple[TreeMount, ...]:
        """Volumes and directories of the host, those nearer to the root before those below them."""
        subpaths = {
            mount.target: mount.volume_options.subpath
            for mount in container.config.spec.mounts
            if mount.volume_options is not None
        }
        kinds = (MountType.BIND.value, MountType.VOLUME.value)
        points = [point for point in container.mounts if point.type in kinds]
        points.sort(key=lambda point: point.destination.rstrip("/").count("/"))
        return tuple(self._mount(point, subpaths.get(point.destination, "")) for point in points)

    def _mount(self, point: MountPoint, subpath: str) -> TreeMount:
        return TreeMount(
            target=point.destination,
            source=point.source,
            subpath=subpath,
            read_only=point.read_only,
            options=self._volumes.options(point.name) if point.name else {},
        )

    def _tell(self, container_id: str, action: str) -> None:
        live = self._register.get(container_id)
        if live is not None:
            self._register.tell(live.container, action)


def _with_manner(
    order: TreeOrder, container: Container, *, is_strict: bool, as_user: bool
) -> TreeOrder:
    return replace(order, is_strict=is_strict, as_user=container.user if as_user else "")
