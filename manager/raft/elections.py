"""How a leader comes to be: waiting, asking whether one would be elected, being elected, voting for others."""

import logging

from manager.raft.member import Member, Role
from manager.raft.messages import AskVote, TakeOver, Vote
from manager.raft.quorum import is_majority
from manager.raft.rules import LogEnd

_log = logging.getLogger("swarmd.raft.elections")


class Ballot:
    """The votes for one candidature, or for the question whether to stand."""

    def __init__(self, term: int, *, pre: bool, own: str) -> None:
        self.term, self.pre = term, pre
        self.votes = {own}


class Elections:
    """This member's part in elections."""

    def __init__(self, member: Member) -> None:
        self._member, self._around = member, member.around
        self._ballot: Ballot | None = None
        self._heard_at = float("-inf")
        self.deadline = 0.0
        """When it campaigns unless it hears of a leader before."""
        self.wait_anew()

    # ------------------------------------------------------------------------------------- waiting

    def wait_anew(self) -> None:
        """Gives a leader the time of a whole election timeout to show itself."""
        self.deadline = self._now() + self._member.election_timeout()

    def _try_again_soon(self) -> None:
        """Whoever has begun to ask knows that there is no leader: a tie is not worth a whole timeout."""
        shortest = self._around.settings.election_seconds_min
        self.deadline = self._now() + self._around.chance.uniform(shortest / 4, shortest)

    def _let_another_try(self) -> None:
        """Another one has begun to ask: two at once would share the votes."""
        shortest = self._around.settings.election_seconds_min
        self.deadline = max(self.deadline, self._now() + shortest / 4)

    def heard_leader(self) -> None:
        """The leader of this term spoke."""
        self._heard_at = self._now()
        self._ballot = None
        self.wait_anew()

    def lost_leader(self) -> None:
        """The link to the leader broke: it may just have ended, so do not wait for long."""
        self._heard_at = float("-inf")
        soon = self._around.chance.uniform(0.0, self._around.settings.lost_link_seconds_max)
        self.deadline = min(self.deadline, self._now() + soon)

    def hears_leader(self) -> bool:
        """Whether there is a leader, as far as this member can tell."""
        if self._member.leads:
            return True
        return self._now() - self._heard_at < self._around.settings.election_seconds_min

    # --------------------------------------------------------------------------------- campaigning

    def campaign_when_due(self) -> None:
        """Asks for votes when no leader was heard for too long."""
        member = self._member
        if member.leads or self._now() < self.deadline:
            return
        self._try_again_soon()
        if not self._around.rules.may_campaign(is_member=member.is_member):
            self._ask_whether_removed()
            return
        member.follow(member.term, None)
        if member.others and self._around.rules.needs_pre_vote():
            self._ask(member.term + 1, pre=True)
        else:
            self.stand()

    def _ask_whether_removed(self) -> None:
        """Its own removal is in its log, and no leader says more: whoever knows it to be committed answers with that.

        As a question beforehand it changes nothing where it is not, and the answer is not counted.
        """
        member = self._member
        if self._around.me.member_id in member.configuration.removed:
            self._question(member.term + 1, pre=True)

    def stand(self, *, forced: bool = False) -> None:
        """Stands for election in the next term."""
        self._try_again_soon()
        self._member.stand()
        _log.info("standing for election", extra={"term": self._member.term})
        self._ask(self._member.term, pre=False, forced=forced)

    def _ask(self, term: int, *, pre: bool, forced: bool = False) -> None:
        self._ballot = Ballot(term, pre=pre, own=self._around.me.member_id)
        self._question(term, pre=pre, forced=forced)
        self._count()

    def _question(self, term: int, *, pre: bool, forced: bool = False) -> None:
        end = self._member.log_end
        question = AskVote(
            term=term, last_index=end.index, last_term=end.term, pre=pre, forced=forced
        )
        for other in self._member.others:
            self._around.links.send(other, question)

    def on_vote(self, sender: str, vote: Vote) -> None:
        """Counts an answer."""
        member, ballot = self._member, self._ballot
        if not vote.granted:
            if vote.term > member.term and sender in member.voters:
                member.follow(vote.term, None)
            return
        if ballot is None or vote.pre != ballot.pre:
            return
        if self._around.rules.counts_vote(
            is_member=sender in member.voters, term=vote.term, current_term=ballot.term
        ):
            ballot.votes.add(sender)
            self._count()

    def _count(self) -> None:
        member, ballot = self._member, self._ballot
        if ballot is None or not is_majority(ballot.votes, member.voters):
            return
        self._ballot = None
        if ballot.pre:
            if ballot.term == member.term + 1 and not member.leads:
                self.stand()
        elif ballot.term == member.term and member.role is Role.CANDIDATE:
            member.lead()

    # -------------------------------------------------------------------------------------- voting

    def on_ask_vote(self, sender: str, question: AskVote) -> None:
        """Votes, or says why not. A vote is durable before it is told."""
        member, rules = self._member, self._around.rules
        if rules.holds_to_its_leader(hears_leader=self.hears_leader(), forced=question.forced):
            self._answer(sender, question, granted=False)
            return
        granted = self._would_vote(sender, question)
        if granted:
            self._let_another_try()
        if not question.pre and question.term >= member.term:
            if question.term > member.term:
                member.follow(question.term, None, vote=sender if granted else "")
            elif granted:
                member.follow(member.term, None, vote=sender)
            if granted:
                self.wait_anew()
        self._answer(sender, question, granted=granted)

    def _would_vote(self, candidate: str, question: AskVote) -> bool:
        member, rules = self._member, self._around.rules
        if question.term < member.term or (question.pre and question.term == member.term):
            return False
        vote = member.vote if question.term == member.term else ""
        return rules.knows_enough(
            candidate=LogEnd(question.last_term, question.last_index), voter=member.log_end
        ) and (question.pre or rules.may_vote(vote=vote, candidate=candidate))

    def _answer(self, sender: str, question: AskVote, *, granted: bool) -> None:
        term = question.term if granted else self._member.term
        self._around.links.send(sender, Vote(term=term, granted=granted, pre=question.pre))

    def on_take_over(self, sender: str, message: TakeOver) -> None:
        """Campaigns at once, because the leader asks for it."""
        member = self._member
        if (
            message.term == member.term
            and sender == member.leader
            and self._around.rules.may_campaign(is_member=member.is_member)
        ):
            self.stand(forced=True)

    def _now(self) -> float:
        return self._around.clock.monotonic()
