"""A file whose power can fail: what was not synced may be gone, in part or with holes."""

import errno
import random

SECTOR = 512


class FakeFile:
    def __init__(self, content: bytes = b"", *, syncs: bool = True) -> None:
        self.name = "journal"
        self.durable = content
        self.unsynced = b""
        self.syncs = syncs
        self.fails: int | None = None
        """Appended bytes from now on after which the disk is full; None: never."""
        self.sync_fails = False
        self.closed = False

    def read(self) -> bytes:
        return self.durable + self.unsynced

    def append(self, data: bytes) -> None:
        room = len(data) if self.fails is None else min(self.fails, len(data))
        self.unsynced += data[:room]
        if self.fails is not None:
            self.fails -= room
        if room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        if self.syncs:
            self.durable, self.unsynced = self.durable + self.unsynced, b""

    def truncate(self, size: int) -> None:
        kept = self.read()[:size]
        self.durable, self.unsynced = kept[: len(self.durable)], kept[len(self.durable) :]

    def close(self) -> None:
        self.closed = True

    def after_power_loss(self, chance: random.Random) -> "FakeFile":
        """What may stand on the disk: the durable part, and of the rest some sectors, up to some length."""
        survives = bytearray(self.unsynced[: chance.randint(0, len(self.unsynced))])
        for start in range(0, len(survives), SECTOR):
            if chance.random() < 0.3:
                size = len(survives[start : start + SECTOR])
                survives[start : start + SECTOR] = bytes(size)
        return FakeFile(self.durable + bytes(survives), syncs=self.syncs)
