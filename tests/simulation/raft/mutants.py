"""Every safety rule, switched off: what the simulation must notice.

A mutant is a member with one rule broken. Most are caught by a script (``scenarios.py``), some by the first seeds of a
profile. README.md has the table for people. ``python -m tests.simulation.raft.hunt`` tells which seeds catch which.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from typing_extensions import override

from common.errors import NotLeaderError
from manager.raft import elections
from manager.raft.configuration import Configuration, Configurations
from manager.raft.journal import Journal
from manager.raft.making import Making
from manager.raft.member import Member
from manager.raft.membership import Membership
from manager.raft.participant import Participant
from manager.raft.quorum import majority_of
from manager.raft.rules import LogEnd, Rules
from manager.raft.waiting import Outcome
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


def strangers_votes_count(patch: pytest.MonkeyPatch) -> None:
    """Whoever votes is counted."""
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


def changes_before_own_term(patch: pytest.MonkeyPatch) -> None:
    """A leader takes a change as soon as it is elected."""

    @contextmanager
    def one_change(self: Membership) -> Iterator[None]:
        if not self._member.leads:
            raise NotLeaderError("not the leader")
        yield

    patch.setattr(Membership, "_one_change", one_change)


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


def repeats_without_bound(patch: pytest.MonkeyPatch) -> None:
    """A request is proposed again however much was written since the first time."""
    real = Participant.propose

    def propose(self: Participant, command: bytes, _index_max: int | None = None) -> Outcome:
        return real(self, command, None)

    patch.setattr(Participant, "propose", propose)


def never_compacts(patch: pytest.MonkeyPatch) -> None:
    """Snapshots are made, and all of the log is kept."""
    patch.setattr(Journal, "compact", lambda _self, _through: None)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One rule switched off, and who catches it: a scenario or a profile, with one of the first seeds."""

    name: str
    rules: Rules = field(default_factory=Rules)
    machine: type[Registers] = Registers
    syncs: bool = True
    syncs_names: bool = True
    patch: Callable[[pytest.MonkeyPatch], None] = lambda _patch: None
    scenario: str = ""
    profile: str = ""
    seeds: int = 12
    says: str
    """What is said of it: a regular expression."""

    @property
    def mutation(self) -> Mutation:
        """What is changed in the world."""
        return Mutation(self.rules, self.machine, self.syncs, self.syncs_names)


_LOST = "applied entry .* after entry|a leader contradicts entry"

MUTANTS = (
    # durability
    Mutant(name="no fdatasync", syncs=False, profile="power", says="is damaged at byte"),
    Mutant(
        name="no directory fsync",
        syncs_names=False,
        scenario="a_vote_that_is_forgotten",
        says="voted twice",
    ),
    Mutant(
        name="acknowledges before fsync",
        rules=AcknowledgeBeforeSync(),
        scenario="an_acknowledgement_and_lost_power",
        says=_LOST,
    ),
    Mutant(
        name="leader counts itself before fsync",
        rules=LeaderCountsItselfBeforeSync(),
        scenario="a_leader_that_is_slow_to_write",
        says=_LOST,
    ),
    Mutant(
        name="vote not synced",
        patch=vote_not_synced,
        scenario="a_vote_that_is_forgotten",
        says="voted twice",
    ),
    Mutant(
        name="compacts before the snapshot is durable",
        patch=compacts_before_the_snapshot_is_durable,
        profile="power",
        seeds=20,
        says="there is no snapshot|the snapshot ends with|the log begins behind",
    ),
    Mutant(
        name="the log is never let go of",
        patch=never_compacts,
        scenario="a_long_log",
        says="keeps .* entries",
    ),
    # elections
    Mutant(
        name="votes twice",
        rules=VotesTwice(),
        scenario="a_vote_that_is_forgotten",
        says="voted twice",
    ),
    Mutant(
        name="votes for who knows less",
        rules=VotesForWhoKnowsLess(),
        scenario="one_that_knows_less",
        says=_LOST,
    ),
    Mutant(
        name="votes of strangers count",
        rules=StrangersVotesCount(),
        patch=strangers_votes_count,
        scenario="a_vote_of_a_stranger",
        says="elected by",
    ),
    Mutant(
        name="a vote counts as often as it comes",
        patch=duplicate_votes_count,
        scenario="a_vote_that_comes_again",
        says="elected by",
    ),
    Mutant(
        name="votes of an old term count",
        rules=OldVotesCount(),
        scenario="votes_of_an_old_term",
        says="both lead|two leaders|elected by",
    ),
    Mutant(
        name="no pre-vote", rules=NoPreVote(), scenario="one_that_hears_nothing", says="deposed"
    ),
    Mutant(
        name="no stickiness",
        rules=NoStickiness(),
        scenario="one_that_hears_nothing",
        says="deposed",
    ),
    Mutant(
        name="no check of the majority",
        rules=LeadsWithoutMajority(),
        scenario="a_leader_alone",
        says="still leads",
    ),
    Mutant(
        name="campaigns before it hears",
        rules=CampaignsBeforeItHears(),
        scenario="all_asleep",
        says="deposed",
    ),
    Mutant(
        name="campaigns before it is added",
        rules=JoinerCampaigns(),
        scenario="one_that_is_not_added_yet",
        says="is no member",
    ),
    # replication
    Mutant(
        name="acknowledgements of an old term count",
        rules=OldAcknowledgementsCount(),
        scenario="an_old_acknowledgement",
        says=_LOST,
    ),
    Mutant(
        name="commits old terms by counting",
        rules=CommitsOldTermsByCounting(),
        scenario="an_entry_of_an_old_term",
        says="has applied|applied entry",
    ),
    Mutant(
        name="cuts without a conflict",
        rules=CutsWithoutConflict(),
        scenario="an_old_message_comes_again",
        says="a leader contradicts entry",
    ),
    Mutant(
        name="cuts what is committed",
        rules=CutsWhatIsCommitted(),
        scenario="an_old_message_comes_again",
        says="after everything was healed|applied entry|was not acknowledged|not within",
    ),
    # members
    Mutant(
        name="a configuration counts once it is committed",
        patch=configuration_only_when_committed,
        scenario="a_member_in_the_log_only",
        says="elected alone",
    ),
    Mutant(
        name="a change stays after its entry is cut",
        patch=change_stays_after_cut,
        scenario="a_change_that_is_cut_off",
        says="do not agree on the members",
    ),
    Mutant(
        name="two changes at once",
        rules=ChangesAtOnce(),
        scenario="a_second_change",
        says="changes the members at entry",
    ),
    Mutant(
        name="a change before its own term is committed",
        rules=ChangesBeforeOwnTermIsCommitted(),
        patch=changes_before_own_term,
        scenario="a_change_by_a_new_leader",
        says="changes the members at entry",
    ),
    Mutant(
        name="a removed id returns",
        rules=RemovedReturns(),
        scenario="a_removed_one_comes_again",
        says="was not refused",
    ),
    Mutant(
        name="a snapshot without its configuration",
        patch=snapshot_without_configuration,
        profile="membership",
        says="",
    ),
    # clients
    Mutant(
        name="reads without a round",
        rules=ReadsWithoutRound(),
        scenario="a_read_from_a_leader_that_slept",
        says="not linearizable",
    ),
    Mutant(
        name="reads before its own term is committed",
        rules=ReadsBeforeOwnTermIsCommitted(),
        scenario="a_read_before_the_new_term_is_committed",
        says="not linearizable",
    ),
    Mutant(
        name="requests are forgotten in a snapshot",
        machine=ForgetsRequestsInSnapshots,
        profile="power",
        says="got the answer|took effect at entry",
    ),
    Mutant(
        name="a request is proposed again though it may be forgotten",
        patch=repeats_without_bound,
        profile="forgetful",
        seeds=20,
        says="took effect at entry",
    ),
    Mutant(
        name="a repeated request applies again",
        machine=AppliesAgain,
        profile="power",
        says="took effect at entry",
    ),
)
