"""Every safety rule of the replication, each in a place of its own.

They are methods so that a simulation can switch one off and must notice; README.md says what each prevents. Nothing
here has a state or does anything: values in, a verdict out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class LogEnd:
    """How far a log goes; the later term counts first. The log that compares greater knows more."""

    term: int
    index: int


class Rules:
    """The rules as they are kept. What they decide on is named by the arguments."""

    # ---------------------------------------------------------------------------------- elections

    def may_campaign(self, *, is_member: bool) -> bool:
        """A joiner waits until its own addition is in its log; one that was removed is silent."""
        return is_member

    def needs_pre_vote(self) -> bool:
        """Nobody's term grows before a majority said that it would vote so."""
        return True

    def holds_to_its_leader(self, *, hears_leader: bool, forced: bool) -> bool:
        """Who hears a leader refuses to elect another, unless the leader itself asks for it."""
        return hears_leader and not forced

    def may_vote(self, *, vote: str, candidate: str) -> bool:
        """One vote in a term. ``vote`` is who got this member's in the candidate's term; empty: nobody."""
        return vote in ("", candidate)

    def knows_enough(self, *, candidate: LogEnd, voter: LogEnd) -> bool:
        """Only who has everything that the voter has gets its vote."""
        return candidate >= voter

    def counts_vote(self, *, is_member: bool, term: int, current_term: int) -> bool:
        """A vote counts from members of the latest configuration, and in the term for which it was asked."""
        return is_member and term == current_term

    def keeps_leading(self, *, hears_majority: bool) -> bool:
        """A leader that hears no majority steps down."""
        return hears_majority

    def is_late(self, *, seconds_late: float, seconds_max: float) -> bool:
        """Who was stopped meanwhile hears what came in before it campaigns."""
        return seconds_late > seconds_max

    # -------------------------------------------------------------------------------- replication

    def durable_index(self, *, durable: int, last: int) -> int:  # noqa: ARG002 - what a mutant would say
        """A leader counts itself only as far as its own journal is on disk."""
        return durable

    def acknowledged_index(self, *, match: int, durable: int) -> int:
        """A follower acknowledges only what agrees with the leader's log and is on disk."""
        return min(match, durable)

    def counts_acknowledgement(self, *, is_known: bool, term: int, current_term: int) -> bool:
        """An acknowledgement counts from members, and in the leader's own term: an older one says nothing."""
        return is_known and term == current_term

    def is_conflict(self, *, own_term: int, term: int) -> bool:
        """A log is cut only where it really differs: an old batch that comes again must not shorten it."""
        return own_term != term

    def may_cut(self, *, index: int, commit: int) -> bool:
        """Nothing that is committed is ever cut."""
        return index > commit

    def may_commit(self, *, entry_term: int, current_term: int) -> bool:
        """A leader commits only entries of its own term, and with them all that is before."""
        return entry_term == current_term

    # --------------------------------------------------------------------------------- membership

    def may_change_members(self, *, is_change_pending: bool, own_term_committed: bool) -> bool:
        """One change at a time, and none before an entry of the leader's own term is committed."""
        return own_term_committed and not is_change_pending

    def may_return(self, *, was_removed: bool) -> bool:
        """The id of a removed member never comes back."""
        return not was_removed

    # -------------------------------------------------------------------------------------- reads

    def may_answer_read(self, *, round_agreed: int, round_begun: int) -> bool:
        """A read is answered after a majority followed the leader in a round begun after it was asked."""
        return round_agreed >= round_begun

    def read_index(self, *, commit: int, first_of_term: int) -> int:
        """What was committed before; a new leader knows that only once its first entry is."""
        return max(commit, first_of_term)
