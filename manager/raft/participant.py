"""One member at work: messages in, turns of the event loop, writes elsewhere, entries applied.

Everything happens in turns. A turn covers all that came in one round of the event loop: it campaigns when that is due,
commits what is agreed, starts a write, sends, applies, and sets the timer for what is due next.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from common.errors import NotLeaderError, UnavailableError
from manager.raft.commands import change_of, request_and_entry
from manager.raft.elections import Elections
from manager.raft.elsewhere import Elsewhere
from manager.raft.feeding import Feeding
from manager.raft.following import Following
from manager.raft.installing import Installing
from manager.raft.journal import Written
from manager.raft.making import Making
from manager.raft.member import Member, Role
from manager.raft.messages import (
    Append,
    Appended,
    AskVote,
    Message,
    Removed,
    SnapshotOffer,
    SnapshotPart,
    SnapshotWanted,
    TakeOver,
    Vote,
)
from manager.raft.reads import Reads
from manager.raft.replication import Replication
from manager.raft.storage import Opened
from manager.raft.surroundings import Surroundings
from manager.raft.waiting import Outcome, Waiting

_log = logging.getLogger("swarmd.raft")

PROPOSALS_MAX = 10_000
"""Proposals under way at once; more are refused until some are done."""
TURN_SECONDS_MAX = 0.01
"""How long entries are applied before the event loop gets its turn again."""


class Participant:
    """A member of the log that runs."""

    def __init__(  # noqa: PLR0915 - the parts of a member and what ties them together
        self,
        around: Surroundings,
        opened: Opened,
        journal_worker: Elsewhere,
        snapshot_worker: Elsewhere,
    ) -> None:
        self._around, self._opened = around, opened
        self._journal_worker, self._snapshot_worker = journal_worker, snapshot_worker
        self._loop = asyncio.get_running_loop()
        latest = opened.snapshots.latest
        self.member = Member(around, opened.journal, latest)
        self.elections = Elections(self.member)
        self.following = Following(self.member, self.elections)
        self.feeding = Feeding(self.member, opened.snapshots, snapshot_worker)
        self.replication = Replication(self.member, self.feeding)
        self.reads = Reads(self.member, self.replication)
        self.installing = Installing(self.member, self.following, opened.snapshots, snapshot_worker)
        self.snapshots = opened.snapshots
        self.making = Making(self.member, opened.snapshots, snapshot_worker)
        self.waiting = Waiting()
        self.leads = asyncio.Event()
        """Set while it leads and has applied everything that was committed before."""
        self.caught_up: asyncio.Future[None] = self._loop.create_future()
        """Done once everything is applied that was known here to be committed when it started."""
        self.leaderless_since: float | None = around.clock.monotonic()
        self.hands_over = False
        """While leadership is being handed over nothing is proposed."""
        self.was_removed = False
        self.is_over = False
        self.on_errand: Callable[[str, Message], None] = lambda _sender, _message: None
        """Gets the messages that are not the protocol's own."""
        self.on_link: Callable[[str], None] = lambda _peer: None
        self._leader_waiters: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._known_leader: str | None = None
        self._known_commit = self.member.commit
        self._woken = self._writes = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._check_majority_at = 0.0
        self._handlers = self._handlers_of()
        self.member.on_role = self._role_changed
        self.member.on_members = self._members_changed

    def start(self) -> None:
        """Takes part from now on."""
        self._around.links.start(self._receive, self._link_changed)
        self._members_changed()
        if not self.member.others:
            self.elections.deadline = 0.0  # nobody else to wait for
        self.wake()

    # ------------------------------------------------------------------------------------ proposing

    def propose(self, command: bytes, index_max: int | None = None) -> Outcome:
        """Adds a command to the log, not behind ``index_max``; gives what applying it will answer.

        Raises:
            NotLeaderError: nothing was proposed.
            UnavailableError: nothing was proposed: too much is under way.
        """
        member = self.member
        if self.is_over or not member.leads or self.hands_over:
            raise NotLeaderError("this manager does not lead the swarm")
        if len(self.waiting) >= PROPOSALS_MAX:
            raise UnavailableError("too many changes are under way", hint="try again")
        if index_max is not None and member.journal.last_index >= index_max:
            raise UnavailableError("too much has changed since this was proposed first")
        outcome = self.waiting.for_outcome(member.add(command))
        self.wake()
        return outcome

    # -------------------------------------------------------------------------------------- one turn

    def wake(self) -> None:
        """Has a turn taken soon: one for all that happens in this round of the event loop."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._woken = False
        if self.is_over:
            return
        try:
            self._notice_lateness()
            self.elections.campaign_when_due()
            if self.member.leads:
                self._lead()
            else:
                self._write_what_is_queued()
            self._apply_what_is_committed()
            self._say_how_far()
            if not self.installing.is_under_way:
                self.making.make_when_due()
            self._arm()
        except Exception as error:  # noqa: BLE001 - whatever it is, the promises do not hold any more
            self.fail("the replicated log broke", error)

    def _lead(self) -> None:
        now = self._around.clock.monotonic()
        if now >= self._check_majority_at:
            self._check_majority_at = now + self._around.settings.heartbeat_seconds
            if not self._around.rules.keeps_leading(
                hears_majority=self.replication.hears_majority()
            ):
                _log.warning("no majority answers: stepping down")
                self.member.follow(self.member.term, None)
                self.elections.wait_anew()
                return
        self.reads.begin_round()
        self.replication.commit_what_is_agreed()
        self._write_what_is_queued()
        self.replication.feed_all()
        self.reads.answer_what_is_sure()

    def _notice_lateness(self) -> None:
        """After a stop (SIGSTOP, a machine asleep) the others are heard before anything is concluded."""
        settings = self._around.settings
        if self._around.rules.is_late(
            seconds_late=self._around.clock.monotonic() - self._due,
            seconds_max=settings.election_seconds_min / 2,
        ):
            self.elections.wait_anew()
            self.replication.forgive()
        self._due = float("inf")

    def _apply_what_is_committed(self) -> None:
        clock, member, entry_of = self._around.clock, self.member, self.member.journal.entry
        first, commit = member.applied + 1, member.commit
        if first > commit:
            return
        turn_over = clock.monotonic() + TURN_SECONDS_MAX
        for index in range(first, commit + 1):
            command = entry_of(index)[0]
            answer = self._answer_of(command, index)
            member.applied_through(index)
            self.waiting.applied(index, answer)
            if clock.monotonic() > turn_over:
                self.wake()
                break

    def _answer_of(self, command: bytes, index: int) -> bytes:
        self.making.bytes_since += len(command)
        request = request_and_entry(command)
        if request is None:
            if change_of(command) is not None:
                self._notice_removal(index)
            return b""
        try:
            return self._around.machine.apply(index, *request)
        except Exception as error:
            error.add_note(f"while applying entry {index}")
            raise

    def _notice_removal(self, index: int) -> None:
        if self._around.me.member_id in self.member.configurations.at(index).removed:
            self._told_removed()

    def _told_removed(self) -> None:
        if not self.was_removed:
            self.was_removed = True
            _log.warning("this manager was removed from the swarm")
            self._loop.call_soon(self._around.on_removed)

    def _say_how_far(self) -> None:
        member = self.member
        self.waiting.applied_through(member.applied)
        if member.applied >= self._known_commit and not self.caught_up.done():
            self.caught_up.set_result(None)
        leads = member.leads and member.applied >= member.first_of_term
        if leads and not self.leads.is_set():
            self.leads.set()
            self._around.on_leadership(True)  # noqa: FBT003 - the callback's one argument
        self._notice_leader()

    def _notice_leader(self) -> None:
        leader = self.member.leader
        if leader == self._known_leader:
            return
        if leader is None:
            self.leaderless_since = self._around.clock.monotonic()
        else:
            self.leaderless_since = None
        self._known_leader = leader
        waiters, self._leader_waiters = self._leader_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def leader_change(self) -> "asyncio.Future[None]":
        """Done when there is another leader, or none any more."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._leader_waiters.append(waiter)
        return waiter

    def _write_what_is_queued(self) -> None:
        """Group commit: while one batch is being made durable, the next one gathers."""
        journal = self.member.journal
        if self._writes or not journal.has_unwritten:
            return
        self._writes = True
        journal.note_commit()
        self._journal_worker.do("the journal cannot be written", journal.write, self._written)

    def _written(self, written: Written | None) -> None:
        self._writes = False
        if self.is_over:
            return
        if written is not None:
            self.member.journal.wrote(written)
        self.following.written()
        self._turn()

    def _arm(self) -> None:
        """Sets the timer for what is due next; a leader without followers has nothing due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = self.replication.next_due() if self.member.leads else self.elections.deadline
        if self._due < float("inf"):
            delay = max(self._due - self._around.clock.monotonic(), 0.0)
            self._timer = self._loop.call_later(delay, self.wake)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Does something after a while, unless this is over by then."""
        self._loop.call_later(seconds, lambda: None if self.is_over else then())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does work that raises nothing; it ends with this member."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------------------------- messages

    def _receive(self, sender: str, message: Message) -> None:
        if self.is_over:
            return
        try:
            if self.is_removed(sender):
                self._around.links.send(sender, Removed(member_id=sender))
            else:
                self._handlers.get(type(message), self.on_errand)(sender, message)
                self.wake()
        except Exception as error:  # noqa: BLE001 - whatever it is, the promises do not hold any more
            self.fail("the replicated log broke", error)

    def is_removed(self, member_id: str) -> bool:
        """Whether that id is removed for ever, by what is committed."""
        return member_id in self.member.configurations.at(self.member.commit).removed

    def _handlers_of(self) -> Mapping[type, Callable[[str, Any], None]]:
        """What takes each message; one that is not here is an errand."""
        return {
            Append: self._on_append,
            Appended: self._on_appended,
            AskVote: self.elections.on_ask_vote,
            Vote: self.elections.on_vote,
            TakeOver: self.elections.on_take_over,
            SnapshotOffer: self._on_offer,
            SnapshotPart: self._on_part,
            SnapshotWanted: self._on_wanted,
            Removed: self._on_removed,
        }

    def _on_append(self, sender: str, append: Append) -> None:
        if self.following.obey(sender, append.term) and not self.installing.is_restoring:
            self.following.on_append(append)

    def _on_appended(self, sender: str, answer: Appended) -> None:
        self._observe_term(sender, answer.term)
        self.replication.on_appended(sender, answer)

    def _on_offer(self, sender: str, offer: SnapshotOffer) -> None:
        if self.following.obey(sender, offer.term):
            self.installing.on_offer(offer)

    def _on_part(self, sender: str, part: SnapshotPart) -> None:
        if self.following.obey(sender, part.term):
            self.installing.on_part(part)

    def _on_wanted(self, sender: str, wanted: SnapshotWanted) -> None:
        self._observe_term(sender, wanted.term)
        self.replication.on_wanted(sender, wanted)

    def _on_removed(self, _sender: str, message: Removed) -> None:
        if message.member_id == self._around.me.member_id:
            self._told_removed()

    def _observe_term(self, sender: str, term: int) -> None:
        """A member is in a later term: this one's is over."""
        if term > self.member.term and sender in self.member.voters:
            self.member.follow(term, None)

    def _link_changed(self, peer: str) -> None:
        if self.is_over:
            return
        if not self._around.links.is_connected(peer) and peer == self.member.leader:
            self.elections.lost_leader()
        self.replication.link_changed(peer)
        self.on_link(peer)
        self.wake()

    # --------------------------------------------------------------------------------- what changes

    def _role_changed(self, before: Role, now: Role) -> None:
        if now is Role.LEADER:
            _log.info("leading", extra={"term": self.member.term})
            self.replication.begin()
            self._check_majority_at = 0.0
        if before is Role.LEADER:
            self._lose_leadership()
        self.wake()

    def _lose_leadership(self) -> None:
        self.hands_over = False
        self.replication.end()
        self.reads.end()
        self.waiting.give_up_proposals()
        if self.leads.is_set():
            self.leads.clear()
            self._around.on_leadership(False)  # noqa: FBT003 - the callback's one argument

    def _members_changed(self) -> None:
        self.replication.members_changed()
        self.set_peers()
        self.wake()

    def set_peers(self) -> None:
        """Has the links dial the other members and whoever else is fed."""
        peers = {peer.member_id: peer.address for peer in self.member.configuration.members}
        peers |= {peer.member_id: peer.address for peer in self.replication.learners.values()}
        peers.pop(self._around.me.member_id, None)
        self._around.links.set_peers(peers)

    # ---------------------------------------------------------------------------------------- the end

    async def stop(self) -> None:
        """Leaves in order: what is under way is given up with an unknown outcome, the journal is closed."""
        self._end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._around.links.stop()
        await self._snapshot_worker.close()
        await self._journal_worker.close(self._close)

    def _close(self) -> None:
        """In the journal's thread."""
        self._opened.journal.note_commit()
        self._opened.close()

    def _end(self) -> None:
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self._lose_leadership()
        self.making.stop()
        self.waiting.give_up(NotLeaderError("this manager is not running"))
        self.leaderless_since = float("-inf")
        waiters, self._leader_waiters = self._leader_waiters, []
        for waiter in waiters:
            waiter.cancel()

    def fail(self, reason: str, error: BaseException) -> None:
        """Nothing is acknowledged from here on."""
        if not self.is_over:
            self.is_over = True
            self._around.fail_stop(reason, error)
            self._end()
            if not self.caught_up.done():
                self.caught_up.set_exception(error)
                self.caught_up.exception()
