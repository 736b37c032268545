"""One member at work: turns of the event loop, writes elsewhere, a timer for what is due next.

A turn covers all that came in one round of the event loop: it campaigns when that is due, commits what is agreed,
starts a write, sends, applies, and sets the timer.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from common.errors import NotLeaderError, UnavailableError
from manager.raft.applying import Applying
from manager.raft.elections import Elections
from manager.raft.elsewhere import Elsewhere
from manager.raft.feeding import Feeding
from manager.raft.following import Following
from manager.raft.installing import Installing
from manager.raft.journal import Written
from manager.raft.leadership import Leadership
from manager.raft.making import Making
from manager.raft.member import Member, Role
from manager.raft.messages import Message
from manager.raft.reads import Reads
from manager.raft.reception import Reception
from manager.raft.replication import Replication
from manager.raft.storage import Opened
from manager.raft.surroundings import Surroundings
from manager.raft.waiting import Outcome, Waiting

_log = logging.getLogger("swarmd.raft")

PROPOSALS_MAX = 10_000
"""Proposals under way at once; more are refused until some are done."""
_NEVER = float("inf")


class Participant:
    """A member of the log that runs."""

    def __init__(
        self,
        around: Surroundings,
        opened: Opened,
        journal_worker: Elsewhere,
        snapshot_worker: Elsewhere,
    ) -> None:
        self._around, self._opened = around, opened
        self._journal_worker, self._snapshot_worker = journal_worker, snapshot_worker
        self.snapshots = opened.snapshots
        self._make_parts()
        self._loop = asyncio.get_running_loop()
        self.caught_up: asyncio.Future[None] = self._loop.create_future()
        """Done once everything is applied that was known here to be committed when it started."""
        self.is_over = False
        self.on_link: Callable[[str], None] = lambda _peer: None
        self._known_commit = self.member.commit
        self._woken = self._writes = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = _NEVER
        self._check_majority_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def _make_parts(self) -> None:
        snapshots, worker = self.snapshots, self._snapshot_worker
        self.member = Member(self._around, self._opened.journal, snapshots.latest)
        self.leadership = Leadership(self.member)
        self.waiting = Waiting()
        self._elections = Elections(self.member)
        self._following = Following(self.member, self._elections)
        self.replication = Replication(self.member, Feeding(self.member, snapshots, worker))
        self.reads = Reads(self.member, self.replication)
        self._installing = Installing(self.member, self._following, snapshots, worker)
        self.making = Making(self.member, snapshots, worker)
        self._applying = Applying(self.member, self.waiting, self.making)
        self.reception = Reception(
            self.member,
            self._elections,
            self._following,
            self.replication,
            self._installing,
            self._applying,
        )

    def start(self) -> None:
        """Takes part from now on."""
        self.member.on_role, self.member.on_members = self._role_changed, self._members_changed
        self._around.links.start(self._receive, self._link_changed)
        self._members_changed()
        self._applying.notice_removal()
        if not self.member.others:
            self._elections.deadline = 0.0  # nobody else to wait for
        self.wake()

    # ------------------------------------------------------------------------------------ proposing

    def propose(self, command: bytes, index_max: int | None = None) -> Outcome:
        """Adds a command to the log, not behind ``index_max``; gives what applying it will answer.

        Raises:
            NotLeaderError: nothing was proposed.
            UnavailableError: nothing was proposed: too much is under way.
        """
        member = self.member
        if self.is_over or not member.leads or self.leadership.is_handed_over:
            raise NotLeaderError("this manager does not lead the swarm")
        if len(self.waiting) >= PROPOSALS_MAX:
            raise UnavailableError("too many changes are under way", hint="try again")
        if member.journal.bytes >= self._around.settings.log_bytes_max:
            raise UnavailableError("too many changes wait for a snapshot", hint="try again")
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
            self._elections.campaign_when_due()
            if self.member.leads:
                self._lead()
            else:
                self._write_what_is_queued()
            self._applying.apply_what_is_committed(self.wake)
            self._say_how_far()
            if not self._installing.is_under_way:
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
                self._elections.wait_anew()
                return
        self.reads.begin_round()
        self.replication.commit_what_is_agreed()
        self.replication.feed_all()
        self._write_what_is_queued()  # behind: the thread competes with what is sent for the interpreter
        self.reads.answer_what_is_sure()

    def _notice_lateness(self) -> None:
        """After a stop (SIGSTOP, a machine asleep) the others are heard before anything is concluded."""
        settings = self._around.settings
        if self._around.rules.is_late(
            seconds_late=self._around.clock.monotonic() - self._due,
            seconds_max=settings.election_seconds_min / 2,
        ):
            self._elections.wait_anew()
            self.replication.forgive()
        self._due = _NEVER

    def _say_how_far(self) -> None:
        applied = self.member.applied
        self.waiting.applied_through(applied)
        if applied >= self._known_commit and not self.caught_up.done():
            self.caught_up.set_result(None)
        self.leadership.look()

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
        self._following.written()
        self._turn()

    def _arm(self) -> None:
        """Sets the timer for what is due next; a leader without followers has nothing due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = self.replication.next_due() if self.member.leads else self._elections.deadline
        if self._due < _NEVER:
            delay = max(self._due - self._around.clock.monotonic(), 0.0)
            self._timer = self._loop.call_later(delay, self.wake)

    # ------------------------------------------------------------------------------- what comes in

    def _receive(self, sender: str, message: Message) -> None:
        if self.is_over:
            return
        try:
            if self.reception.take(sender, message):
                self.wake()
        except Exception as error:  # noqa: BLE001 - whatever it is, the promises do not hold any more
            self.fail("the replicated log broke", error)

    def _link_changed(self, peer: str) -> None:
        if self.is_over:
            return
        if not self._around.links.is_connected(peer) and peer == self.member.leader:
            self._elections.lost_leader()
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
        """Everyone who waits is told at once."""
        self.replication.end()
        self.reads.end()
        self.waiting.give_up_proposals()
        self.leadership.lost()

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

    # ---------------------------------------------------------------------------- beside the turns

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Does something after a while, unless this is over by then."""
        self._loop.call_later(seconds, lambda: None if self.is_over else then())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does work that raises nothing; it ends with this member."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --------------------------------------------------------------------------------------- the end

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
        self.leadership.end()

    def fail(self, reason: str, error: BaseException) -> None:
        """Nothing is acknowledged from here on."""
        if not self.is_over:
            self.is_over = True
            self._around.fail_stop(reason, error)
            self._end()
            if not self.caught_up.done():
                self.caught_up.set_exception(error)
                self.caught_up.exception()
