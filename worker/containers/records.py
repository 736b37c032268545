"""Containers' records on disk: one directory each, whole or not there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.codec import CodecError, decode, encode
from common.errors import SystemFailureError
from worker.containers.record import Container
from worker.kernel.trees import remove_tree

log = logging.getLogger("swarmd.containers")

_RECORD = "record"
_NEW = "record.new"
_GONE = ".gone-"


class Records:
    """The directory of all containers.

    A record is replaced by rename and not flushed: after a crash of swarmd the kernel still has it, and after a crash
    of the machine its container is gone anyway. A directory without a whole record is a container half made.
    """

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def directory(self, container_id: str) -> Path:
        """Everything that a container keeps across reboots."""
        return self._root / container_id

    def open(self) -> list[Container]:
        """All records; what is half made or half gone is removed."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o710)
        found = []
        for path in sorted(self._root.iterdir()):
            container = self._read(path)
            if container is None:
                log.warning("removing a container half made", extra={"container": path.name})
                remove_tree(str(path))
            else:
                found.append(container)
        return found

    def _read(self, path: Path) -> Container | None:
        if path.name.startswith(_GONE):
            return None
        try:
            container = decode(Container, (path / _RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError, CodecError):
            return None
        return container if container.id == path.name else None

    def make(self, container_id: str) -> Path:
        """The directory of a new container, with room for its files."""
        path = self.directory(container_id)
        path.mkdir(mode=0o710)
        for name in ("upper", "work"):
            (path / name).mkdir()
            (path / name).chmod(0o755)  # the upper one is the container's root directory
        return path

    def write(self, container: Container) -> None:
        """Replaces a container's record.

        Raises:
            SystemFailureError: the disk said no; the old record stands.
        """
        path = self.directory(container.id)
        with disk_errors():
            (path / _NEW).write_bytes(encode(container))
            (path / _NEW).rename(path / _RECORD)

    def remove(self, container_id: str) -> None:
        """Takes a container's directory away; once it has begun it is gone for whoever looks.

        Raises:
            OSError: the disk said no.
        """
        path, gone = self.directory(container_id), self._root / f"{_GONE}{container_id}"
        if path.exists():
            remove_tree(str(gone))
            path.rename(gone)
        remove_tree(str(gone))


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns the disk's refusals into ``SystemFailureError``."""
    try:
        yield
    except OSError as error:
        raise SystemFailureError(f"the disk of containers: {error}") from error
