"""What must hold at every moment of every run, whatever fails.

Told of every message that is sent and of every entry that is applied; the first thing that is wrong ends the run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from manager.raft.commands import CommandKind
from manager.raft.messages import Append, AskVote, Message, SnapshotOffer, SnapshotPart, Vote
from manager.raft.quorum import is_majority
from tests.simulation.raft.virtual_time import SimulationError
from tests.simulation.raft.witness import Witness


@dataclass(frozen=True, slots=True)
class AppliedEntry:
    """What stands at an index, by the word of the first member that applied it."""

    request_id: bytes
    entry: bytes
    answer: bytes
    is_new: bool
    by: str


@dataclass
class Invariants:
    """The judge of a run."""

    fail: Callable[[BaseException], None]
    members_of: Callable[[str], list[str]]
    """The ids of the members as one of them has them in its log."""
    leaders: dict[int, str] = field(default_factory=dict)
    votes: dict[tuple[str, int], str] = field(default_factory=dict)
    applied: dict[int, AppliedEntry] = field(default_factory=dict)
    follows: dict[int, int] = field(default_factory=dict)
    """Which entry was applied before: the entries of all members are the same, and none is skipped."""
    frontier: int = 0
    """The last entry that any member has applied: the next one comes behind it, whoever applies it."""
    took_effect: dict[bytes, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    last_applied: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[bytes, int] = field(default_factory=dict)
    witness: Witness = field(default_factory=Witness)
    changes: dict[tuple[str, int], int] = field(default_factory=dict)
    """The last change of the members that a leader sent in a term."""
    first_of_term: dict[int, int] = field(default_factory=dict)
    """The first entry that the leader of a term sent of it: its no-op."""
    highest_term: int = 0

    def wrong(self, what: str) -> None:
        """Something must not be."""
        self.fail(SimulationError(what))

    # ------------------------------------------------------------------------------------ messages

    def sent(self, source: str, target: str, message: Message) -> None:
        """A member lets a message go; whether it arrives does not matter."""
        match message:
            case Append():
                self._leads(source, message.term)
                self._changes_one_by_one(source, message)
            case SnapshotOffer() | SnapshotPart():
                self._leads(source, message.term)
            case AskVote() if not message.pre:
                self._votes(source, message.term, source)
            case Vote() if message.granted and not message.pre:
                self._votes(source, message.term, target)
            case _:
                pass

    def _leads(self, member: str, term: int) -> None:
        if term not in self.leaders:
            self._was_elected(member, term)
        leader = self.leaders.setdefault(term, member)
        self.highest_term = max(self.highest_term, term)
        if leader != member:
            self.wrong(f"two leaders in term {term}: {leader} and {member}")

    def _was_elected(self, member: str, term: int) -> None:
        members = self.members_of(member)
        voters = {one for one in members if self.votes.get((one, term)) == member}
        if members and member not in members:
            self.wrong(f"{member} leads in term {term}, and is no member")
        elif not is_majority(voters | {member}, members):
            self.wrong(f"{member} leads in term {term}, elected by {sorted(voters)} of {members}")

    def _votes(self, voter: str, term: int, candidate: str) -> None:
        before = self.votes.setdefault((voter, term), candidate)
        if before != candidate:
            self.wrong(f"{voter} voted twice in term {term}: for {before} and for {candidate}")

    def _changes_one_by_one(self, leader: str, message: Append) -> None:
        """A leader adds a change only when the one before, and an entry of its own term, are committed."""
        term = message.term
        before = self.changes.get((leader, term), 0)
        for command, index, entry_term in message.entries:
            if entry_term == term:
                self.first_of_term.setdefault(term, index)
            if command[0] != CommandKind.MEMBERSHIP or index <= before:
                continue
            first = self.first_of_term.get(term, index)
            if entry_term == term and message.commit < max(before, first):
                self.wrong(
                    f"{leader} changes the members at entry {index}, and has committed {message.commit} only: "
                    f"the change before is entry {before}, and its term began with entry {first}"
                )
            before = index
        self.changes[leader, term] = before

    # -------------------------------------------------------------------------------------- states

    def entry_applied(
        self, member: str, index: int, request_id: bytes, entry: bytes, answer: bytes, is_new: bool
    ) -> None:
        """A member applies an entry."""
        before = self.last_applied.get(member, 0)
        if index <= before:
            self.wrong(f"{member} applied entry {index} after entry {before}")
        self.last_applied[member] = index
        expected = self.follows.setdefault(index, self.frontier)
        self.frontier = max(self.frontier, index)
        if expected != before:
            self.wrong(f"{member} applied entry {index} after entry {before}, not after {expected}")
        ours = AppliedEntry(request_id, entry, answer, is_new, member)
        first = self.applied.setdefault(index, ours)
        if (first.request_id, first.entry) != (request_id, entry):
            self.wrong(
                f"entry {index} is {entry!r} for {member}, and was {first.entry!r} for {first.by}"
            )
        elif (first.answer, first.is_new) != (answer, is_new):
            self.wrong(
                f"entry {index} got the answer {answer!r} by {member}, and {first.answer!r} by {first.by}"
            )
        if is_new and self.took_effect.setdefault(request_id, index) != index:
            self.wrong(
                f"request {request_id.hex()} took effect at entry {self.took_effect[request_id]} "
                f"and again at entry {index}"
            )

    def state_is(self, member: str, index: int, digest: str) -> None:
        """A member's whole state after an entry."""
        if self.digests.setdefault(index, digest) != digest:
            self.wrong(f"the state of {member} after entry {index} is another one than elsewhere")

    def restored(self, member: str, index: int, digest: str) -> None:
        """A member has taken the state of a snapshot."""
        before = self.last_applied.get(member, 0)
        if index < before:
            self.wrong(f"{member} went back from entry {before} to a snapshot of entry {index}")
        self.last_applied[member] = index
        self.state_is(member, index, digest)

    def begins_anew(self, member: str) -> None:
        """A member's process has started: it may apply from the beginning."""
        self.last_applied.pop(member, None)

    # ------------------------------------------------------------------------------------- clients

    def write_acknowledged(self, request_id: bytes, index: int) -> None:
        """A client was told that its request took effect."""
        self.acknowledged[request_id] = index

    def check_nothing_lost(self) -> None:
        """At the end, when all members have applied everything."""
        for request_id, index in self.acknowledged.items():
            if self.took_effect.get(request_id) != index:
                self.wrong(f"the acknowledged request at entry {index} is lost")
