"""What must survive a restart of the agent: its tasks and how it last saw them, in one file that is appended to.

Each record is its length, its checksum and its bytes; the latest of a task counts. Appending costs a hundredth of
replacing a file. Nothing is synced to the disk: after a crash of the machine nothing runs any more, and the manager
tells again. What follows a damaged record is dropped for the same reason.
"""

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.codec import CodecError, decode, encode, tagged
from common.files import NEW_SUFFIX
from common.model.task import Task, TaskStatus

COMPACT_RECORDS_MIN: Final = 1000
"""Records that no longer count before the file is written anew, once they are also more than those that do."""
_HEAD: Final = struct.Struct(">II")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A task of this node, and its status as last reported."""

    task: Task
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """A task that is no longer this node's."""

    task_id: str


_Record = Remembered | Forgotten
tagged(Remembered, Forgotten)


class Memory:
    """The agent's tasks, in a file. ``load`` opens it, ``close`` closes it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._live: dict[str, Remembered] = {}
        self._records = 0
        self._descriptor: int | None = None

    def load(self) -> list[Remembered]:
        """Everything remembered.

        Raises:
            OSError: the file cannot be read or written.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self.close()
        self._descriptor = self._open(self._file)
        self._live.clear()
        sound = 0
        for record, end in _records(self._file.read_bytes()):
            self._note(record)
            self._records += 1
            sound = end
        os.ftruncate(self._descriptor, sound)
        return list(self._live.values())

    def save(self, task: Task, status: TaskStatus) -> None:
        """Remembers a task as it stands now.

        Raises:
            OSError: it could not be written; what was written before stands.
        """
        self._append(Remembered(task=task, status=status))

    def forget(self, task_id: str) -> None:
        """The task is no longer this node's; one that is unknown is fine.

        Raises:
            OSError: as ``save``.
        """
        if task_id in self._live:
            self._append(Forgotten(task_id=task_id))

    def close(self) -> None:
        """Lets go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._records = 0

    def clear(self) -> None:
        """Forgets everything."""
        self.close()
        self._live.clear()
        self._file.unlink(missing_ok=True)

    def _append(self, record: _Record) -> None:
        assert self._descriptor is not None, "load() comes first"  # noqa: S101
        _write_whole(self._descriptor, _framed(record))
        self._note(record)
        self._records += 1
        outdated = self._records - len(self._live)
        if outdated > max(COMPACT_RECORDS_MIN, len(self._live)):
            self._write_anew()

    def _note(self, record: _Record) -> None:
        match record:
            case Remembered(task=task):
                self._live[task.id] = record
            case Forgotten(task_id=task_id):
                self._live.pop(task_id, None)

    def _write_anew(self) -> None:
        """Puts a file in place that holds only what counts."""
        new = self._file.with_name(self._file.name + NEW_SUFFIX)
        new.touch(mode=0o600)  # environments hold secrets
        new.write_bytes(b"".join(map(_framed, self._live.values())))
        new.replace(self._file)
        self.close()
        self._descriptor = self._open(self._file)
        self._records = len(self._live)

    @staticmethod
    def _open(file: Path) -> int:
        return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _framed(record: _Record) -> bytes:
    data = encode(record)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def _records(data: bytes) -> Iterator[tuple[_Record, int]]:
    """Each record with the place where it ends, up to the first that is not sound."""
    place = 0
    while place < len(data):
        try:
            length, checksum = _HEAD.unpack_from(data, place)
            body = data[place + _HEAD.size : place + _HEAD.size + length]
            if len(body) != length or zlib.crc32(body) != checksum:
                raise CodecError("the checksum is wrong")  # noqa: TRY301 - one way to end
            record: _Record = decode(_Record, body)  # type: ignore[arg-type]  # a union is a kind, too
        except (CodecError, struct.error) as error:
            _log.warning("the tasks remembered are damaged from byte %d on: %s", place, error)
            return
        place += _HEAD.size + length
        yield record, place


def _write_whole(descriptor: int, data: bytes) -> None:
    """Appends all of it or nothing."""
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, data) != len(data):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
