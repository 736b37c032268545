"""What must survive a restart of the agent: its tasks and how it last saw them, a file each.

Files are replaced whole, so a reader sees the old or the new one. They are not synced to the disk: after a crash of
the machine nothing runs any more, and the manager tells again.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.codec import CodecError, decode, encode
from common.model.task import Task, TaskStatus

_NEW = ".new"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A task of this node, and its status as last reported."""

    task: Task
    status: TaskStatus


class Memory:
    """The agent's tasks, in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self) -> list[Remembered]:
        """Everything remembered. A file that cannot be read is dropped: the manager tells of its task again."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return list(self._read_all())

    def _read_all(self) -> Iterator[Remembered]:
        for file in sorted(self._directory.iterdir()):
            if file.name.endswith(_NEW):
                file.unlink()
                continue
            try:
                yield decode(Remembered, file.read_bytes())
            except CodecError as error:
                _log.warning("forgetting task %s, its file is damaged: %s", file.name, error)
                file.unlink()

    def save(self, task: Task, status: TaskStatus) -> None:
        """Remembers a task as it stands now."""
        file = self._directory / task.id
        new = file.with_name(task.id + _NEW)
        new.write_bytes(encode(Remembered(task=task, status=status)))
        new.replace(file)

    def forget(self, task_id: str) -> None:
        """The task is no longer this node's; one that is unknown is fine."""
        (self._directory / task_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forgets everything."""
        for file in self._directory.iterdir() if self._directory.exists() else ():
            file.unlink()
