"""A disk whose power can fail: what a process sees and what survives are kept apart.

A ``Disk`` is what stands on one machine. A process takes its ``directory()``, a ``manager.raft.disk.Directory``. When
the process ends (``kill``) the next one finds everything that was written; when the power fails (``lose_power``) it
finds what was synced, and of the rest whatever chance leaves:

- of a file, any length between the durable and the last one, and of each sector of 512 bytes the durable or the last
  content (zeros where there was none);
- of names, any part of what was created, renamed and removed since the directory was synced, in their order.

Either way the handles of the process before are dead: whatever it still does raises ``PowerLostError``.
``lose_power_at`` lets the power fail within a certain operation, which then happens in part, ``kill_at`` ends the
process there. ``refuse`` is asked before
each operation and may give an errno to fail with; ``bytes_free`` makes the disk full. ``syncs`` and ``syncs_names``
switched off make it a disk whose drive lies: for showing that a test would notice.
"""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

SECTOR = 512


class PowerLostError(Exception):
    """The power is gone, or the process that does this is. Nothing may be concluded from it."""


@dataclass(eq=False)
class _Inode:
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced_from: int = 0
    """Before it, both are alike: a sync need not copy it."""

    def change_from(self, offset: int) -> None:
        self.unsynced_from = min(self.unsynced_from, offset)

    def sync(self) -> None:
        self.durable[self.unsynced_from :] = self.seen[self.unsynced_from :]
        self.unsynced_from = len(self.seen)

    def survives(self, chance: random.Random) -> "_Inode":
        """What may be found of it after the power failed."""
        if self.seen == self.durable:
            self.unsynced_from = len(self.seen)
            return self
        low, high = sorted((len(self.durable), len(self.seen)))
        size = chance.choice((low, high, chance.randint(low, high)))
        content = bytearray(self.durable[:size].ljust(size, b"\0"))
        everything = chance.random() < 0.3  # else hardly anything large ever survives whole
        for start in range(0, size, SECTOR):
            if everything or chance.random() < 0.5:
                content[start : start + SECTOR] = self._sector(start, min(SECTOR, size - start))
        return _Inode(content, bytearray(content), len(content))

    def _sector(self, start: int, size: int) -> bytes:
        return bytes(self.seen[start : start + size]).ljust(size, b"\0")


_Names = dict[str, _Inode]


@dataclass(frozen=True)
class _Rename:
    old: str
    new: str
    inode: _Inode

    def on(self, names: _Names) -> None:
        names.pop(self.old, None)
        names[self.new] = self.inode


@dataclass(frozen=True)
class _Create:
    name: str
    inode: _Inode

    def on(self, names: _Names) -> None:
        names[self.name] = self.inode


@dataclass(frozen=True)
class _Remove:
    name: str

    def on(self, names: _Names) -> None:
        names.pop(self.name, None)


class Disk:
    """What stands on a machine's disk, of one directory."""

    def __init__(self, chance: random.Random, name: str = "disk") -> None:
        self.name = name
        self.operations = 0
        """How many operations were done on it; ``lose_power_at`` counts in these."""
        self.lose_power_at: int | None = None
        """The operation within which the power fails."""
        self.kill_at: int | None = None
        """The operation within which the process is killed."""
        self.bytes_free: int | None = None
        """How much more may be written before the disk is full; None: no end."""
        self.refuse: Callable[[str, str], int | None] = lambda _operation, _name: None
        """``refuse(operation, file name)`` gives the errno to fail with, or None."""
        self.syncs = True
        self.syncs_names = True
        self.is_on = True
        self._chance = chance
        self._names: _Names = {}
        self._durable_names: _Names = {}
        self._unsynced: list[_Create | _Rename | _Remove] = []
        self._life = 0

    def directory(self) -> "LossyDirectory":
        """The directory as a new process sees it; a process before must have ended."""
        self._life += 1
        self.is_on = True
        return LossyDirectory(self, self._life)

    def kill(self) -> None:
        """Ends the process: nothing that it wrote is lost, but nothing becomes durable either."""
        self._life += 1
        self.lose_power_at, self.kill_at = None, None

    def lose_power(self) -> None:
        """Ends the process and leaves of what is not durable whatever chance leaves."""
        self._life += 1
        self.is_on, self.lose_power_at, self.kill_at = False, None, None
        names = dict(self._durable_names)
        for change in self._unsynced:
            if self._chance.random() < 0.5:
                change.on(names)
        survivors: dict[int, _Inode] = {}
        for inode in names.values():
            survivors.setdefault(id(inode), inode.survives(self._chance))
        self._names = {name: survivors[id(inode)] for name, inode in names.items()}
        self._durable_names = dict(self._names)
        self._unsynced.clear()

    # ------------------------------------------------------------- for tests that look or damage

    def names(self) -> list[str]:
        """What a process would find."""
        return sorted(self._names)

    def content(self, name: str) -> bytes:
        """What a process would find in that file."""
        return bytes(self._names[name].seen)

    def put(self, name: str, content: bytes) -> None:
        """Has a file hold that, durably: damage."""
        self._names[name] = _Inode(bytearray(content), bytearray(content), len(content))
        self._durable_names[name] = self._names[name]

    def take_away(self, name: str) -> None:
        """Has a file gone, durably: damage."""
        del self._names[name]
        self._durable_names.pop(name, None)

    # ------------------------------------------------------------------------- for its handles

    def begin(self, life: int, operation: str, name: str) -> bool:
        """Counts an operation; True: the process ends within it."""
        self.check_alive(life, operation, name)
        self.operations += 1
        if (number := self.refuse(operation, name)) is not None:
            raise OSError(number, os.strerror(number), name)
        ends = (self.lose_power_at, self.kill_at)
        return any(end is not None and self.operations >= end for end in ends)

    def check_alive(self, life: int, operation: str, name: str) -> None:
        """Refuses what a process does that has ended."""
        if life != self._life:
            raise PowerLostError(f"{operation} of {name} by a process that has ended")

    def end(self, operation: str, name: str) -> None:
        """The power fails, or the process is killed."""
        killed = self.kill_at is not None and self.operations >= self.kill_at
        if killed:
            self.kill()
        else:
            self.lose_power()
        what = "killed" if killed else "power failed"
        raise PowerLostError(f"{what} at {operation} of {name}")

    def is_half(self) -> bool:
        """Whether an operation within which the power fails happened all the same."""
        return self._chance.random() < 0.5

    def room_for(self, size: int) -> int:
        """How much of that many bytes may still be written."""
        if self.bytes_free is None:
            return size
        room = min(size, self.bytes_free)
        self.bytes_free -= room
        return room

    def give_back(self, size: int) -> None:
        """So much is free again."""
        if self.bytes_free is not None:
            self.bytes_free += size


class LossyFile:
    """A ``File`` on such a disk."""

    def __init__(self, disk: Disk, life: int, inode: _Inode, short_name: str) -> None:
        self._disk, self._life, self._inode, self._short = disk, life, inode, short_name
        self.name = f"{disk.name}/{short_name}"

    def size(self) -> int:
        self._do("size")
        return len(self._inode.seen)

    def read(self, offset: int, size: int) -> bytes:
        self._do("read")
        return bytes(self._inode.seen[offset : offset + size])

    def write(self, data: bytes, offset: int) -> None:
        def put() -> None:
            seen = self._inode.seen
            self._inode.change_from(min(offset, len(seen)))
            growth = max(offset + len(data) - len(seen), 0)
            fits = len(data) - growth + self._disk.room_for(growth)
            if offset > len(seen):
                seen.extend(bytes(offset - len(seen)))
            seen[offset : offset + fits] = data[:fits]
            if fits < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)

        self._do("write", put)

    def allocate(self, size: int) -> None:
        def put() -> None:
            self._inode.change_from(len(self._inode.seen))
            growth = max(size - len(self._inode.seen), 0)
            self._inode.seen.extend(bytes(self._disk.room_for(growth)))

        self._do("allocate", put)

    def truncate(self, size: int) -> None:
        def cut() -> None:
            self._inode.change_from(size)
            self._disk.give_back(max(len(self._inode.seen) - size, 0))
            del self._inode.seen[size:]

        self._do("truncate", cut)

    def sync(self) -> None:
        def become_durable() -> None:
            if self._disk.syncs:
                self._inode.sync()

        self._do("sync", become_durable)

    def close(self) -> None:
        """Closing does nothing to a disk."""

    def _do(self, operation: str, change: Callable[[], None] = lambda: None) -> None:
        fails = self._disk.begin(self._life, operation, self._short)
        if not fails or self._disk.is_half():
            change()
        if fails:
            self._disk.end(operation, self._short)


class LossyDirectory:
    """A ``Directory`` on such a disk."""

    def __init__(self, disk: Disk, life: int) -> None:
        self._disk, self._life, self.name = disk, life, disk.name

    def list(self) -> list[str]:
        self._do("list", self.name)
        return list(self._disk._names)

    def create(self, name: str) -> LossyFile:
        inode = _Inode()
        self._do("create", name, _Create(name, inode))
        return LossyFile(self._disk, self._life, inode, name)

    def open(self, name: str) -> LossyFile:
        self._do("open", name)
        return LossyFile(self._disk, self._life, self._inode(name), name)

    def rename(self, old: str, new: str) -> None:
        self._do("rename", old, _Rename(old, new, self._inode(old)))

    def remove(self, name: str) -> None:
        self._inode(name)
        self._do("remove", name, _Remove(name))

    def sync(self) -> None:
        fails = self._disk.begin(self._life, "sync_names", self.name)
        if (not fails or self._disk.is_half()) and self._disk.syncs_names:
            self._disk._durable_names = dict(self._disk._names)
            self._disk._unsynced.clear()
        if fails:
            self._disk.end("sync_names", self.name)

    def close(self) -> None:
        """Closing does nothing to a disk."""

    def _inode(self, name: str) -> _Inode:
        self._disk.check_alive(self._life, "use", name)
        if name not in self._disk._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._disk._names[name]

    def _do(
        self, operation: str, name: str, change: _Create | _Rename | _Remove | None = None
    ) -> None:
        fails = self._disk.begin(self._life, operation, name)
        if change is not None and (not fails or self._disk.is_half()):
            change.on(self._disk._names)
            self._disk._unsynced.append(change)
        if fails:
            self._disk.end(operation, name)
