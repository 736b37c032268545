"""The replicated log on PySyncObj: bytes in, and on every manager the same bytes in the same order.

The only module that knows PySyncObj. Its 0.3.17 is used for the protocol's state, its elections and its replication;
what it breaks (durability, its tick, pickle, callbacks that never come) is replaced here. manager/raft/README.md
lists the rules. A method named ``_SyncObj__x`` takes the place of PySyncObj's private ``__x``.
"""

import _socket
import asyncio
import logging
import random  # noqa: TID251 - only named as a type
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.journal import Journal as PysyncobjJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from common.clock import Clock
from common.errors import (
    NoLeaderError,
    NotLeaderError,
    OutcomeUnknownError,
    UnavailableError,
)
from manager.raft.disk import Directory, open_directory
from manager.raft.fail_stop import FailStop, stop_process
from manager.raft.journal import Journal, Written
from manager.raft.log import ENTRY_BYTES_MAX, REQUEST_ID_BYTES, Applied, Apply, check_size
from manager.raft.seal import Seal, load_or_create_key

socket.inet_ntop = _socket.inet_ntop
"""Importing PySyncObj 0.3.17 replaces it, on every system, by a function of Windows; ours again for the rest of us."""
if VERSION != "0.3.17":
    raise ImportError(f"swarmd overrides private names of PySyncObj 0.3.17, and this is {VERSION}")

_log = logging.getLogger("swarmd.raft")

KEY_NAME = "key"
PROPOSALS_MAX = 10_000
"""Proposals under way at once; more are refused until some are done."""
TURN_SECONDS_MAX = 0.01
"""How long entries are applied before the event loop gets its turn again."""
ELECTION_SECONDS_MIN, ELECTION_SECONDS_MAX = 1.0, 2.0
"""How long a member hears nothing of a leader before it campaigns."""
HEARTBEAT_SECONDS = 0.2
_NEVER_CHUNKED = 2 * ENTRY_BYTES_MAX
"""PySyncObj pickles entries above its batch size into chunks, and gets some sizes wrong: no entry is so large."""


class CommandKind(IntEnum):
    """First byte of every command in the log, as PySyncObj numbers them."""

    ENTRY = 0
    """Followed by the request's id and the entry."""
    NO_OP = 1
    MEMBERSHIP = 2


_ENTRY = bytes([CommandKind.ENTRY])
_NO_OP = bytes([CommandKind.NO_OP])
_ENTRY_START = len(_ENTRY) + REQUEST_ID_BYTES
_FOLLOWER, _CANDIDATE, _LEADER = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """What a member is given."""

    apply: Apply
    clock: Clock
    on_leadership: Callable[[bool], None]
    fail_stop: FailStop


class ReplicatedLog:
    """One member of the log. For now it is the only one, and leads as soon as it has started."""

    def __init__(  # noqa: PLR0913 - what a member is given, once, by the composition root
        self,
        directory: Path,
        node_id: str,
        apply: Apply,
        *,
        clock: Clock,
        chance: random.Random,
        on_leadership: Callable[[bool], None] = lambda _leads: None,
        fail_stop: FailStop = stop_process,
    ) -> None:
        self._directory, self._node_id, self._chance = directory, node_id, chance
        self._surroundings = _Surroundings(
            apply=apply, clock=clock, on_leadership=on_leadership, fail_stop=fail_stop
        )
        self._member: _Member | None = None
        self._opened: Directory | None = None

    async def start(self) -> None:
        """Opens the journal and takes part; returns once all that was committed here before is applied.

        Raises:
            JournalDamagedError: the journal is not what was written.
            SystemFailureError: the directory cannot be used.
        """
        directory, journal = await asyncio.to_thread(self._open_journal)
        self._opened = directory
        self._member = _Member(self._node_id, journal, self._surroundings)
        await self._member.caught_up

    async def stop(self) -> None:
        """Leaves in order: what is under way is given up with an unknown outcome, the journal is closed."""
        if self._member is not None:
            member, self._member = self._member, None
            try:
                await member.stop()
            finally:
                self._close_directory()

    async def propose(self, entry: bytes, request_id: bytes) -> Applied:
        """Gives what applying the entry answered here, once it is durable, committed and applied.

        Raises:
            TooLargeError: the entry has more than ``ENTRY_BYTES_MAX`` bytes.
            NotLeaderError: nothing was proposed: this manager does not lead.
            UnavailableError: nothing was proposed: too much is under way.
            OutcomeUnknownError: the entry may or may not be committed.
        """
        check_size(entry)
        if self._member is None:
            raise NotLeaderError("this manager is not running")
        return await self._member.propose(_ENTRY + request_id + entry)

    async def up_to_date(self) -> None:
        """Returns once everything that was committed before this call is applied here.

        Raises:
            NoLeaderError: it is not running, or does not lead.
        """
        if not self.is_leader:  # the only member: nothing is committed elsewhere
            raise NoLeaderError

    @property
    def is_leader(self) -> bool:
        """Whether this member leads and has applied everything that was committed before it did."""
        return self._member is not None and self._member.leads.is_set()

    async def until_leader(self) -> None:
        """Waits until this member leads.

        Raises:
            NotLeaderError: it is not running.
        """
        if self._member is None:
            raise NotLeaderError("this manager is not running")
        await self._member.leads.wait()

    def _open_journal(self) -> tuple[Directory, Journal]:
        directory = open_directory(self._directory)
        try:
            seal = Seal(load_or_create_key(self._directory / KEY_NAME))
            return directory, Journal.open(directory, seal)
        except BaseException:
            directory.close()
            raise

    def _close_directory(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            opened.close()


class _Member(SyncObj):
    """PySyncObj's member, driven by events of asyncio, over a journal that keeps its promises."""

    def __init__(self, node_id: str, journal: Journal, around: _Surroundings) -> None:
        self._journal, self._around = journal, around
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, "raft-journal")
        self._write_under_way = False
        self._woken = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[int, asyncio.Future[Applied]] = {}
        self.leads = asyncio.Event()
        self.caught_up: asyncio.Future[None] = self._loop.create_future()
        conf = SyncObjConf(
            autoTick=False,
            journalFile=None,
            fullDumpFile=None,
            raftMinTimeout=ELECTION_SECONDS_MIN,
            raftMaxTimeout=ELECTION_SECONDS_MAX,
            appendEntriesPeriod=HEARTBEAT_SECONDS,
            appendEntriesBatchSizeBytes=_NEVER_CHUNKED,
        )
        super().__init__(
            Node(node_id), [], conf, nodeClass=Node, transport=_NoPeers(None, None, [])
        )
        self._take_over_journal()
        self._wake()

    def _take_over_journal(self) -> None:
        """Puts what the journal remembers in the place of PySyncObj's own beginnings."""
        journal = self._journal
        if not journal.entries:
            journal.add(_NO_OP, 1, 0)  # PySyncObj begins every log so, and counts it as applied
        _, first, _ = journal.entries[0]
        _, _, last_term = journal.entries[-1]
        remembered = journal.hard_state
        self._SyncObj__raftLog = _JournalOfPysyncobj(journal)
        self._SyncObj__raftCurrentTerm = max(remembered.term, last_term)
        self._SyncObj__votedForNodeId = (
            remembered.vote or None if remembered.term >= last_term else None
        )
        self._SyncObj__raftCommitIndex = max(remembered.commit, first)
        self._SyncObj__raftLastApplied = first
        self._known_commit = self._SyncObj__raftCommitIndex
        if not self._SyncObj__otherNodes:
            self._SyncObj__raftElectionDeadline = 0.0  # nobody else to wait for

    # ------------------------------------------------------------------------------------ proposing

    async def propose(self, command: bytes) -> Applied:
        """Adds a command to the log and waits for what applying it answers."""
        if self._over or self._SyncObj__raftState != _LEADER:
            raise NotLeaderError("this manager does not lead the swarm")
        if len(self._waiting) >= PROPOSALS_MAX:
            raise UnavailableError("too many changes are under way", hint="try again")
        index, term = self._journal.last_index + 1, self._SyncObj__raftCurrentTerm
        self._journal.add(command, index, term)
        outcome: asyncio.Future[Applied] = self._loop.create_future()
        self._waiting[index] = outcome
        self._wake()
        return await outcome

    def _give_up_waiting(self) -> None:
        """Tells everyone who waits that the outcome is unknown: the entries may be committed by another leader."""
        waiting, self._waiting = self._waiting, {}
        for outcome in waiting.values():
            if not outcome.done():
                outcome.set_exception(
                    OutcomeUnknownError("leadership was lost before the change was committed")
                )

    # -------------------------------------------------------------------------------------- one turn

    def _wake(self) -> None:
        """Has a turn taken soon: one for all that happens in this round of the event loop."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._woken = False
        if self._over:
            return
        try:
            self._campaign_when_due()
            self._commit_what_is_durable()
            self._apply_what_is_committed()
            self._write_what_is_queued()
            self._arm()
        except Exception as error:  # noqa: BLE001 - whatever it is, the promises do not hold any more
            self._fail("the replicated log broke", error)

    def _campaign_when_due(self) -> None:
        if self._SyncObj__raftState == _LEADER:
            return
        if self._around.clock.monotonic() < self._SyncObj__raftElectionDeadline:
            return
        self._SyncObj__raftElectionDeadline = (
            self._around.clock.monotonic() + self._SyncObj__generateRaftTimeout()
        )
        self._SyncObj__raftLeader = None
        self._SyncObj__setState(_CANDIDATE)
        self._SyncObj__setCurrentTerm(self._SyncObj__raftCurrentTerm + 1, self.selfNode.id)
        if not self._SyncObj__otherNodes:  # its own vote, which is durable by now, is the majority
            self._SyncObj__onBecomeLeader()  # adds the no-op that commits all terms before

    def _commit_what_is_durable(self) -> None:
        """A leader counts itself only as far as its journal is on disk, and commits only entries of its own term."""
        if self._SyncObj__raftState != _LEADER:
            return
        journal, others = self._journal, self._SyncObj__otherNodes
        matches = sorted([journal.durable, *(self._SyncObj__raftMatchIndex[n] for n in others)])
        agreed = matches[(len(matches) - 1) // 2]
        if agreed <= self._SyncObj__raftCommitIndex:
            return
        if journal.term_of(agreed) == self._SyncObj__raftCurrentTerm:
            self._SyncObj__raftCommitIndex = agreed
            journal.set_commit(agreed)

    def _apply_what_is_committed(self) -> None:
        clock, commit = self._around.clock, self._SyncObj__raftCommitIndex
        turn_over = clock.monotonic() + TURN_SECONDS_MAX
        for index in range(self._SyncObj__raftLastApplied + 1, commit + 1):
            command, _, _ = self._journal.entry(index)
            answer = self._answer_of(command, index)
            self._SyncObj__raftLastApplied = index
            outcome = self._waiting.pop(index, None)
            if outcome is not None and not outcome.done():
                outcome.set_result(Applied(index, answer))
            if clock.monotonic() > turn_over:
                self._wake()
                break
        self._say_how_far()

    def _answer_of(self, command: bytes, index: int) -> bytes:
        if command[0] != CommandKind.ENTRY:
            return b""
        request_id, entry = command[len(_ENTRY) : _ENTRY_START], command[_ENTRY_START:]
        try:
            return self._around.apply(index, request_id, entry)
        except Exception as error:
            error.add_note(f"while applying entry {index}")
            raise

    def _say_how_far(self) -> None:
        applied = self._SyncObj__raftLastApplied
        if applied >= self._known_commit and not self.caught_up.done():
            self.caught_up.set_result(None)
        leads = self._SyncObj__raftState == _LEADER and applied >= self._SyncObj__noopIDx
        if leads and not self.leads.is_set():
            self.leads.set()
            self._around.on_leadership(True)  # noqa: FBT003 - the callback's one argument

    def _write_what_is_queued(self) -> None:
        """Group commit: while one batch is being made durable, the next one gathers."""
        if self._write_under_way or not self._journal.has_unwritten:
            return
        self._write_under_way = True
        self._journal.note_commit()
        writing = self._writer.submit(self._journal.write)
        writing.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._written, done))

    def _written(self, done: "Future[Written | None]") -> None:
        self._write_under_way = False
        error = done.exception()
        if error is not None:
            self._fail("the journal cannot be written", error)
            return
        written = done.result()
        if written is not None:
            self._journal.wrote(written)
        self._turn()

    def _arm(self) -> None:
        """Sets the timer for the next deadline. A leader without followers has none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._SyncObj__raftState != _LEADER:
            delay = self._SyncObj__raftElectionDeadline - self._around.clock.monotonic()
            self._timer = self._loop.call_later(max(delay, 0.0), self._wake)

    # ------------------------------------------------------------------------------------ the end

    async def stop(self) -> None:
        """Leaves in order."""
        self._end()
        await asyncio.to_thread(self._writer.shutdown)
        self._journal.note_commit()
        await asyncio.to_thread(self._journal.close)

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._lose_leadership()

    def _lose_leadership(self) -> None:
        self._give_up_waiting()
        if self.leads.is_set():
            self.leads.clear()
            self._around.on_leadership(False)  # noqa: FBT003 - the callback's one argument

    def _fail(self, reason: str, error: BaseException) -> None:
        """Nothing is acknowledged from here on."""
        if not self._over:
            self._over = True
            self._around.fail_stop(reason, error)
            self._end()
            if not self.caught_up.done():
                self.caught_up.set_exception(error)

    # ----------------------------------------------------------------- in the place of PySyncObj's own

    def _SyncObj__setState(self, state: int) -> None:  # noqa: N802
        led = self._SyncObj__raftState == _LEADER
        super()._SyncObj__setState(state)
        if led and state != _LEADER:
            self._lose_leadership()

    def _SyncObj__setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        """Term and vote are durable before any message can tell of them."""
        self._SyncObj__raftCurrentTerm, self._SyncObj__votedForNodeId = term, vote
        self._journal.set_term(term, vote or "")
        self._journal.flush()

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> None:  # noqa: N802
        """No command is ever unpickled; there are no other members yet."""


class _JournalOfPysyncobj(PysyncobjJournal):  # its interface over our journal
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._journal.add(command, idx, term)

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802
        self._journal.cut_from(self._journal.entries[position][1])

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice
        return self._journal.entries[place]

    def __len__(self) -> int:
        return len(self._journal.entries)


class _NoPeers(Transport):
    """A transport to nobody."""

    def send(self, node: Node, message: Any) -> bool:  # noqa: ANN401, ARG002
        return False
