"""One member: PySyncObj's state of it, typed, and every step from one state to the next.

The only module that knows PySyncObj. Of its 0.3.17 this uses the state (term, vote, role, leader, log, commit and
applied index, the other nodes) and what it does when a leader is elected; what it breaks (durability, its tick, its
messages, pickle, its membership) is replaced here and in the modules around. A method named ``_SyncObj__x`` takes the
place of PySyncObj's private ``__x``.
"""

import _socket
import socket
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.journal import Journal as PysyncobjJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from manager.raft.commands import change_of
from manager.raft.configuration import Configuration, Configurations, unpack_configuration
from manager.raft.journal import Journal
from manager.raft.log import ENTRY_BYTES_MAX, LogEntry
from manager.raft.rules import LogEnd
from manager.raft.snapshot_file import SnapshotMeta
from manager.raft.surroundings import Surroundings

socket.inet_ntop = _socket.inet_ntop
"""Importing PySyncObj 0.3.17 replaces it, on every system, by a function of Windows; ours again for the rest of us."""
if VERSION != "0.3.17":
    raise ImportError(f"swarmd overrides private names of PySyncObj 0.3.17, and this is {VERSION}")

_NEVER_CHUNKED = 2 * ENTRY_BYTES_MAX
"""PySyncObj pickles entries above its batch size into chunks, and gets some sizes wrong: no entry is so large."""


class Role(IntEnum):
    """What a member is at the moment, as PySyncObj numbers it."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2


class BrokenPromiseError(Exception):
    """What was found contradicts what some member promised; nothing may be acknowledged any more."""


class Member(SyncObj):
    """The state of one member. It sends nothing and waits for nothing."""

    def __init__(
        self, around: Surroundings, journal: Journal, snapshot: SnapshotMeta | None = None
    ) -> None:
        """A member whose state machine holds what ``snapshot`` does, or nothing."""
        self.around, self.journal = around, journal
        self.configurations = _configurations_of(snapshot)
        self._voters: frozenset[str] = frozenset()
        self.first_of_term = 0
        """Index of the no-op with which this member began to lead."""
        self.on_role: Callable[[Role, Role], None] = lambda _before, _now: None
        self.on_members: Callable[[], None] = lambda: None
        conf = SyncObjConf(
            autoTick=False,
            journalFile=None,
            fullDumpFile=None,
            raftMinTimeout=around.settings.election_seconds_min,
            raftMaxTimeout=around.settings.election_seconds_max,
            appendEntriesPeriod=around.settings.heartbeat_seconds,
            appendEntriesBatchSizeBytes=_NEVER_CHUNKED,
        )
        nowhere = _Nowhere(None, None, [])
        super().__init__(Node(around.me.member_id), [], conf, nodeClass=Node, transport=nowhere)
        self._take_over_journal()

    def _take_over_journal(self) -> None:
        """Puts what the journal remembers in the place of PySyncObj's own beginnings."""
        journal, applied = self.journal, self.configurations.latest_index
        remembered = journal.hard_state
        self._SyncObj__raftLog = _JournalOfPysyncobj(journal)
        self._SyncObj__raftCurrentTerm = max(remembered.term, journal.last_term)
        self._SyncObj__votedForNodeId = (
            remembered.vote if remembered.term >= journal.last_term else ""
        )
        self._SyncObj__raftCommitIndex = max(remembered.commit, applied)
        self._SyncObj__raftLastApplied = applied
        for command, index, _term in journal.entries:
            change = change_of(command)
            if change is not None and index > applied:
                self.configurations.note(index, change)
        self._members_changed()

    # ------------------------------------------------------------------------------ how it stands

    @property
    def term(self) -> int:
        """The latest term that it heard of."""
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def vote(self) -> str:
        """Who has its vote in this term; empty: nobody."""
        return self._SyncObj__votedForNodeId or ""

    @property
    def role(self) -> Role:
        """What it is."""
        return Role(self._SyncObj__raftState)

    @property
    def leads(self) -> bool:
        """Whether it was elected in this term."""
        return bool(self._SyncObj__raftState == Role.LEADER)

    @property
    def leader(self) -> str | None:
        """The id of whom it follows in this term, itself included; None: nobody yet."""
        node = self._SyncObj__raftLeader
        return None if node is None else str(node.id)

    @property
    def commit(self) -> int:
        """Up to where it knows that a majority has the log."""
        return int(self._SyncObj__raftCommitIndex)

    @property
    def applied(self) -> int:
        """Up to where the state machine has it."""
        return int(self._SyncObj__raftLastApplied)

    @property
    def log_end(self) -> LogEnd:
        """How far its log goes."""
        return LogEnd(self.journal.last_term, self.journal.last_index)

    @property
    def configuration(self) -> Configuration:
        """The latest one in its log."""
        return self.configurations.latest

    @property
    def voters(self) -> frozenset[str]:
        """Whose votes and acknowledgements count, itself included when it is a member."""
        return self._voters

    @property
    def is_member(self) -> bool:
        """Whether it is a member itself, by its own log."""
        return self.around.me.member_id in self._voters

    @property
    def others(self) -> list[str]:
        """The other members, in the order of their ids."""
        return sorted(self._voters - {self.around.me.member_id})

    # ----------------------------------------------------------------------------------- elections

    def follow(self, term: int, leader: str | None, *, vote: str | None = None) -> None:
        """Becomes, or stays, a follower in ``term``; a new term, and the vote in it, are durable afterwards."""
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, vote or "")
        elif vote is not None and vote != self.vote:
            self._SyncObj__setCurrentTerm(self.term, vote)
        self._SyncObj__raftLeader = None if leader is None else Node(leader)
        self._SyncObj__setState(Role.FOLLOWER)

    def stand(self) -> None:
        """Becomes a candidate of the next term, with its own vote, durably."""
        self._SyncObj__raftLeader = None
        self._SyncObj__setState(Role.CANDIDATE)
        self._SyncObj__setCurrentTerm(self.term + 1, self.around.me.member_id)

    def lead(self) -> None:
        """Becomes the leader of its term, and begins it with a no-op, which commits all terms before."""
        self._SyncObj__onBecomeLeader()
        self.first_of_term = int(self._SyncObj__noopIDx)

    # ----------------------------------------------------------------------------------------- log

    def add(self, command: bytes) -> int:
        """Adds a command as the leader; gives its index."""
        index = self.journal.last_index + 1
        self.take(command, index, self.term)
        return index

    def take(self, command: bytes, index: int, term: int) -> None:
        """Adds an entry at the end."""
        self.journal.add(command, index, term)
        change = change_of(command)
        if change is not None:
            self.configurations.note(index, change)
            self._members_changed()

    def cut_from(self, index: int) -> None:
        """Takes away the entries from ``index`` on, and the changes of the members among them.

        Raises:
            BrokenPromiseError: one of them is committed.
        """
        if not self.around.rules.may_cut(index=index, commit=self.commit):
            raise BrokenPromiseError(
                f"a leader contradicts entry {index}, but all up to {self.commit} are committed"
            )
        self.journal.cut_from(index)
        if self.configurations.latest_index >= index:
            self.configurations.cut_from(index)
            self._members_changed()

    def commit_through(self, index: int) -> None:
        """Takes in that a majority has the log up to ``index``."""
        if index > self.commit:
            self._SyncObj__raftCommitIndex = index
            self.journal.set_commit(index)

    def applied_through(self, index: int) -> None:
        """Takes in that the state machine has it up to ``index``."""
        self._SyncObj__raftLastApplied = index

    def restart_after(self, index: int, term: int, configuration: Configuration) -> None:
        """Lets a snapshot stand for the whole log."""
        self.journal.restart_after(index, term)
        self.configurations = Configurations(index, configuration)
        self._SyncObj__raftCommitIndex = self._SyncObj__raftLastApplied = index
        self._members_changed()

    def _members_changed(self) -> None:
        self._voters = self.configuration.ids
        self._SyncObj__otherNodes = {Node(member_id) for member_id in self.others}
        self.on_members()

    # --------------------------------------------------------------- in the place of PySyncObj's own

    def _SyncObj__setState(self, state: int) -> None:  # noqa: N802
        before = Role(self._SyncObj__raftState)
        super()._SyncObj__setState(int(state))
        if before != state:
            self.on_role(before, Role(state))

    def _SyncObj__setCurrentTerm(self, term: int, vote: str | None) -> None:  # noqa: N802
        """Term and vote are durable before any message can tell of them."""
        self._SyncObj__raftCurrentTerm, self._SyncObj__votedForNodeId = term, vote or ""
        self.journal.set_term(term, vote or "")
        self.journal.flush()

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802
        settings = self.around.settings
        return self.around.chance.uniform(
            settings.election_seconds_min, settings.election_seconds_max
        )

    def election_timeout(self) -> float:
        """How long to wait for a leader this time."""
        return self._SyncObj__generateRaftTimeout()

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        """The next turn sends; PySyncObj has no transport."""

    def _SyncObj__parseChangeClusterRequest(self, _command: bytes) -> None:  # noqa: N802
        """No command is ever unpickled."""


def _configurations_of(snapshot: SnapshotMeta | None) -> Configurations:
    if snapshot is None:
        return Configurations()
    return Configurations(snapshot.index, unpack_configuration(snapshot.configuration))


class _JournalOfPysyncobj(PysyncobjJournal):  # its interface over our journal
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, command: bytes, idx: int, term: int) -> None:
        self._journal.add(command, idx, term)

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - an index or a slice
        if place == -1 and not self._journal.entries:
            return self._end()
        return self._journal.entries[place]

    def __len__(self) -> int:
        return len(self._journal.entries)

    def _end(self) -> LogEntry:
        """Stands for the entry before the first, which is no longer there."""
        return b"", self._journal.before.index, self._journal.before.term


class _Nowhere(Transport):
    """PySyncObj's own messages go nowhere: ours do not pass through it."""

    def send(self, node: Node, message: Any) -> bool:  # noqa: ANN401, ARG002
        return False
