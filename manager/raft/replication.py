"""A leader's side of replication: feeds each follower, counts what is durable, commits, and knows who is there."""

from manager.raft.feeding import Feeding
from manager.raft.member import Member
from manager.raft.messages import Append, Appended, SnapshotWanted
from manager.raft.peers import Peer
from manager.raft.progress import Progress, Stage
from manager.raft.quorum import agreed, is_majority

COMMIT_SECONDS_MAX = 0.02
"""How long a follower that gets no new entries waits to hear what was committed."""


class Replication:
    """What a leader knows of the others. Without a leader's term it is empty."""

    def __init__(self, member: Member, feeding: Feeding) -> None:
        self._member, self._around, self._feeding = member, member.around, feeding
        self.peers: dict[str, Progress] = {}
        self.learners: dict[str, Peer] = {}
        """Who is fed though no member: not yet, or until it knows that it no longer is."""
        self.round = 0
        """Grows with each round that a read needs."""
        self._batch: tuple[Append, int] | None = None
        """The message that this turn made last: the next peer most likely needs the same."""

    # ------------------------------------------------------------------------------------ beginning

    def begin(self) -> None:
        """This member leads from now on."""
        self.peers.clear()
        self.round = 0
        self.members_changed()

    def end(self) -> None:
        """It does not lead any more."""
        self.peers.clear()
        self.learners = {}
        self._feeding.forget_but(())

    def members_changed(self) -> None:
        """Takes in who is to be fed now."""
        if not self._member.leads:
            return
        others = set(self._member.others)
        wanted = others | set(self.learners)
        for gone in [peer for peer in self.peers if peer not in wanted]:
            del self.peers[gone]
        for peer in sorted(wanted):
            if peer not in self.peers:
                self.peers[peer] = Progress(self._member.journal.last_index + 1, self._now())
            self.peers[peer].is_voter = peer in others
        self._feeding.forget_but(self.peers)

    def feed_also(self, learner: Peer) -> Progress:
        """Feeds one that is no member."""
        self.learners[learner.member_id] = learner
        self.members_changed()
        return self.peers[learner.member_id]

    def feed_no_more(self, learner: Peer) -> None:
        """Feeds it only if it is a member."""
        self.learners.pop(learner.member_id, None)
        self.members_changed()

    # -------------------------------------------------------------------------------------- hearing

    def heard(self, sender: str, term: int) -> Progress | None:
        """The progress of one that answered in this leader's term; None when its answer does not count."""
        progress = self.peers.get(sender)
        if progress is None or not self._around.rules.counts_acknowledgement(
            is_known=True, term=term, current_term=self._member.term
        ):
            return None
        progress.heard_at = self._now()
        return progress

    def on_appended(self, sender: str, answer: Appended) -> bool:
        """Takes in how far a follower is; gives whether that is news."""
        progress = self.heard(sender, answer.term)
        if progress is None:
            return False
        is_news = answer.round > progress.round
        progress.round = max(progress.round, answer.round)
        if answer.rejected:
            return progress.rejected(answer.rejected - 1, answer.match) or is_news
        if progress.stage is not Stage.SNAPSHOT:
            return progress.acknowledged(answer.match) or is_news
        if self._feeding.is_done(sender, answer.match):
            progress.match = max(progress.match, answer.match)
            progress.probe()
        return True

    def on_wanted(self, sender: str, wanted: SnapshotWanted) -> None:
        """Takes in how much of a snapshot a follower has."""
        progress = self.heard(sender, wanted.term)
        if progress is not None:
            progress.round = max(progress.round, wanted.round)
            self._feeding.on_wanted(sender, wanted)

    def link_changed(self, peer: str) -> None:
        """Whatever was under way on a link may be lost."""
        progress = self.peers.get(peer)
        if progress is not None:
            progress.sent_at = float("-inf")
            if progress.stage is not Stage.SNAPSHOT:
                progress.probe()
            else:
                self._feeding.link_changed(peer)

    # ----------------------------------------------------------------------------------- committing

    def commit_what_is_agreed(self) -> None:
        """Commits what is durable on a majority."""
        member, journal, rules = self._member, self._member.journal, self._around.rules
        matches = [progress.match for progress in self.peers.values() if progress.is_voter]
        if member.is_member:
            matches.append(rules.durable_index(durable=journal.durable, last=journal.last_index))
        index = min(agreed(matches), journal.last_index)
        if index > member.commit and rules.may_commit(
            entry_term=journal.term_of(index), current_term=member.term
        ):
            member.commit_through(index)

    def round_agreed(self) -> int:
        """The latest round that a majority answered."""
        rounds = [progress.round for progress in self.peers.values() if progress.is_voter]
        return agreed([*rounds, self.round] if self._member.is_member else rounds)

    def reachable(self) -> frozenset[str]:
        """Who answered lately, itself included."""
        oldest = self._now() - self._around.settings.election_seconds_max
        lately = {peer for peer, progress in self.peers.items() if progress.heard_at >= oldest}
        return frozenset(lately | {self._around.me.member_id})

    def hears_majority(self) -> bool:
        """Whether enough members answered lately."""
        return is_majority(self.reachable(), self._member.voters)

    def forgive(self) -> None:
        """This member was stopped itself: the others get the time to answer again."""
        for progress in self.peers.values():
            progress.heard_at = self._now()

    # -------------------------------------------------------------------------------------- feeding

    def feed_all(self) -> None:
        """Sends each peer what it needs and may get now."""
        self._batch = None
        for peer, progress in self.peers.items():
            if self._around.links.is_connected(peer):
                self._feed(peer, progress)

    def _feed(self, peer: str, progress: Progress) -> None:
        journal, settings = self._member.journal, self._around.settings
        while progress.next <= journal.last_index and progress.may_send(settings):
            if progress.next <= journal.before.index:
                progress.await_snapshot()
                break
            append, size = self._batch_from(progress.next)
            if not self._send(peer, progress, append):
                return
            progress.sent(append.previous_index + len(append.entries), size)
        if progress.stage is Stage.SNAPSHOT:
            self._feed_snapshot(peer, progress)
        elif self._is_owed_a_word(progress):
            self._send(peer, progress, self._heartbeat(progress))

    def tell(self, peer: str) -> None:
        """Tells a peer at once what is committed: someone there waits for it."""
        progress = self.peers.get(peer)
        if progress is None or progress.stage is Stage.SNAPSHOT:
            return
        if progress.told_commit < self._member.commit:
            self._send(peer, progress, self._heartbeat(progress))

    def _batch_from(self, first: int) -> tuple[Append, int]:
        if self._batch is not None and self._batch[0].previous_index == first - 1:
            return self._batch
        journal, settings = self._member.journal, self._around.settings
        last = min(journal.last_index, first + settings.append_entries_max - 1)
        entries = journal.between(first, last, settings.append_bytes_max)
        size = sum(len(command) for command, _, _ in entries)
        self._batch = self._append(first - 1, entries), size
        return self._batch

    def _heartbeat(self, progress: Progress) -> Append:
        journal = self._member.journal
        return self._append(max(progress.next - 1, journal.before.index), [])

    def _append(self, previous: int, entries: "list[tuple[bytes, int, int]]") -> Append:
        return Append(
            term=self._member.term,
            previous_index=previous,
            previous_term=self._member.journal.term_of(previous),
            commit=self._member.commit,
            round=self.round,
            entries=entries,
        )

    def _send(self, peer: str, progress: Progress, append: Append) -> bool:
        progress.sent_at = self._now()
        if not self._around.links.send(peer, append):
            return False
        progress.told_commit, progress.told_round = append.commit, append.round
        return True

    def _feed_snapshot(self, peer: str, progress: Progress) -> None:
        offers = self._is_owed_a_word(progress)
        if offers:
            progress.sent_at, progress.told_round = self._now(), self.round
        self._feeding.feed(peer, self.round, offers=offers)

    def _is_owed_a_word(self, progress: Progress) -> bool:
        return progress.told_round < self.round or self._now() >= self._word_due(progress)

    def _word_due(self, progress: Progress) -> float:
        tells_commit = (
            progress.told_commit < self._member.commit and progress.stage is Stage.STREAMING
        )
        pause = COMMIT_SECONDS_MAX if tells_commit else self._around.settings.heartbeat_seconds
        return progress.sent_at + pause

    def next_due(self) -> float:
        """When something must be sent though nothing happens."""
        if not self.peers:
            return float("inf")
        is_connected, now = self._around.links.is_connected, self._now()
        dues = [self._word_due(peer) for name, peer in self.peers.items() if is_connected(name)]
        return min(dues, default=now + self._around.settings.heartbeat_seconds)

    def _now(self) -> float:
        return self._around.clock.monotonic()
