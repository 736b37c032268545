"""What a member keeps on disk: its journal and its snapshots in one directory, sealed with one key."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from manager.raft.disk import Directory, open_directory
from manager.raft.journal import Journal
from manager.raft.key_file import KEY_NAME, KeyFile
from manager.raft.seal import Seal
from manager.raft.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a member's journal and snapshots are, and how they are opened."""

    open_directory: Callable[[], Directory]
    load_seal: Callable[[], Seal]
    keep_keys: Callable[[Seal], None] = lambda _: None
    """Told the seal once all files that count have been opened with it, so that keys of others may go."""

    @classmethod
    def at(cls, path: Path, keys: KeyFile | None = None) -> Self:
        """In a directory of the machine, the keys beside them."""
        file = keys if keys is not None else KeyFile(path / KEY_NAME)

        return cls(lambda: open_directory(path), file.new_seal, file.keep_only)

    def open(self) -> "Opened":
        """Opens both for this process alone; blocks.

        Raises:
            LockedError: the key is sealed, and was not unlocked.
            JournalDamagedError: the log is not what was written.
            SnapshotDamagedError: the newest snapshot is not what was written.
            SystemFailureError: the machine refuses, or another process has them open.
        """
        directory = self.open_directory()
        try:
            seal = self.load_seal()
            snapshots = Snapshots.load(directory, seal)
            journal = Journal.open(directory, seal, snapshots.position)
        except BaseException:
            directory.close()
            raise
        self.keep_keys(seal)
        return Opened(directory, journal, snapshots)


@dataclass(frozen=True, slots=True)
class Opened:
    """A member's open journal and snapshots."""

    directory: Directory
    journal: Journal
    snapshots: Snapshots

    def close(self) -> None:
        """Writes what is left to write, unless a write has failed, and lets go; blocks."""
        try:
            self.journal.close()
        finally:
            self.directory.close()
