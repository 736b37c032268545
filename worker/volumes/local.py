"""The node's volumes: directories with a name, which outlive the containers that use them."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from common.clock import Clock
from common.errors import ConflictError, NotFoundError, SwarmdError, SystemFailureError
from common.events import EventLog
from common.ids import IdSource
from common.model.container_spec import Driver, Mount
from worker.kernel.tree_size import tree_size
from worker.volumes.disk import Fill, Mounting, VolumeDisk
from worker.volumes.fill import fill
from worker.volumes.locks import NameLocks
from worker.volumes.names import check_name
from worker.volumes.options import check_driver
from worker.volumes.place import VolumePlace
from worker.volumes.volume import Volume

__all__ = ["LocalVolumes", "Pruned", "Volume"]

SIZES_AT_A_TIME = 2
"""Volumes whose files are counted at the same time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What pruning took away."""

    names: tuple[str, ...]
    bytes_freed: int


class LocalVolumes:
    """Implements ``worker.containers.ports.Volumes``. ``open`` comes first."""

    def __init__(
        self,
        root: str,
        clock: Clock,
        events: EventLog,
        new_name: IdSource,
        *,
        fill: Fill = fill,
        mounting: Mounting | None = None,
    ) -> None:
        self._clock, self._events, self._new_name = clock, events, new_name
        self._disk = VolumeDisk(root, fill=fill, mounting=mounting)
        self._volumes: dict[str, Volume] = {}
        self._held: dict[str, set[str]] = {}  # name -> container ids
        self._running: dict[str, set[str]] = {}  # name -> ids of containers that run with it
        self._locks = NameLocks()
        self._counting = asyncio.Semaphore(SIZES_AT_A_TIME)

    async def open(self) -> None:
        """Reads what is on disk and removes what a crash left half made or half gone.

        Raises:
            SystemFailureError: the disk said no.
        """
        self._volumes = await _in_thread(self._disk.open)

    # -------------------------------------------------------------------------------- looking

    def all(self) -> Sequence[Volume]:
        """All volumes by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def get(self, name: str) -> Volume:
        """One volume.

        Raises:
            NotFoundError: "get x: no such volume".
        """
        if name not in self._volumes:
            raise NotFoundError(f"get {name}: no such volume")
        return self._volumes[name]

    def path(self, name: str) -> str:
        """The directory of a volume's content."""
        return self._disk.path(name)

    def options(self, name: str) -> Mapping[str, str]:
        """What is mounted as a volume's content; empty for a directory of its own."""
        volume = self._volumes.get(name)
        return volume.options if volume else {}

    def users(self, name: str) -> frozenset[str]:
        """The containers that use a volume."""
        return frozenset(self._held.get(name, ()))

    async def size(self, name: str) -> int:
        """Bytes of its files; -1 for one whose content lies elsewhere.

        Raises:
            SystemFailureError: the disk said no.
        """
        if self.get(name).options:
            return -1
        async with self._counting:
            return await _in_thread(tree_size, self.path(name))

    # ------------------------------------------------------------------------------ by themselves

    async def create(
        self, name: str, *, driver: Driver | None = None, labels: Mapping[str, str] | None = None
    ) -> Volume:
        """Makes a volume; one that exists already stays as it is. Without a name it gets one.

        Raises:
            InvalidInputError: a name or an option that cannot be.
            NotImplementedHereError: a driver that there is not.
            SystemFailureError: the disk said no.
        """
        options = check_driver(driver)
        if name:
            check_name(name)
        wanted = Volume(
            name=name or self._new_name(),
            created_at=self._clock.now(),
            is_anonymous=not name,
            labels=labels or {},
            options=options,
            is_kept=True,
        )
        async with self._locks.of(wanted.name):
            if wanted.name not in self._volumes:
                await self._make(wanted, (), "")
            return self._volumes[wanted.name]

    async def remove(self, name: str) -> None:
        """Removes a volume with its content.

        Raises:
            NotFoundError: "get x: no such volume".
            ConflictError: containers use it.
            SystemFailureError: the disk said no.
        """
        async with self._locks.of(name):
            volume = self.get(name)
            if users := sorted(self.users(name)):
                raise ConflictError(f"remove {name}: volume is in use - [{', '.join(users)}]")
            await self._remove(volume)

    async def prune(self, wanted: Callable[[Volume], bool]) -> Pruned:
        """Removes those of the wanted volumes that no container uses.

        Raises:
            SystemFailureError: the disk said no; some may be gone.
        """
        gone, freed = [], 0
        for volume in self.all():
            if self.users(volume.name) or not wanted(volume):
                continue
            try:
                size = await self.size(volume.name)
                await self.remove(volume.name)
            except (NotFoundError, ConflictError):  # somebody was faster
                continue
            gone.append(volume.name)
            freed += max(size, 0)
        self._events.tell("volume", "prune", "", {"reclaimed": str(freed)})
        return Pruned(names=tuple(gone), bytes_freed=freed)

    async def _make(self, volume: Volume, layers: Sequence[str], target: str) -> None:
        await _in_thread(self._disk.make, volume, layers, target)
        self._volumes[volume.name] = volume
        self._tell("create", volume.name)

    async def _remove(self, volume: Volume) -> None:
        await _in_thread(self._disk.remove, volume)
        del self._volumes[volume.name]
        self._held.pop(volume.name, None)
        self._tell("destroy", volume.name)

    # -------------------------------------------------------------------------------- in use

    async def acquire(
        self, mount: Mount, container_id: str, *, layers: Sequence[str]
    ) -> VolumePlace:
        """The volume of a mount for a container: found, or made and filled with what the image has at its target."""
        asked = mount.volume_options
        options = check_driver(asked.driver_config if asked else None)
        if mount.source:
            check_name(mount.source)
        name = mount.source or self._new_name()
        wanted = Volume(
            name=name,
            created_at=self._clock.now(),
            is_anonymous=not mount.source,
            labels=asked.labels if asked else {},
            options=options,
        )
        source = () if asked and (asked.no_copy or asked.subpath) else layers
        async with self._locks.of(name):
            self.hold(name, container_id)
            if name not in self._volumes:
                await self._make(wanted, source, mount.target)
            elif self.users(name) == {container_id}:
                volume = self._volumes[name]
                await _in_thread(self._disk.fill_empty, volume, source, mount.target)
        return VolumePlace(name=name, path=self.path(name))

    def hold(self, name: str, container_id: str) -> None:
        """Says again, after a restart, what ``acquire`` began."""
        self._held.setdefault(name, set()).add(container_id)

    async def begin(
        self, name: str, container_id: str, *, destination: str, read_only: bool
    ) -> None:
        """A container is about to run with it: what its options mount is there from now on.

        Raises:
            NotFoundError: somebody has removed it.
            SystemFailureError: it cannot be mounted.
        """
        async with self._locks.of(name):
            volume = self.get(name)
            await _in_thread(self._disk.mount, volume)
            self._running.setdefault(name, set()).add(container_id)
        told = {"container": container_id, "destination": destination, "propagation": ""}
        self._tell("mount", name, {**told, "read/write": str(not read_only).lower()})

    async def end(self, container_id: str) -> None:
        """It runs no more; may be said again. With the last one, what the options mounted goes.

        Raises:
            SystemFailureError: the kernel refused.
        """
        for name in [key for key, ids in self._running.items() if container_id in ids]:
            async with self._locks.of(name):
                running = self._running[name] - {container_id}
                if not running and name in self._volumes:
                    await _in_thread(self._disk.unmount, self._volumes[name])
                self._running[name] = running
                if not running:
                    del self._running[name]
            self._tell("unmount", name, {"container": container_id})

    async def release(self, container_id: str, *, keep_anonymous: bool = False) -> None:
        """The container is gone: its anonymous volumes are removed, or kept until somebody removes them.

        Raises:
            SystemFailureError: the disk said no.
        """
        for name in [key for key, ids in self._held.items() if container_id in ids]:
            async with self._locks.of(name):
                volume = self._volumes.get(name)
                if volume and volume.is_anonymous and keep_anonymous and not volume.is_kept:
                    volume = self._volumes[name] = replace(volume, is_kept=True)
                    await _in_thread(self._disk.rewrite, volume)
                self._held.get(name, set()).discard(container_id)
                await self._remove_unheld(name)

    async def sweep(self, running: Collection[str] = ()) -> None:
        """After a crash: anonymous volumes that no container holds go, and mounts that none of these needs.

        Raises:
            SystemFailureError: the disk said no.
        """
        alive = set(running)
        for name, volume in list(self._volumes.items()):
            async with self._locks.of(name):
                used = self._held.get(name, set()) & alive
                if used:
                    self._running[name] = used
                else:
                    await _in_thread(self._disk.unmount, volume)
                await self._remove_unheld(name)

    async def _remove_unheld(self, name: str) -> None:
        """Takes away an anonymous volume that goes with its containers, when they are gone."""
        if self._held.get(name):
            return
        self._held.pop(name, None)
        volume = self._volumes.get(name)
        if volume is not None and volume.is_anonymous and not volume.is_kept:
            await self._remove(volume)

    def _tell(self, action: str, name: str, more: Mapping[str, str] | None = None) -> None:
        self._events.tell("volume", action, name, {**(more or {}), "driver": "local"})


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    with _disk_errors():
        return await asyncio.to_thread(work, *args)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except SwarmdError:
        raise
    except OSError as error:
        raise SystemFailureError(f"the disk of volumes: {error}") from error
