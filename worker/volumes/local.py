"""The node's volumes: directories with a name, which outlive the containers that use them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from common.clock import Clock
from common.codec import CodecError, decode, encode
from common.errors import NotFoundError, SystemFailureError
from common.events import EventLog
from common.ids import IdSource
from common.model.container_spec import Mount
from worker.kernel.trees import remove_tree
from worker.volumes.fill import fill
from worker.volumes.names import check_name, check_options
from worker.volumes.place import VolumePlace

_DATA = "_data"
_RECORD = "record"
_NEW = ".new-"
_GONE = ".gone-"

T = TypeVar("T")
Fill = Callable[[Sequence[str], str, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as it is kept."""

    name: str
    created_at: float
    is_anonymous: bool = False
    """It goes with its container."""
    labels: Mapping[str, str] = field(default_factory=dict)


class LocalVolumes:
    """Implements ``worker.containers.ports.Volumes``. ``open`` comes first."""

    def __init__(
        self, root: str, clock: Clock, events: EventLog, new_name: IdSource, *, fill: Fill = fill
    ) -> None:
        self._root, self._clock, self._events = Path(root), clock, events
        self._new_name, self._fill = new_name, fill
        self._volumes: dict[str, Volume] = {}
        self._held: dict[str, set[str]] = {}  # name -> container ids
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Reads what is on disk and removes what a crash left half made or half gone.

        Raises:
            SystemFailureError: the disk said no.
        """
        self._volumes = await _in_thread(self._read_all)

    def _read_all(self) -> dict[str, Volume]:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o711)
        found = {}
        for path in self._root.iterdir():
            if path.name.startswith("."):
                remove_tree(str(path))
                continue
            found[path.name] = self._read(path)
        return found

    def _read(self, path: Path) -> Volume:
        try:
            return decode(Volume, (path / _RECORD).read_bytes())
        except (
            FileNotFoundError,
            CodecError,
        ):  # the content counts: it is never thrown away for this
            return Volume(name=path.name, created_at=path.stat().st_mtime)

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
        return str(self._root / name / _DATA)

    def users(self, name: str) -> frozenset[str]:
        """The containers that use a volume."""
        return frozenset(self._held.get(name, ()))

    # -------------------------------------------------------------------------------- in use

    async def acquire(
        self, mount: Mount, container_id: str, *, layers: Sequence[str]
    ) -> VolumePlace:
        """The volume of a mount for a container: found, or made and filled with what the image has at its target."""
        check_options(mount)
        if mount.source:
            check_name(mount.source)
        options = mount.volume_options
        async with self._making:
            volume = self._volumes.get(mount.source) or Volume(
                name=mount.source or self._new_name(),
                created_at=self._clock.now(),
                is_anonymous=not mount.source,
                labels=options.labels if options else {},
            )
            self.hold(volume.name, container_id)
            source = () if options and options.no_copy else layers
            if volume.name not in self._volumes:
                await _in_thread(self._make, volume, source, mount.target)
                self._volumes[volume.name] = volume
                self._tell("create", volume)
            elif self.users(volume.name) == {container_id}:
                await _in_thread(self._fill_empty, volume, source, mount.target)
        return VolumePlace(name=volume.name, path=self.path(volume.name))

    def hold(self, name: str, container_id: str) -> None:
        """Says again, after a restart, what ``acquire`` began."""
        self._held.setdefault(name, set()).add(container_id)

    async def release(self, container_id: str) -> None:
        """The container is gone: its anonymous volumes are removed, named ones stay."""
        async with self._making:
            for holders in self._held.values():
                holders.discard(container_id)
        await self.sweep()

    async def sweep(self) -> None:
        """Removes anonymous volumes that no container holds: what a crash has left behind."""
        async with self._making:
            self._held = {name: holders for name, holders in self._held.items() if holders}
            for volume in self.all():
                if volume.is_anonymous and volume.name not in self._held:
                    await _in_thread(self._remove, volume.name)
                    del self._volumes[volume.name]
                    self._tell("destroy", volume)

    # ------------------------------------------------------------------------------ in a thread

    def _make(self, volume: Volume, layers: Sequence[str], target: str) -> None:
        """A new volume appears whole, under its name, or not at all."""
        new = self._root / f"{_NEW}{volume.name}"
        remove_tree(str(new))
        try:
            (new / _DATA).mkdir(parents=True)
            new.chmod(0o701)
            self._fill(layers, target, str(new / _DATA))
            (new / _RECORD).write_bytes(encode(volume))
            new.rename(self._root / volume.name)
        except BaseException:
            remove_tree(str(new))
            raise

    def _fill_empty(self, volume: Volume, layers: Sequence[str], target: str) -> None:
        """An empty volume that nobody else uses is filled as a new one is."""
        data = Path(self.path(volume.name))
        if any(data.iterdir()):
            return
        new = self._root / f"{_NEW}{volume.name}"
        remove_tree(str(new))
        try:
            (new / _DATA).mkdir(parents=True)
            if self._fill(layers, target, str(new / _DATA)):
                (new / _DATA).rename(data)
        finally:
            remove_tree(str(new))

    def _remove(self, name: str) -> None:
        gone = self._root / f"{_GONE}{name}"
        remove_tree(str(gone))
        (self._root / name).rename(gone)
        remove_tree(str(gone))

    def _tell(self, action: str, volume: Volume) -> None:
        self._events.tell("volume", action, volume.name, {"driver": "local"})


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    with _disk_errors():
        return await asyncio.to_thread(work, *args)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemFailureError(f"the disk of volumes: {error}") from error
