"""The replicated log as its users see it: propose, read, who leads, who takes part."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.errors import (
    ConflictError,
    NotLeaderError,
    OutcomeUnknownError,
    UnavailableError,
)
from manager.raft.commands import entry_command
from manager.raft.elsewhere import Elsewhere
from manager.raft.errands import Errands
from manager.raft.founding import found, found_anew, found_from
from manager.raft.log import REQUESTS_REMEMBERED, Applied, check_size
from manager.raft.membership import Membership
from manager.raft.participant import Participant
from manager.raft.patience import Patience
from manager.raft.peers import Peer, RaftStatus
from manager.raft.snapshot_file import SnapshotMeta
from manager.raft.storage import Opened, Storage
from manager.raft.surroundings import Surroundings

UNKNOWN_REMEMBERED_MAX = 10_000
"""Proposals with an unknown outcome that are remembered, so that proposing them again stays safe."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs between start and stop."""

    participant: Participant
    membership: Membership
    errands: Errands


class ReplicatedLog:
    """One member of the log."""

    def __init__(self, storage: Storage, around: Surroundings) -> None:
        self._storage, self._around = storage, around
        self._parts: _Parts | None = None
        self._unknown: OrderedDict[bytes, int] = OrderedDict()

    # -------------------------------------------------------------------------------- its beginning

    async def start(self, *, bootstrap: bool = False) -> None:
        """Opens the log and takes part; returns once all that is known here to be committed is applied.

        With ``bootstrap`` an empty log becomes that of a new cluster of this one member. Otherwise one whose log is
        empty waits until the others have added it.

        Raises:
            JournalDamagedError, SnapshotDamagedError: what is on disk is not what was written.
            SystemFailureError: the directory cannot be used.
        """
        await self._start(lambda opened: found(opened, self._around.me) if bootstrap else None)

    async def force_new_cluster(self) -> None:
        """Starts as the only member of a cluster that goes on from what this member's log holds.

        All of the log counts as committed; the other members are removed for ever.

        Raises:
            as ``start``.
        """
        await self._start(lambda opened: found_anew(opened, self._around.me))

    async def restore(self, index: int, parts: Iterable[bytes]) -> None:
        """Starts as the only member of a new cluster whose state is that of a snapshot, made at entry ``index``.

        Raises:
            ConflictError: there is a log here already.
            as ``start``.
        """
        await self._start(lambda opened: found_from(opened, self._around.me, index, parts))

    async def _start(self, prepare: Callable[[Opened], object]) -> None:
        if self._parts is not None:
            raise ConflictError("the log runs already")

        def broke(what: str, error: BaseException) -> None:
            if self._parts is not None:
                self._parts.participant.fail(what, error)

        journal_worker = Elsewhere(self._around.new_worker("raft-journal"), broke)
        snapshot_worker = Elsewhere(self._around.new_worker("raft-snapshot"), broke)
        opened: Opened | None = None
        try:
            opened = await journal_worker.result(self._storage.open)
            await journal_worker.result(lambda: prepare(opened))
            await self._load_snapshot(opened, snapshot_worker)
            participant = Participant(self._around, opened, journal_worker, snapshot_worker)
        except BaseException:
            await snapshot_worker.close()
            await journal_worker.close(opened.close if opened is not None else lambda: None)
            raise
        membership = Membership(participant)
        self._parts = _Parts(participant, membership, Errands(participant, membership))
        participant.start()
        await participant.caught_up

    async def _load_snapshot(self, opened: Opened, worker: Elsewhere) -> None:
        latest, machine = opened.snapshots.latest, self._around.machine
        if latest is None:
            return

        def restore() -> Callable[[], None]:
            with opened.snapshots.open(latest) as reader:
                return machine.restore(reader)

        swap = await worker.result(restore)
        swap()

    async def stop(self) -> None:
        """Leaves in order: what is under way is given up with an unknown outcome, the log is closed."""
        if self._parts is not None:
            parts, self._parts = self._parts, None
            await parts.participant.stop()

    # ------------------------------------------------------------------------------------ proposing

    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        """Gives what applying the entry answered, once it is committed, and applied here.

        On a follower the leader proposes it. When the leader was lost just now, the next one is waited for. Proposing
        again with the same id after an unknown outcome is safe: when too much has changed meanwhile for the first
        proposal to be recognised, nothing is proposed.

        Raises:
            TooLargeError: the entry has more than ``ENTRY_BYTES_MAX`` bytes.
            NoLeaderError: nothing was proposed: nobody leads.
            NotLeaderError: nothing was proposed: this manager is not running.
            UnavailableError: nothing was proposed: too much is under way, or was since it was proposed first.
            OutcomeUnknownError: the entry may or may not be committed.
        """
        check_size(entry)
        parts = self._running()
        commit = parts.participant.member.commit
        index_max = self._unknown.get(request_id, commit + REQUESTS_REMEMBERED)
        try:
            applied = await self._propose(parts, request_id, entry, index_max)
        except (OutcomeUnknownError, asyncio.CancelledError):
            self._unknown[request_id] = index_max
            if len(self._unknown) > UNKNOWN_REMEMBERED_MAX:
                self._unknown.popitem(last=False)
            raise
        self._unknown.pop(request_id, None)  # not when it is refused: it may be proposed once more
        return applied

    async def _propose(
        self, parts: _Parts, request_id: bytes, entry: bytes, index_max: int
    ) -> Applied:
        command, participant = entry_command(request_id, entry), parts.participant
        if participant.leadership.leads.is_set() and not participant.leadership.is_handed_over:
            return await participant.propose(command, index_max)
        patience = Patience(participant)
        while True:
            try:
                if participant.member.leads:
                    return await participant.propose(command, index_max)
                leader = await patience.leader()
                if leader != self._around.me.member_id:
                    applied = await parts.errands.forward(leader, request_id, entry, index_max)
                    return await self._applied_here(participant, applied)
            except NotLeaderError:
                await patience.wait_for_change()

    async def _applied_here(self, participant: Participant, applied: Applied) -> Applied:
        """Waits until what the leader has committed is applied here, too."""
        try:
            await self._until_applied(participant, applied.index)
        except UnavailableError as error:
            raise OutcomeUnknownError(
                "the change was committed, but this manager does not follow the log any more"
            ) from error
        return applied

    async def _until_applied(self, participant: Participant, index: int) -> None:
        """Waits until everything up to an index is applied here.

        Raises:
            NoLeaderError: it does not come: this member hears no leader.
            NotLeaderError: this manager is not running any more.
        """
        if participant.member.applied < index:
            applied = participant.waiting.for_index(index)
            try:
                while not applied.done():
                    Patience(participant).check()
                    pause = self._around.settings.heartbeat_seconds
                    await asyncio.wait({applied}, timeout=pause)
                applied.result()
            finally:
                applied.cancel()

    async def up_to_date(self) -> None:
        """Returns once everything that was committed anywhere before this call is applied here.

        Raises:
            NoLeaderError: nobody leads, so nobody knows.
            NotLeaderError: this manager is not running.
        """
        parts = self._running()
        participant, patience = parts.participant, Patience(parts.participant)
        while True:
            try:
                if participant.member.leads:
                    index = await self._own_read_index(participant)
                else:
                    leader = await patience.leader()
                    index = await parts.errands.read_index(leader)
            except (NotLeaderError, OutcomeUnknownError):
                index = 0
            if index:
                await self._until_applied(participant, index)
                return
            await patience.wait_for_change()

    async def _own_read_index(self, participant: Participant) -> int:
        index: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def answer(found: int) -> None:
            if not index.done():
                index.set_result(found)

        participant.reads.ask(answer)
        participant.wake()
        return await index

    # ------------------------------------------------------------------------------------ who leads

    @property
    def is_leader(self) -> bool:
        """Whether this member leads and has applied everything that was committed before it did."""
        return self._parts is not None and self._parts.participant.leadership.leads.is_set()

    async def until_leader(self) -> None:
        """Waits until this member leads.

        Raises:
            NotLeaderError: it is not running.
        """
        await self._running().participant.leadership.leads.wait()

    @property
    def leader(self) -> Peer | None:
        """Who leads, as far as this member knows."""
        member = self._parts.participant.member if self._parts is not None else None
        if member is None or member.leader is None:
            return None
        return member.configuration.peer(member.leader)

    @property
    def members(self) -> tuple[Peer, ...]:
        """Who takes part, as ``status`` says it; the same object until that changes.

        Raises:
            NotLeaderError: it is not running.
        """
        return self._running().participant.member.configuration.members

    def status(self) -> RaftStatus:
        """How things stand.

        Raises:
            NotLeaderError: it is not running.
        """
        participant = self._running().participant
        member = participant.member
        settled = member.configurations.at(member.commit)
        return RaftStatus(
            me=self._around.me,
            members=member.configuration.members,
            leader=self.leader,
            is_leader=participant.leadership.leads.is_set(),
            reachable=self._reachable(participant),
            term=member.term,
            last_index=member.journal.last_index,
            commit=member.commit,
            applied=member.applied,
            snapshot=participant.snapshots.position.index,
            removed=settled.removed,
            is_member=settled.peer(self._around.me.member_id) is not None,
            nodes=self.nodes(),
            removed_nodes=settled.removed_nodes,
        )

    def nodes(self) -> frozenset[str]:
        """``RaftStatus.nodes`` alone, for who asks often.

        Raises:
            NotLeaderError: it is not running.
        """
        member = self._running().participant.member
        settled = member.configurations.at(member.commit)
        return frozenset(peer.node_id for peer in (*settled.members, *member.configuration.members))

    def _reachable(self, participant: Participant) -> frozenset[str]:
        if participant.member.leads:
            return participant.replication.reachable()
        is_connected = self._around.links.is_connected
        linked = {other for other in participant.member.others if is_connected(other)}
        return frozenset(linked | {self._around.me.member_id})

    def is_removed(self, member_id: str) -> bool:
        """Whether that id was removed for ever, as far as this member knows to be committed."""
        return self._parts is not None and self._parts.participant.reception.is_removed(member_id)

    # ------------------------------------------------------------------------------------- members

    async def add(self, peer: Peer) -> None:
        """Adds a member, on the leader only: it is fed first, then it counts.

        Raises:
            ConflictError: another change is under way, the id was removed, or its node has another member.
            UnavailableError: it does not answer.
            NotLeaderError: nothing was changed: this member does not lead.
            OutcomeUnknownError: leadership was lost meanwhile; adding the same again is safe.
        """
        await self._running().membership.add(peer)

    async def remove(self, member_id: str, *, force: bool = False) -> None:
        """Removes a member for ever, from any member; the leader hands over before it is removed itself.

        Raises:
            NotFoundError: there is no such member.
            ConflictError: another change is under way, it is the last one, or too few of the others are there.
            NoLeaderError: nothing was changed: nobody leads.
            OutcomeUnknownError: leadership was lost meanwhile.
        """
        parts = self._running()
        patience = Patience(parts.participant)
        while True:
            try:
                if parts.participant.leadership.leads.is_set():
                    return await parts.membership.remove(member_id, force=force)
                leader = await patience.leader()
                if leader != self._around.me.member_id:
                    return await parts.errands.remove(leader, member_id, force=force)
            except NotLeaderError:
                pass
            await patience.wait_for_change()

    async def transfer(self, member_id: str | None = None) -> None:
        """Hands leadership over, on the leader only.

        Raises:
            ConflictError: another change is under way.
            UnavailableError: nobody can take over.
            NotLeaderError: this member does not lead.
        """
        await self._running().membership.transfer(member_id)

    # ----------------------------------------------------------------------------------- snapshots

    async def snapshot_now(self) -> SnapshotMeta:
        """Makes a snapshot of what is applied.

        Raises:
            NotLeaderError: it is not running.
        """
        return await self._running().participant.making.now()

    def _running(self) -> _Parts:
        if self._parts is None or self._parts.participant.is_over:
            raise NotLeaderError("this manager is not running")
        return self._parts
