"""Makes snapshots of the state from time to time, and lets go of the log that they cover."""

import asyncio
import logging

from manager.raft.configuration import pack_configuration
from manager.raft.elsewhere import Elsewhere
from manager.raft.log import ENTRY_BYTES_MAX
from manager.raft.member import Member
from manager.raft.settings import RaftSettings
from manager.raft.snapshot_file import SnapshotMeta
from manager.raft.snapshots import Snapshots

_log = logging.getLogger("swarmd.raft.making")


def is_due(entries: int, size: int, last_bytes: int, settings: RaftSettings) -> bool:
    """Whether so many entries and bytes since the last snapshot, of ``last_bytes``, are enough for the next.

    While less was written than a quarter of what the next one has to write, it waits for four times as much.
    """
    patience = 1 if size * 4 >= last_bytes else 4
    return entries > 0 and (
        entries >= settings.snapshot_entries * patience
        or size >= settings.snapshot_bytes * patience
    )


class Making:
    """The snapshot that is being made, if one is."""

    def __init__(self, member: Member, snapshots: Snapshots, elsewhere: Elsewhere) -> None:
        self._member, self._around = member, member.around
        self._snapshots, self._elsewhere = snapshots, elsewhere
        self._waiting: list[asyncio.Future[SnapshotMeta]] = []
        self._is_under_way = False
        self.bytes_since = sum(
            len(command) for command, index, _ in member.journal.entries if index > self._last
        )
        """Bytes of the commands behind the latest snapshot."""

    @property
    def _last(self) -> int:
        return self._snapshots.position.index

    def make_when_due(self) -> None:
        """Begins one when enough was applied since the last one."""
        if self._is_under_way:
            return
        latest = self._snapshots.latest
        if is_due(
            self._member.applied - self._last,
            self.bytes_since,
            latest.size_bytes if latest is not None else 0,
            self._around.settings,
        ):
            self._make()

    def now(self) -> "asyncio.Future[SnapshotMeta]":
        """Begins one at once; gives the snapshot of what is applied now, or later."""
        made: asyncio.Future[SnapshotMeta] = asyncio.get_running_loop().create_future()
        self._waiting.append(made)
        if not self._is_under_way:
            self._make()
        return made

    def _make(self) -> None:
        member, waiting = self._member, self._waiting
        self._is_under_way, self._waiting, self.bytes_since = True, [], 0
        index = member.applied
        term = member.journal.term_of(index)
        configuration = pack_configuration(member.configurations.at(index))
        parts = self._around.machine.snapshot()

        def write() -> SnapshotMeta:
            latest = self._snapshots.latest
            if latest is not None and latest.index >= index:
                return latest  # one from the leader came meanwhile
            with self._snapshots.create(index, term, configuration) as writer:
                for part in parts:
                    writer.add(part)
                return writer.finish()

        self._elsewhere.do(
            "a snapshot cannot be written", write, lambda meta: self._made(meta, waiting)
        )

    def _made(self, meta: SnapshotMeta, waiting: "list[asyncio.Future[SnapshotMeta]]") -> None:
        self._is_under_way = False
        member = self._member
        through = self._dispensable(min(meta.index, member.applied))
        if through > member.journal.before.index:
            member.journal.compact(through)
            member.configurations.compact(through)
        _log.info("made a snapshot", extra={"index": meta.index, "bytes": meta.size_bytes})
        for made in waiting:
            if not made.done():
                made.set_result(meta)
        if self._waiting:
            self._make()

    def _dispensable(self, covered: int) -> int:
        """Through where the log may go, when a snapshot covers it up to an entry."""
        settings, journal = self._around.settings, self._member.journal
        through = max(covered - settings.kept_entries, journal.before.index)
        kept = journal.between(through + 1, covered, ENTRY_BYTES_MAX * settings.kept_entries)
        size = sum(len(command) for command, _, _ in kept)
        for command, index, _term in kept:
            if size <= settings.kept_bytes:
                break
            size -= len(command)
            through = index
        return through

    def stop(self) -> None:
        """Nobody waits any more."""
        for made in self._waiting:
            made.cancel()
