"""Takes a snapshot from the leader, part by part, and puts it in the place of log and state."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from manager.raft.configuration import unpack_configuration
from manager.raft.elsewhere import Elsewhere
from manager.raft.following import Following
from manager.raft.member import Member
from manager.raft.messages import SnapshotOffer, SnapshotPart, SnapshotWanted
from manager.raft.snapshot_file import SnapshotDamagedError, SnapshotMeta
from manager.raft.snapshots import Snapshots, SnapshotWriter

_log = logging.getLogger("swarmd.raft.installing")


@dataclass(slots=True)
class _Install:
    """A snapshot that is coming in."""

    meta: SnapshotMeta
    writer: SnapshotWriter | None = None
    taken: int = 0
    """Parts that came in, in order."""
    written: int = 0
    """Parts that are written: it asks for the next."""
    queue: deque[bytes] = field(default_factory=deque)
    writes: bool = False
    is_restoring: bool = False


class Installing:
    """At most one snapshot that is coming in."""

    def __init__(
        self, member: Member, following: Following, snapshots: Snapshots, elsewhere: Elsewhere
    ) -> None:
        self._member, self._around, self._following = member, member.around, following
        self._snapshots, self._elsewhere = snapshots, elsewhere
        self._install: _Install | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a snapshot is coming in."""
        return self._install is not None

    @property
    def is_restoring(self) -> bool:
        """Whether the log is about to be replaced: nothing may be added to it now."""
        return self._install is not None and self._install.is_restoring

    def on_offer(self, offer: SnapshotOffer) -> None:
        """The leader has a snapshot for this member: says what of it is wanted."""
        self._following.round = max(self._following.round, offer.round)
        if self._has_entry(offer.index, offer.index_term):
            if not self.is_restoring:
                self._abandon()
                self._member.commit_through(offer.index)
                self._following.installed(offer.index)
            return
        meta = SnapshotMeta(
            index=offer.index,
            term=offer.index_term,
            configuration=offer.configuration,
            parts=offer.parts,
            size_bytes=offer.size_bytes,
            digest=offer.digest,
        )
        if self._install is None or self._install.meta != meta:
            if self.is_restoring:
                return
            self._abandon()
            self._install = _Install(meta)
        self._want(self._install)
        self._write_next(self._install)  # a snapshot of an empty state has no parts

    def on_part(self, part: SnapshotPart) -> None:
        """Takes the next part; any other is asked for again."""
        install = self._install
        if install is None or part.index != install.meta.index or part.number != install.taken:
            return
        install.taken += 1
        install.queue.append(part.data)
        self._write_next(install)

    def _has_entry(self, index: int, term: int) -> bool:
        journal = self._member.journal
        if index <= self._member.commit:
            return True
        return index <= journal.last_index and journal.term_of(index) == term

    def _want(self, install: _Install) -> None:
        if self._member.leader is not None:
            self._around.links.send(
                self._member.leader,
                SnapshotWanted(
                    term=self._member.term,
                    index=install.meta.index,
                    part=install.written,
                    round=self._following.round,
                ),
            )

    # -------------------------------------------------------------------------------------- writing

    def _write_next(self, install: _Install) -> None:
        if install.writes or install.is_restoring:
            return
        if install.queue:
            install.writes = True
            data = install.queue.popleft()
            self._elsewhere.do(
                "a snapshot cannot be written",
                lambda: self._write(install, data),
                lambda _none: self._wrote(install),
            )
        elif install.written == install.meta.parts:
            if self._has_entry(install.meta.index, install.meta.term):
                self._abandon()  # the log came that far meanwhile
                return
            install.is_restoring = True
            self._elsewhere.do(
                "a snapshot cannot be taken over",
                lambda: self._finish(install),
                lambda swap: self._finished(install, swap),
                self._failed,
            )

    def _write(self, install: _Install, data: bytes) -> None:
        """In the worker's thread."""
        self._writer_of(install).add(data)

    def _writer_of(self, install: _Install) -> SnapshotWriter:
        if install.writer is None:
            meta = install.meta
            install.writer = self._snapshots.create(meta.index, meta.term, meta.configuration)
        return install.writer

    def _wrote(self, install: _Install) -> None:
        install.writes = False
        install.written += 1
        if self._install is not install:
            self._throw_away(install)
            return
        self._want(install)
        self._write_next(install)

    def _finish(self, install: _Install) -> Callable[[], None]:
        """In the worker's thread: makes the snapshot durable, and a state of it."""
        meta = self._writer_of(install).finish(install.meta.digest)
        with self._snapshots.open(meta) as reader:
            return self._around.machine.restore(reader)

    def _finished(self, install: _Install, swap: Callable[[], None]) -> None:
        meta = install.meta
        self._install = None
        swap()
        self._member.restart_after(meta.index, meta.term, unpack_configuration(meta.configuration))
        self._following.installed(meta.index)
        _log.info("took a snapshot over", extra={"index": meta.index, "bytes": meta.size_bytes})

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, SnapshotDamagedError):
            self._elsewhere.broke("a snapshot cannot be taken over", error)
            return
        _log.error("a snapshot came in damaged: asking again", extra={"reason": str(error)})
        self._install = None

    def _abandon(self) -> None:
        if self._install is not None:
            install, self._install = self._install, None
            if not install.writes:
                self._throw_away(install)

    def _throw_away(self, install: _Install) -> None:
        if install.writer is not None:
            self._elsewhere.do(
                "a snapshot cannot be removed", install.writer.abort, lambda _none: None
            )
