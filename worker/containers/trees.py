"""Reads and writes the trees of containers (``docker cp``, ``diff``, ``export``, ``commit``), by helper processes.

A container that runs is seen as its first process sees it, with all that is mounted in it. One that does not is mounted
for the helper alone; while it is written to, it cannot be started.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import common.errors
from common.errors import ConflictError, SwarmdError, SystemFailureError
from common.model.container_spec import MountType
from worker.containers.ending import Ending
from worker.containers.ports import Images, Volumes
from worker.containers.record import Container, ContainerState, MountPoint
from worker.containers.records import disk_errors
from worker.containers.register import Live, Register
from worker.containers.tree_order import TreeMount, TreeOrder, Work
from worker.containers.tree_path import tree_path
from worker.containers.workshop import Machinery, Workshop

HELPERS_MAX = 8
"""Trees read or written at the same time; further ones wait."""
STALLED_SECONDS_MAX = 300.0
"""How long a helper may say nothing, or take nothing, before it is killed."""
ORDER_BYTES_MAX = 1024 * 1024
_LINE_BYTES_MAX: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_PROGRAM = Path(__file__).with_name("tree_main.py")
_FLAGS = ("-E", "-P", "-X", "utf8")


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

    async def _first_line(self, helper: "Helper", live: Live) -> dict[str, Any]:
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


# ------------------------------------------------------------------------------ one helper process


class Helper:
    """A helper that has its order."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise SystemFailureError("the helper's streams are not at hand")
        self._process = process
        self._given, self._out, self._errors = process.stdin, process.stdout, process.stderr

    async def order(self, order: TreeOrder) -> None:
        """Says what it is to do."""
        data = order.encode()
        if len(data) > ORDER_BYTES_MAX:
            raise SystemFailureError(f"an order of {len(data)} bytes is more than a helper takes")
        await self._give(len(data).to_bytes(4, "big") + data)

    async def line(self) -> dict[str, Any]:
        """What it says next.

        Raises:
            SwarmdError: it says that it cannot.
        """
        async with _patience():
            line = await self._out.readline()
        if not line.endswith(b"\n"):
            await self._fail()
        said: dict[str, Any] = json.loads(line)
        return said

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Gives it an archive; it may stop taking it, and says why in its next line."""
        try:
            while (chunk := await _next(chunks)) is not None:
                await self._give(chunk)
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self._given.close()

    async def _give(self, data: bytes) -> None:
        self._given.write(data)
        async with _patience():
            await self._given.drain()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What it writes, to its end.

        Raises:
            SwarmdError: it broke off.
        """
        while True:
            async with _patience():
                piece = await self._out.read(_PIECE_BYTES)
            if not piece:
                break
            yield piece
        await self.end()

    async def end(self) -> None:
        """Waits for its end.

        Raises:
            SwarmdError: it did not come to its end.
        """
        async with _patience():
            code = await self._process.wait()
        if code != 0:
            await self._fail()

    async def _fail(self) -> None:
        async with _patience():
            said = await self._errors.read(_LINE_BYTES_MAX)
        raise _error_of(said)

    async def close(self) -> None:
        """Kills it, if it goes on."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        self._given.close()
        while await self._out.read(_PIECE_BYTES):  # what was in the pipe
            pass
        await self._errors.read()
        await self._process.wait()
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # it was told all that it wanted to know
            await self._given.wait_closed()


@asynccontextmanager
async def a_helper(order: TreeOrder) -> AsyncIterator[Helper]:
    """A new helper with its order; in the end it is no more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *_FLAGS,
        str(_PROGRAM),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd="/",
        env={},
        start_new_session=True,
    )
    helper = Helper(process)
    try:
        await helper.order(order)
        yield helper
    finally:
        await asyncio.shield(helper.close())


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    """The next piece of an archive, None at its end; whoever sends it is not waited for without end."""
    async with _patience():
        return await anext(chunks, None)


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(STALLED_SECONDS_MAX):
            yield
    except TimeoutError as error:
        raise SystemFailureError(
            f"nothing came of a container's tree for {STALLED_SECONDS_MAX:.0f} seconds"
        ) from error


def _error_of(said: bytes) -> SwarmdError:
    try:
        raw = json.loads(said)
        kind = getattr(common.errors, raw["error"], SystemFailureError)
        error: SwarmdError = kind(raw["message"], hint=raw["hint"])
    except (ValueError, KeyError, TypeError):
        text = said.decode(errors="replace").strip().splitlines()
        return SystemFailureError(f"a container's tree: {text[-1] if text else 'the helper ended'}")
    return error
