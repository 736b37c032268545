"""Marks of containers that were started and have no exit record yet: a file each, for a supervisor that comes later."""

import os

RUNNING = "running"
"""Their directory, below the exec root."""


class Marks:
    """All of one daemon's containers."""

    def __init__(self, exec_root: str) -> None:
        self._directory = f"{exec_root}/{RUNNING}"

    def all(self) -> list[str]:
        """Ids of the containers that have one."""
        return sorted(os.listdir(self._directory))

    def has(self, container_id: str) -> bool:
        """Whether this one has."""
        return os.path.exists(self._path(container_id))

    def set(self, container_id: str) -> None:
        """It is about to be started."""
        path = self._path(container_id)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def clear(self, container_id: str) -> None:
        """Its end is recorded, or it was never started; may be said again."""
        if self.has(container_id):
            os.unlink(self._path(container_id))

    def _path(self, container_id: str) -> str:
        return f"{self._directory}/{container_id}"
