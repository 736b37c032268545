import pytest

from manager.raft.elections import Elections
from manager.raft.member import Role
from manager.raft.messages import AskVote, Message, TakeOver, Vote
from tests.support.lone_member import LoneMember

NEVER_HEARD = "nobody"


class Voter(LoneMember):
    """Member ``a`` of three, whose log ends with entry 5 of term 2, in term 3."""

    def __init__(self, vote: str = "", names: str = "abc", term: int = 3) -> None:
        super().__init__(*names, terms=(1, 2), term=term, vote=vote)
        self.elections = Elections(self.member)

    async def pass_by(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.elections.campaign_when_due()

    def answers(self, question: AskVote, sender: str = "b") -> list[Message]:
        self.elections.on_ask_vote(sender, question)
        return [message for to, message in self.said() if to == sender]


def ask(
    term: int, end: tuple[int, int] = (5, 2), *, pre: bool = False, forced: bool = False
) -> AskVote:
    return AskVote(term=term, last_index=end[0], last_term=end[1], pre=pre, forced=forced)


VOTES: dict[str, tuple[str, AskVote, Vote, tuple[int, str]]] = {
    "the first to ask in a later term": ("", ask(4), Vote(term=4, granted=True), (4, "b")),
    "in this term, nobody had the vote": ("", ask(3), Vote(term=3, granted=True), (3, "b")),
    "who has the vote already": ("b", ask(3), Vote(term=3, granted=True), (3, "b")),
    "another one has it": ("c", ask(3), Vote(term=3, granted=False), (3, "c")),
    "the vote of an earlier term is void": ("c", ask(4), Vote(term=4, granted=True), (4, "b")),
    "an earlier term": ("", ask(2), Vote(term=3, granted=False), (3, "")),
    "who knows less: only its term counts": (
        "",
        ask(4, (4, 2)),
        Vote(term=4, granted=False),
        (4, ""),
    ),
    "who ends in an earlier term": ("", ask(4, (9, 1)), Vote(term=4, granted=False), (4, "")),
    "who asks beforehand changes nothing": (
        "",
        ask(4, pre=True),
        Vote(term=4, granted=True, pre=True),
        (3, ""),
    ),
    "beforehand, and knows less": (
        "",
        ask(4, (4, 2), pre=True),
        Vote(term=3, granted=False, pre=True),
        (3, ""),
    ),
    "beforehand, for this very term": (
        "",
        ask(3, pre=True),
        Vote(term=3, granted=False, pre=True),
        (3, ""),
    ),
}


@pytest.mark.parametrize(
    ("vote", "question", "answer", "durable"), VOTES.values(), ids=VOTES.keys()
)
async def test_a_vote_and_it_is_durable_when_it_is_told(
    vote: str, question: AskVote, answer: Vote, durable: tuple[int, str]
) -> None:
    voter = Voter(vote)
    assert voter.answers(question) == [answer]
    assert voter.durable() == durable


async def test_who_hears_a_leader_holds_to_it() -> None:
    voter = Voter()
    voter.member.follow(3, "c")
    voter.elections.heard_leader()
    assert voter.answers(ask(4, pre=True)) == [Vote(term=3, granted=False, pre=True)]
    assert voter.answers(ask(4)) == [Vote(term=3, granted=False)]
    assert voter.member.term == 3
    assert voter.answers(ask(4, forced=True)) == [Vote(term=4, granted=True)]


async def test_who_lost_the_link_to_its_leader_holds_to_it_no_more() -> None:
    voter = Voter()
    voter.member.follow(3, "c")
    voter.elections.heard_leader()
    voter.elections.lost_leader()
    assert voter.answers(ask(4, pre=True)) == [Vote(term=4, granted=True, pre=True)]


async def test_it_asks_beforehand_then_stands_then_leads() -> None:
    voter = Voter()
    await voter.pass_by(2.0)
    question = ask(4, pre=True)
    assert voter.said() == [("b", question), ("c", question)]
    assert (voter.member.role, voter.member.term) == (Role.FOLLOWER, 3)
    voter.elections.on_vote("b", Vote(term=4, granted=True, pre=True))
    assert voter.said() == [("b", ask(4)), ("c", ask(4))]
    assert (voter.member.role, voter.member.term, voter.member.vote) == (Role.CANDIDATE, 4, "a")
    voter.elections.on_vote("c", Vote(term=4, granted=True))
    assert voter.member.leads
    assert voter.member.log_end.term == 4  # the entry with which it begins its term
    assert voter.durable() == (4, "a")


VOTES_THAT_DO_NOT_COUNT = {
    "a refusal": [("b", Vote(term=4, granted=False))],
    "of an earlier term": [("b", Vote(term=3, granted=True))],
    "one beforehand": [("b", Vote(term=4, granted=True, pre=True))],
    "a stranger's": [("x", Vote(term=4, granted=True)), ("y", Vote(term=4, granted=True))],
    "one of five twice": [("b", Vote(term=4, granted=True)), ("b", Vote(term=4, granted=True))],
}


@pytest.mark.parametrize(
    "votes", VOTES_THAT_DO_NOT_COUNT.values(), ids=VOTES_THAT_DO_NOT_COUNT.keys()
)
async def test_votes_that_do_not_count(votes: list[tuple[str, Vote]]) -> None:
    voter = Voter(names="abcde")
    voter.elections.stand()
    for sender, vote in votes:
        voter.elections.on_vote(sender, vote)
    assert voter.member.role is Role.CANDIDATE


async def test_a_refusal_of_a_later_term_ends_the_candidature() -> None:
    voter = Voter()
    voter.elections.stand()
    voter.elections.on_vote("b", Vote(term=9, granted=False))
    assert (voter.member.role, voter.member.term) == (Role.FOLLOWER, 9)


async def test_only_members_campaign() -> None:
    joiner = Voter(names="bc")
    await joiner.pass_by(60.0)
    assert joiner.said() == []
    assert joiner.member.term == 3


async def test_the_only_member_needs_to_ask_nobody() -> None:
    lone = Voter(names="a")
    await lone.pass_by(2.0)
    assert lone.member.leads


async def test_only_its_leader_makes_it_take_over() -> None:
    voter = Voter()
    voter.member.follow(3, "c")
    voter.elections.on_take_over("b", TakeOver(term=3))
    voter.elections.on_take_over("c", TakeOver(term=2))
    assert voter.said() == []
    voter.elections.on_take_over("c", TakeOver(term=3))
    forced = ask(4, forced=True)
    assert voter.said() == [("b", forced), ("c", forced)]
