"""The directory of all volumes: one directory each, whole or not there. Everything here blocks.

The content of a volume with options is mounted: only in a namespace of its own while it is filled, and on the host for
as long as a container runs with it (``local.py``). So nothing here ever removes what lies below such a mount.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from common.codec import CodecError, decode, encode
from worker.kernel.private_mounts import in_private_mounts
from worker.kernel.trees import remove_tree
from worker.volumes.fill import fill
from worker.volumes.mounting import MountOptions
from worker.volumes.volume import Volume

_DATA = "_data"
_RECORD = "record"
_NEW = ".new-"
_GONE = ".gone-"
_MEMORY = ("tmpfs", "ramfs")
ROOT_MODE = 0o710
"""Root in a container makes set-user-id programs in a volume: no user of the host may come to run them."""

Fill = Callable[[Sequence[str], str, str], bool]


class Mounting(Protocol):
    """Mounts what options ask for (``mounting.MountOptions`` does)."""

    def mount(self, options: Mapping[str, str], directory: str) -> None:
        """Mounts it there, if it is not."""
        ...

    def unmount(self, directory: str) -> None:
        """Takes it away, if it is there."""
        ...


class VolumeDisk:
    """Makes, fills and removes directories of volumes."""

    def __init__(self, root: str, *, fill: Fill = fill, mounting: Mounting | None = None) -> None:
        self._root, self._fill = Path(root), fill
        self._mounting = mounting or MountOptions()

    def path(self, name: str) -> str:
        """The directory of a volume's content."""
        return str(self._root / name / _DATA)

    def open(self) -> dict[str, Volume]:
        """All volumes; what is half made or half gone is removed."""
        self._root.mkdir(parents=True, exist_ok=True, mode=ROOT_MODE)
        self._root.chmod(ROOT_MODE)
        found = {}
        for path in self._root.iterdir():
            if path.name.startswith("."):
                remove_tree(str(path))
                continue
            found[path.name] = _read(path)
        return found

    def make(self, volume: Volume, layers: Sequence[str], target: str) -> None:
        """A new volume, filled with what the layers have at the target, appears whole under its name or not at all."""
        new = self._root / f"{_NEW}{volume.name}"
        remove_tree(str(new))
        try:
            (new / _DATA).mkdir(parents=True)
            new.chmod(0o701)
            if layers:
                self._fill_mounted(volume, layers, target, str(new / _DATA))
            self._record(volume, new)
            new.rename(self._root / volume.name)
        except BaseException:
            remove_tree(str(new))
            raise

    def fill_empty(self, volume: Volume, layers: Sequence[str], target: str) -> None:
        """An empty volume that nobody else uses is filled as a new one is."""
        data = Path(self.path(volume.name))
        if not layers:
            return
        if volume.options:
            self._fill_mounted(volume, layers, target, str(data))
            return
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

    def _fill_mounted(
        self, volume: Volume, layers: Sequence[str], target: str, directory: str
    ) -> None:
        """Fills a directory; with options, what they mount there, unless something is in it or it is only memory."""
        if not volume.options:
            self._fill(layers, target, directory)
        elif volume.options.get("type") not in _MEMORY:
            in_private_mounts(lambda: self._mount_and_fill(volume, layers, target, directory))

    def _mount_and_fill(
        self, volume: Volume, layers: Sequence[str], target: str, directory: str
    ) -> None:
        self._mounting.mount(volume.options, directory)
        if not any(Path(directory).iterdir()):
            self._fill(layers, target, directory)

    def rewrite(self, volume: Volume) -> None:
        """Records a volume as it is now."""
        self._record(volume, self._root / volume.name)

    @staticmethod
    def _record(volume: Volume, directory: Path) -> None:
        """What a user made must outlive a crash of the machine; what came with a container goes with it."""
        new = directory / f"{_RECORD}.new"
        with new.open("wb") as file:
            file.write(encode(volume))
            file.flush()
            if not volume.is_anonymous or volume.is_kept:
                os.fsync(file.fileno())
        new.rename(directory / _RECORD)

    def remove(self, volume: Volume) -> None:
        """Removes a volume; of one with options only the empty directory where its content was mounted."""
        self._mounting.unmount(self.path(volume.name))
        gone = self._root / f"{_GONE}{volume.name}"
        remove_tree(str(gone))
        if volume.options:
            Path(self.path(volume.name)).rmdir()
        (self._root / volume.name).rename(gone)
        remove_tree(str(gone))

    def mount(self, volume: Volume) -> None:
        """Mounts a volume's content on the host."""
        self._mounting.mount(volume.options, self.path(volume.name))

    def unmount(self, volume: Volume) -> None:
        """Ends what ``mount`` began."""
        if volume.options:
            self._mounting.unmount(self.path(volume.name))


def _read(path: Path) -> Volume:
    try:
        return decode(Volume, (path / _RECORD).read_bytes())
    except (FileNotFoundError, CodecError):  # the content counts: it is never thrown away for this
        return Volume(name=path.name, created_at=path.stat().st_mtime)
