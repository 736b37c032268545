"""Every safety rule, switched off: what the simulation must notice.

A mutant is a member with one rule broken. ``MUTANTS`` says with which profile and seed it is caught; those were found
to be the cheapest. README.md has the table for people. ``python -m tests.simulation.raft.hunt`` finds them anew.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from manager.raft import elections
from manager.raft.configuration import Configuration, Configurations
from manager.raft.journal import Journal
from manager.raft.making import Making
from manager.raft.member import Member
from manager.raft.quorum import majority_of
from manager.raft.rules import LogEnd, Rules
from tests.simulation.raft.registers import Registers
from tests.simulation.raft.world import Mutation


class AcknowledgeBeforeSync(Rules):
    @override
    def acknowledged_index(self, *, match: int, durable: int) -> int:
        return match


class LeaderCountsItselfBeforeSync(Rules):
    @override
    def durable_index(self, *, durable: int, last: int) -> int:
        return last


class OldAcknowledgementsCount(Rules):
    @override
    def counts_acknowledgement(self, *, is_known: bool, term: int, current_term: int) -> bool:
        return is_known


class StrangersVotesCount(Rules):
    @override
    def counts_vote(self, *, is_member: bool, term: int, current_term: int) -> bool:
        return term == current_term


class OldVotesCount(Rules):
    @override
    def counts_vote(self, *, is_member: bool, term: int, current_term: int) -> bool:
        return is_member


class VotesTwice(Rules):
    @override
    def may_vote(self, *, vote: str, candidate: str) -> bool:
        return True


class VotesForWhoKnowsLess(Rules):
    @override
    def knows_enough(self, *, candidate: LogEnd, voter: LogEnd) -> bool:
        return True


class CommitsOldTermsByCounting(Rules):
    @override
    def may_commit(self, *, entry_term: int, current_term: int) -> bool:
        return True


class CutsWithoutConflict(Rules):
    @override
    def is_conflict(self, *, own_term: int, term: int) -> bool:
        return True


class CutsWhatIsCommitted(CutsWithoutConflict):
    @override
    def may_cut(self, *, index: int, commit: int) -> bool:
        return True


class ChangesAtOnce(Rules):
    @override
    def may_change_members(self, *, is_change_pending: bool, own_term_committed: bool) -> bool:
        return True


class ChangesBeforeOwnTermIsCommitted(Rules):
    @override
    def may_change_members(self, *, is_change_pending: bool, own_term_committed: bool) -> bool:
        return not is_change_pending


class RemovedReturns(Rules):
    @override
    def may_return(self, *, was_removed: bool) -> bool:
        return True


class LeadsWithoutMajority(Rules):
    @override
    def keeps_leading(self, *, hears_majority: bool) -> bool:
        return True


class NoStickiness(Rules):
    @override
    def holds_to_its_leader(self, *, hears_leader: bool, forced: bool) -> bool:
        return False


class NoPreVote(Rules):
    @override
    def needs_pre_vote(self) -> bool:
        return False


class NoPreVoteNoStickiness(NoStickiness, NoPreVote):
    pass


class JoinerCampaigns(Rules):
    @override
    def may_campaign(self, *, is_member: bool) -> bool:
        return True


class ReadsWithoutRound(Rules):
    @override
    def may_answer_read(self, *, round_agreed: int, round_begun: int) -> bool:
        return True


class ReadsBeforeOwnTermIsCommitted(Rules):
    @override
    def read_index(self, *, commit: int, first_of_term: int) -> int:
        return commit


class CampaignsBeforeItHears(Rules):
    @override
    def is_late(self, *, seconds_late: float, seconds_max: float) -> bool:
        return False


class ForgetsRequestsInSnapshots(Registers):
    @override
    def _remembered(self) -> "OrderedDict[bytes, bytes]":
        return OrderedDict()


class AppliesAgain(Registers):
    @override
    def apply(self, index: int, request_id: bytes, entry: bytes) -> bytes:
        self._answered.clear()
        return super().apply(index, request_id, entry)


def vote_not_synced(patch: pytest.MonkeyPatch) -> None:
    """Term and vote reach the disk some time later."""
    patch.setattr(Journal, "flush", lambda _self: None)


def duplicate_votes_count(patch: pytest.MonkeyPatch) -> None:
    """Votes are counted, not voters."""

    class Votes(list[str]):
        def add(self, voter: str) -> None:
            self.append(voter)

    class Ballot(elections.Ballot):
        def __init__(self, term: int, *, pre: bool, own: str) -> None:
            super().__init__(term, pre=pre, own=own)
            self.votes = Votes([own])  # type: ignore[assignment] # that is the mutation

    patch.setattr(elections, "Ballot", Ballot)
    patch.setattr(
        elections, "is_majority", lambda votes, voters: len(votes) >= majority_of(len(voters))
    )


def configuration_only_when_committed(patch: pytest.MonkeyPatch) -> None:
    """A change of the members counts once it is committed, not once it is in the log."""
    patch.setattr(Member, "voters", property(lambda self: self.configurations.at(self.commit).ids))
    patch.setattr(
        Member,
        "others",
        property(lambda self: sorted(self.voters - {self.around.me.member_id})),
    )
    patch.setattr(
        Member, "is_member", property(lambda self: self.around.me.member_id in self.voters)
    )


def change_stays_after_cut(patch: pytest.MonkeyPatch) -> None:
    """A change of the members whose entry is cut off stays in force."""
    patch.setattr(Configurations, "cut_from", lambda _self, _index: None)


def snapshot_without_configuration(patch: pytest.MonkeyPatch) -> None:
    """A snapshot of another member brings the state, and not who the members are."""
    real = Member.restart_after

    def restart_after(self: Member, index: int, term: int, _configuration: Configuration) -> None:
        real(self, index, term, self.configuration)

    patch.setattr(Member, "restart_after", restart_after)


def compacts_before_the_snapshot_is_durable(patch: pytest.MonkeyPatch) -> None:
    """The log is let go of when a snapshot is begun, not when it is durable."""
    real = Making._make

    def make(self: Making) -> None:
        real(self)
        self._member.journal.compact(self._member.applied)

    patch.setattr(Making, "_make", make)


@dataclass(frozen=True)
class Mutant:
    """One rule switched off, and how it is caught."""

    name: str
    mutation: Mutation = field(default_factory=Mutation)
    patch: Callable[[pytest.MonkeyPatch], None] = lambda _patch: None
    profile: str = "mixed"
    seed: int = 0
    says: str = ""
    """What the simulation says."""


def by_rules(name: str, rules: Rules, profile: str, seed: int, says: str) -> Mutant:
    """A mutant that decides otherwise."""
    return Mutant(name, Mutation(rules=rules), profile=profile, seed=seed, says=says)


MUTANTS = (
    Mutant("no fdatasync", Mutation(syncs=False)),
    Mutant("no directory fsync", Mutation(syncs_names=False)),
    Mutant("vote not synced", patch=vote_not_synced),
    by_rules("acknowledge before fsync", AcknowledgeBeforeSync(), "power", 0, ""),
    by_rules("leader counts itself before fsync", LeaderCountsItselfBeforeSync(), "power", 0, ""),
    by_rules("old acknowledgements count", OldAcknowledgementsCount(), "network", 0, ""),
    by_rules("strangers' votes count", StrangersVotesCount(), "membership", 0, ""),
    by_rules("old votes count", OldVotesCount(), "network", 0, ""),
    Mutant("duplicate votes count", patch=duplicate_votes_count),
    by_rules("votes twice", VotesTwice(), "mixed", 0, ""),
    by_rules("votes for who knows less", VotesForWhoKnowsLess(), "mixed", 0, ""),
    by_rules("commits old terms by counting", CommitsOldTermsByCounting(), "mixed", 0, ""),
    by_rules("cuts without conflict", CutsWithoutConflict(), "mixed", 0, ""),
    by_rules("cuts what is committed", CutsWhatIsCommitted(), "mixed", 0, ""),
    Mutant("configuration only when committed", patch=configuration_only_when_committed),
    Mutant("change stays after its entry is cut", patch=change_stays_after_cut),
    by_rules("changes at once", ChangesAtOnce(), "membership", 0, ""),
    by_rules(
        "changes before its own term is committed",
        ChangesBeforeOwnTermIsCommitted(),
        "membership",
        0,
        "",
    ),
    by_rules("removed id returns", RemovedReturns(), "membership", 0, ""),
    by_rules("leads without a majority", LeadsWithoutMajority(), "network", 0, ""),
    by_rules("no stickiness", NoStickiness(), "network", 0, ""),
    by_rules("no pre-vote", NoPreVote(), "network", 0, ""),
    by_rules("neither pre-vote nor stickiness", NoPreVoteNoStickiness(), "network", 0, ""),
    by_rules("joiner campaigns", JoinerCampaigns(), "membership", 0, ""),
    by_rules("reads without a round", ReadsWithoutRound(), "network", 0, ""),
    by_rules(
        "reads before its own term is committed", ReadsBeforeOwnTermIsCommitted(), "network", 0, ""
    ),
    by_rules("campaigns before it hears", CampaignsBeforeItHears(), "network", 0, ""),
    Mutant("snapshot without configuration", patch=snapshot_without_configuration),
    Mutant(
        "compacts before the snapshot is durable", patch=compacts_before_the_snapshot_is_durable
    ),
    Mutant("requests forgotten in snapshots", Mutation(machine=ForgetsRequestsInSnapshots)),
    Mutant("a repeated request applies again", Mutation(machine=AppliesAgain)),
)
