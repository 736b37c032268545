"""Changes of the members, by the leader: add, remove, hand leadership over. One at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import ConflictError, NotLeaderError, UnavailableError
from manager.raft.commands import change_command
from manager.raft.configuration import (
    AddMember,
    Change,
    RemoveMember,
    check_addition,
    check_removal,
)
from manager.raft.messages import Removed, TakeOver
from manager.raft.participant import Participant
from manager.raft.peers import Peer
from manager.raft.progress import Progress, Stage
from manager.raft.quorum import is_majority

LOOK_SECONDS = 0.02
"""How often it is looked at how far another member is."""
SILENCE_SECONDS_MAX = 10.0
"""A member that is to be added, and is not heard for this long, is not added."""
LAG_ENTRIES_MAX = 1000
"""A member is added once it lacks no more entries than this."""
FAREWELL_SECONDS = 1.0
"""How long a member that was removed is still spoken to, so that it learns of it."""
HANDING_OVER_SECONDS_MAX = 5.0
"""How long leadership is tried to be handed over; meanwhile nothing is proposed."""


class Membership:
    """What a leader does about who the members are."""

    def __init__(self, participant: Participant) -> None:
        self._participant, self._member = participant, participant.member
        self._around, self._replication = self._member.around, participant.replication
        self._is_changing = False

    async def add(self, peer: Peer) -> None:
        """Feeds a new member until it is nearly up to date, then adds it; for one that is there, its new address.

        Raises:
            ConflictError: another change is under way, the id was removed, or its node has another member.
            UnavailableError: it does not answer.
            NotLeaderError: nothing was changed: this member does not lead.
            OutcomeUnknownError: leadership was lost meanwhile.
        """
        with self._one_change():
            configuration, rules = self._member.configuration, self._around.rules
            known = configuration.peer(peer.member_id)
            if known == peer:
                return
            was_removed = peer.member_id in configuration.removed
            check_addition(
                configuration, peer, may_return=rules.may_return(was_removed=was_removed)
            )
            if known is not None:
                await self._change(AddMember(peer=peer))
                return
            progress = self._replication.feed_also(peer)
            self._participant.set_peers()
            try:
                await self._until_nearly_up_to_date(peer, progress)
                await self._change(AddMember(peer=peer))
            finally:
                self._replication.feed_no_more(peer)
                self._participant.set_peers()

    async def remove(self, member_id: str, *, force: bool) -> None:
        """Removes another member for ever.

        Raises:
            NotFoundError: there is no such member.
            ConflictError: another change is under way, it is the last one, or too few of the others are there.
            NotLeaderError: nothing was changed: this member does not lead, or is the one: it has handed over then.
            OutcomeUnknownError: leadership was lost meanwhile.
        """
        with self._one_change():
            configuration = self._member.configuration
            check_removal(configuration, member_id)
            if member_id == self._around.me.member_id:
                await self._hand_over(None)
                raise NotLeaderError("leadership was handed over before this manager is removed")
            left = configuration.ids - {member_id}
            if not force and not is_majority(self._replication.reachable(), left):
                raise ConflictError(
                    f"manager {member_id} cannot be removed: "
                    "the managers that are left would have no majority that is reachable",
                    hint="start the others, or force it",
                )
            peer = configuration.peer(member_id)
            if peer is not None:
                self._replication.feed_also(peer)
                try:
                    await self._change(RemoveMember(member_id=member_id))
                finally:
                    self._bid_farewell(peer)

    async def transfer(self, member_id: str | None) -> None:
        """Hands leadership over, to whom is named or to whom lacks least; returns when this member follows.

        Raises:
            ConflictError: another change is under way.
            UnavailableError: nobody can take over: none is there, or does not in time.
            NotLeaderError: this member does not lead.
        """
        with self._one_change():
            await self._hand_over(member_id)

    # --------------------------------------------------------------------------------------- inside

    @contextmanager
    def _one_change(self) -> Iterator[None]:
        if not self._participant.leadership.leads.is_set():
            raise NotLeaderError("this manager does not lead the swarm")
        if self._is_changing:
            raise ConflictError(
                "another change of the managers is under way", hint="try again in a moment"
            )
        self._is_changing = True
        try:
            yield
        finally:
            self._is_changing = False

    async def _change(self, change: Change) -> None:
        member = self._member
        if not self._around.rules.may_change_members(
            is_change_pending=member.configurations.latest_index > member.commit,
            own_term_committed=member.commit >= member.first_of_term,
        ):
            raise ConflictError(
                "another change of the managers is under way", hint="try again in a moment"
            )
        await self._participant.propose(change_command(change))

    async def _until_nearly_up_to_date(self, peer: Peer, progress: Progress) -> None:
        clock, started, best = self._around.clock, self._around.clock.monotonic(), 0
        first_heard = progress.heard_at
        while True:
            if self._replication.peers.get(peer.member_id) is not progress:
                raise NotLeaderError("leadership was lost while the new manager was fed")
            lacks = self._member.journal.last_index - progress.match
            if progress.stage is Stage.STREAMING and lacks <= LAG_ENTRIES_MAX:
                return
            if progress.match > best or progress.heard_at > first_heard:
                best, first_heard, started = progress.match, progress.heard_at, clock.monotonic()
            if clock.monotonic() - started > SILENCE_SECONDS_MAX:
                raise UnavailableError(
                    f"the new manager does not answer at {peer.address}",
                    hint="can the managers reach that address?",
                )
            await clock.sleep(LOOK_SECONDS)

    def _bid_farewell(self, peer: Peer) -> None:
        """Tells a member that it was removed, once that is committed: before, it may yet be reversed."""
        if self._participant.reception.is_removed(peer.member_id):
            self._around.links.send(peer.member_id, Removed(member_id=peer.member_id))
        if self._member.configuration.peer(peer.member_id) is None:
            self._participant.later(FAREWELL_SECONDS, lambda: self._let_go(peer))
        else:
            self._let_go(peer)

    def _let_go(self, peer: Peer) -> None:
        self._replication.feed_no_more(peer)
        self._participant.set_peers()

    async def _hand_over(self, member_id: str | None) -> None:
        target = member_id if member_id is not None else self._best_successor()
        progress = self._replication.peers.get(target)
        if progress is None or not progress.is_voter:
            raise UnavailableError(f"manager {target or '(any)'} cannot take over")
        clock, participant = self._around.clock, self._participant
        ends = clock.monotonic() + HANDING_OVER_SECONDS_MAX
        asked_at = float("-inf")
        participant.leadership.is_handed_over = True
        try:
            while clock.monotonic() < ends:
                if not self._member.leads:
                    return
                has_everything = progress.match == self._member.journal.last_index
                pause = self._around.settings.election_seconds_min
                if has_everything and clock.monotonic() - asked_at > pause:
                    asked_at = clock.monotonic()
                    self._around.links.send(target, TakeOver(term=self._member.term))
                await clock.sleep(LOOK_SECONDS)
            raise UnavailableError(f"manager {target} did not take over in time")
        finally:
            participant.leadership.is_handed_over = False

    def _best_successor(self) -> str:
        reachable = self._replication.reachable()
        peers = self._replication.peers.items()
        able = [(p.match, name) for name, p in peers if p.is_voter and name in reachable]
        return max(able, default=(0, ""))[1]
