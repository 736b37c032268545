"""Feeds followers with a snapshot: offered, asked for part by part, sent a little ahead, gone on with after a break."""

from collections.abc import Collection
from dataclasses import dataclass

from manager.raft.elsewhere import Elsewhere
from manager.raft.member import BrokenPromiseError, Member
from manager.raft.messages import SnapshotOffer, SnapshotPart, SnapshotWanted
from manager.raft.snapshot_file import SnapshotMeta, SnapshotReader
from manager.raft.snapshots import SnapshotGoneError, Snapshots


@dataclass(slots=True)
class _Feed:
    """One follower that is being fed."""

    meta: SnapshotMeta
    reader: SnapshotReader | None = None
    wanted: int | None = None
    """The next part that it lacks; None: it has not said."""
    next: int = 0
    """The next part to send."""
    moved_at: float = 0.0
    """When it last asked for more, or was sent something after a pause."""
    reads: bool = False


class Feeding:
    """The snapshots under way to followers."""

    def __init__(self, member: Member, snapshots: Snapshots, elsewhere: Elsewhere) -> None:
        self._member, self._around = member, member.around
        self._snapshots, self._elsewhere = snapshots, elsewhere
        self._feeds: dict[str, _Feed] = {}

    def feed(self, peer: str, reads_round: int, *, offers: bool) -> None:
        """Sends what may be sent now; ``offers``: says again which snapshot it is."""
        feed = self._feeds.get(peer)
        if feed is None:
            meta = self._snapshots.latest
            if meta is None:
                raise BrokenPromiseError("the log was compacted, and there is no snapshot")
            feed = self._feeds[peer] = _Feed(meta)
            offers = True
        if offers:
            self._offer(peer, feed, reads_round)
        self._send_next(peer, feed)

    def on_wanted(self, peer: str, wanted: SnapshotWanted) -> None:
        """The follower lacks the parts from one on."""
        feed = self._feeds.get(peer)
        if feed is None or wanted.index != feed.meta.index:
            return
        now = self._around.clock.monotonic()
        stall_ends = feed.moved_at + self._around.settings.snapshot_stall_seconds
        if feed.wanted is None or wanted.part > feed.wanted:
            feed.wanted, feed.moved_at = wanted.part, now
            feed.next = max(feed.next, wanted.part)
        elif wanted.part == feed.wanted and now >= stall_ends:  # what was sent is lost
            feed.next, feed.moved_at = wanted.part, now
        self._send_next(peer, feed)

    def is_done(self, peer: str, match: int) -> bool:
        """Whether a follower that has everything up to ``match`` needs the snapshot no more."""
        feed = self._feeds.get(peer)
        if feed is not None and match < feed.meta.index:
            return False
        self._drop(peer)
        return True

    def link_changed(self, peer: str) -> None:
        """What was under way is lost; the follower says again what it lacks."""
        feed = self._feeds.get(peer)
        if feed is not None:
            feed.wanted, feed.next = None, 0

    def forget_but(self, peers: Collection[str]) -> None:
        """Stops feeding everyone else."""
        for gone in [peer for peer in self._feeds if peer not in peers]:
            self._drop(gone)

    def _offer(self, peer: str, feed: _Feed, reads_round: int) -> None:
        meta = feed.meta
        self._around.links.send(
            peer,
            SnapshotOffer(
                term=self._member.term,
                index=meta.index,
                index_term=meta.term,
                parts=meta.parts,
                size_bytes=meta.size_bytes,
                digest=meta.digest,
                configuration=meta.configuration,
                round=reads_round,
            ),
        )

    def _send_next(self, peer: str, feed: _Feed) -> None:
        if feed.reads or feed.wanted is None or feed.next >= feed.meta.parts:
            return
        if feed.next - feed.wanted >= self._around.settings.snapshot_parts_in_flight:
            return
        feed.reads = True
        number = feed.next
        self._elsewhere.do(
            "a snapshot cannot be read",
            lambda: self._read(feed, number),
            lambda data: self._send(peer, feed, number, data),
            lambda error: self._cannot_read(peer, feed, error),
        )

    def _cannot_read(self, peer: str, feed: _Feed, error: BaseException) -> None:
        if not isinstance(error, SnapshotGoneError):
            self._elsewhere.broke("a snapshot cannot be read", error)
        elif self._feeds.get(peer) is feed:
            del self._feeds[peer]  # a newer one took its place before this one was opened

    def _read(self, feed: _Feed, number: int) -> bytes:
        """In the worker's thread."""
        if feed.reader is None:
            feed.reader = self._snapshots.open(feed.meta)
        return feed.reader.part(number)

    def _send(self, peer: str, feed: _Feed, number: int, data: bytes) -> None:
        feed.reads = False
        if self._feeds.get(peer) is not feed:
            self._close(feed)
            return
        if number != feed.next:  # the follower lacks another one by now
            self._send_next(peer, feed)
            return
        part = SnapshotPart(term=self._member.term, index=feed.meta.index, number=number, data=data)
        if self._around.links.send(peer, part):
            feed.next = number + 1
            self._send_next(peer, feed)

    def _drop(self, peer: str) -> None:
        feed = self._feeds.pop(peer, None)
        if feed is not None and not feed.reads:
            self._close(feed)

    def _close(self, feed: _Feed) -> None:
        if feed.reader is not None:
            reader, feed.reader = feed.reader, None
            self._elsewhere.do("a snapshot cannot be closed", reader.close, lambda _none: None)
