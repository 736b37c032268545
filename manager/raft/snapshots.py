"""Snapshots of the state on disk: sealed, whole or not there, read part by part. The newest one is kept.

A snapshot is written under another name, synced, renamed, and its name synced, before it counts: so one that is seen
under its name and does not fit is damaged, and is refused rather than passed over. Only then the snapshot before goes,
and the part of the log that it covers (``Journal.compact``), or all of the log when it came from another member
(``Journal.restart_after``).
"""

import logging
import re
from types import TracebackType
from typing import Final, Self

from common.errors import SystemFailureError, TooLargeError
from manager.raft.disk import NEW_SUFFIX, Directory, File, told
from manager.raft.log import SNAPSHOT_PART_BYTES_MAX
from manager.raft.records import NOWHERE, Position
from manager.raft.seal import Seal
from manager.raft.snapshot_file import (
    CONFIGURATION_BYTES_MAX,
    PARTS_MAX,
    Digest,
    SnapshotDamagedError,
    SnapshotMeta,
    SnapshotReader,
    pack_snapshot_end,
    pack_snapshot_header,
)

_log = logging.getLogger("swarmd.raft.snapshots")

SYNC_BYTES: Final = 4 * 1024 * 1024
"""A snapshot that is being written is synced whenever this much has come, so that the log never waits for all of it."""
_NAME = re.compile(r"snapshot-(\d{16})")
_LEFT_OVER = re.compile(rf"snapshot-\d{{16}}\.\d+{re.escape(NEW_SUFFIX)}")


class SnapshotGoneError(SystemFailureError):
    """A newer snapshot has taken its place."""


class Snapshots:
    """The snapshots in one directory: the newest, and those under way."""

    def __init__(self, directory: Directory, seal: Seal) -> None:
        """Use ``load``."""
        self._directory, self._seal = directory, seal
        self._begun = 0
        self.latest: SnapshotMeta | None = None

    @classmethod
    def load(cls, directory: Directory, seal: Seal) -> Self:
        """Finds the newest snapshot, and takes away older ones and what an interrupted one left.

        Raises:
            SnapshotDamagedError: the newest is not what was written.
            SystemFailureError: the machine refuses.
        """
        self = cls(directory, seal)
        with told(f"open the snapshots in {directory.name}"):
            names = directory.list()
            for name in names:
                if _LEFT_OVER.fullmatch(name):
                    directory.remove(name)
            indexes = sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))
            if indexes:
                directory.sync()  # its name may so far stand in memory only
                with self._open(indexes[-1]) as reader:
                    self.latest = reader.meta
                for index in indexes[:-1]:
                    directory.remove(_name(index))
        return self

    @property
    def position(self) -> Position:
        """The entry that the newest ends with; ``NOWHERE`` when there is none."""
        return self.latest.position if self.latest is not None else NOWHERE

    def create(self, index: int, term: int, configuration: bytes) -> "SnapshotWriter":
        """Begins a snapshot of the state after the entry of that index.

        Raises:
            OSError: the machine refuses.
        """
        if index < self.position.index:
            raise ValueError(f"a snapshot of entry {index}, and there is one of {self.position}")
        if len(configuration) > CONFIGURATION_BYTES_MAX:
            raise TooLargeError(f"a configuration of {len(configuration)} bytes")
        self._begun += 1
        return SnapshotWriter(self, Position(index, term), configuration, self._begun)

    def open(self, meta: SnapshotMeta) -> "SnapshotReader":
        """That snapshot, for reading; it can be read to its end even when a newer one takes its place.

        Raises:
            SnapshotGoneError: a newer one has taken its place.
            SnapshotDamagedError: it is not what was written.
            SystemFailureError: the machine refuses.
        """
        with told(f"open the snapshot of entry {meta.index} in {self._directory.name}"):
            try:
                reader = self._open(meta.index)
            except FileNotFoundError as error:
                raise SnapshotGoneError(f"the snapshot of entry {meta.index} is gone") from error
        if reader.meta != meta:
            reader.close()
            raise SnapshotGoneError(f"the snapshot of entry {meta.index} is another one by now")
        return reader

    def _open(self, index: int) -> "SnapshotReader":
        file = self._directory.open(_name(index))
        try:
            reader = SnapshotReader(file, self._seal)
            reader.check_index(index)
        except BaseException:
            file.close()
            raise
        return reader

    def _new_file(self, name: str) -> File:
        return self._directory.create(name)

    def _discard(self, name: str) -> None:
        self._directory.remove(name)

    def _keep(self, meta: SnapshotMeta, name: str) -> SnapshotMeta:
        """Puts a whole, synced snapshot in the place of the one before, unless that one is newer."""
        before = self.latest
        if before is not None and before.index > meta.index:
            self._directory.remove(name)
            return before
        self._directory.rename(name, _name(meta.index))
        self._directory.sync()
        self.latest = meta
        if before is not None and before.index < meta.index:
            try:
                self._directory.remove(_name(before.index))
            except OSError as error:  # the new one is there; the next start takes the old one away
                _log.warning("cannot remove an old snapshot", extra={"error": str(error)})
        return meta


class SnapshotWriter:
    """A snapshot under way; one thread at a time uses it. Left without ``finish``, it is as if it had not been."""

    def __init__(
        self, snapshots: Snapshots, position: Position, configuration: bytes, serial: int
    ) -> None:
        self._snapshots, self.position, self._configuration = snapshots, position, configuration
        self._name = f"{_name(position.index)}.{serial}{NEW_SUFFIX}"
        self._lengths: list[int] = []
        self._bytes = 0
        self._digest = Digest(position, configuration)
        header, self._cipher = pack_snapshot_header(position, snapshots._seal)  # noqa: SLF001 - one module's
        self._file: File | None = snapshots._new_file(self._name)  # noqa: SLF001
        self._size = self._synced = 0
        try:
            self._write(header)
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def parts(self) -> int:
        """How many parts it has so far: the number of the next one."""
        return len(self._lengths)

    def add(self, part: bytes) -> None:
        """Writes the next part.

        Raises:
            TooLargeError: the part, or the snapshot with it.
            OSError: the machine refuses.
        """
        if len(part) > SNAPSHOT_PART_BYTES_MAX or self.parts >= PARTS_MAX:
            raise TooLargeError(f"part {self.parts} of a snapshot, of {len(part)} bytes")
        self._write(self._cipher.seal(self.parts, part))
        self._lengths.append(len(part))
        self._bytes += len(part)
        self._digest.add(part)
        if self._size - self._synced >= SYNC_BYTES:
            self._sync()

    def finish(self, digest: bytes | None = None) -> SnapshotMeta:
        """Makes it durable and the newest; gives the newest, which may be one that was finished meanwhile.

        Raises:
            SnapshotDamagedError: it is not the one with that ``digest``; it is thrown away.
            OSError: the machine refuses.
        """
        meta = SnapshotMeta(
            index=self.position.index,
            term=self.position.term,
            configuration=self._configuration,
            parts=self.parts,
            size_bytes=self._bytes,
            digest=self._digest.value(),
        )
        if digest is not None and digest != meta.digest:
            self.abort()
            raise SnapshotDamagedError(
                f"the snapshot of entry {meta.index} that was received is not the one that was sent"
            )
        self._write(pack_snapshot_end(meta, self._lengths, self._cipher))
        self._sync()
        self._open_file().close()
        self._file = None
        return self._snapshots._keep(meta, self._name)  # noqa: SLF001 - one module's

    def abort(self) -> None:
        """Throws it away, unless it was finished.

        Raises:
            OSError: the machine refuses.
        """
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
            self._snapshots._discard(self._name)  # noqa: SLF001 - one module's

    def _write(self, data: bytes) -> None:
        self._open_file().write(data, self._size)
        self._size += len(data)

    def _sync(self) -> None:
        self._open_file().sync()
        self._synced = self._size

    def _open_file(self) -> File:
        if self._file is None:
            raise ValueError("the snapshot is finished")
        return self._file


def _name(index: int) -> str:
    return f"snapshot-{index:016}"
