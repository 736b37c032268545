from dataclasses import dataclass, field

import pytest

from manager.raft.elections import Elections
from manager.raft.following import Following
from manager.raft.log import LogEntry
from manager.raft.member import BrokenPromiseError
from manager.raft.messages import Append, Appended, Message
from tests.support.lone_member import LoneMember, entries

MEMBERS = "abc"
"""Their additions are entries 1 to 3, in term 1; what follows begins with entry 4."""


@dataclass(frozen=True)
class Case:
    """The log's terms from entry 4 on, what comes in, the log afterwards, and the answer."""

    log: tuple[int, ...]
    previous: tuple[int, int]
    terms: tuple[int, ...]
    after: tuple[int, ...]
    match: int
    commit: int = 0
    leader_commit: int = 0
    commit_after: int = 0
    rejected: bool = False
    entries: list[LogEntry] = field(default_factory=list)


CASES = {
    "a heartbeat, and the log is the same": Case((1, 1), (5, 1), (), (1, 1), 5),
    "more": Case((1,), (4, 1), (1, 2), (1, 1, 2), 6),
    "more, from the beginning of a new log": Case((), (3, 1), (1,), (1,), 4),
    "what is there already changes nothing": Case((1, 1, 1), (3, 1), (1, 1), (1, 1, 1), 5),
    "an old batch that comes again does not shorten the log": Case(
        (1, 1, 1), (4, 1), (), (1, 1, 1), 4
    ),
    "what contradicts the leader's gives way": Case((1, 1, 1), (4, 1), (2,), (1, 2), 5),
    "and all that is behind it": Case((1, 1, 1, 1), (3, 1), (2, 2), (2, 2), 5),
    "a gap: it ends before": Case((1,), (7, 2), (2,), (1,), 4, rejected=True),
    "another entry there: it may agree before that term": Case(
        (1, 2, 2, 2), (7, 3), (3,), (1, 2, 2, 2), 4, rejected=True
    ),
    "but never before what is committed": Case(
        (1, 2, 2, 2), (7, 3), (3,), (1, 2, 2, 2), 6, commit=6, commit_after=6, rejected=True
    ),
    "the commit follows the leader's": Case(
        (1, 1), (5, 1), (1,), (1, 1, 1), 6, leader_commit=5, commit_after=5
    ),
    "as far as the logs are known to agree": Case(
        (1, 1, 1), (4, 1), (), (1, 1, 1), 4, leader_commit=6, commit_after=4
    ),
    "what begins below what is committed here agrees up to there": Case(
        (1, 1), (2, 1), (), (1, 1), 2, commit=5, commit_after=5
    ),
}


def following(case: Case) -> tuple[LoneMember, Following]:
    lone = LoneMember(*MEMBERS, terms=case.log, term=3, commit=case.commit)
    return lone, Following(lone.member, Elections(lone.member))


def append(case: Case, term: int = 3, group: int = 0) -> Append:
    index, previous_term = case.previous
    return Append(
        term=term,
        previous_index=index,
        previous_term=previous_term,
        commit=case.leader_commit,
        round=group,
        entries=entries(index + 1, *case.terms),
    )


def hear(follower: Following, message: Append, sender: str = "b") -> None:
    if follower.obey(sender, message.term):
        follower.on_append(message)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_a_follower_makes_of_an_append(case: Case) -> None:
    lone, follower = following(case)
    hear(follower, append(case))
    lone.member.journal.flush()
    follower.written()
    assert tuple(lone.terms(4)) == case.after
    assert lone.member.commit == case.commit_after
    to, answer = lone.said()[-1]
    rejected = case.previous[0] + 1 if case.rejected else 0
    assert (to, answer) == ("b", Appended(term=3, match=case.match, round=0, rejected=rejected))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_same_again_changes_nothing(case: Case) -> None:
    lone, follower = following(case)
    hear(follower, append(case))
    after = lone.terms()
    hear(follower, append(case))
    assert lone.terms() == after


def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    lone, follower = following(CASES["more"])
    hear(follower, append(CASES["more"]))
    assert matches(lone.said()) == []
    hear(follower, append(Case((), (6, 2), (), (), 6)))  # a heartbeat behind it
    assert matches(lone.said()) == [4]
    lone.member.journal.flush()
    follower.written()
    assert matches(lone.said()) == [6]


def test_a_round_is_answered_at_once() -> None:
    lone, follower = following(CASES["more"])
    hear(follower, append(CASES["more"], group=7))
    ((_, answer),) = lone.said()
    assert answer == Appended(term=3, match=4, round=7)


def test_what_contradicts_something_committed_stops_the_manager() -> None:
    case = Case((1, 1), (3, 1), (2,), (), 0, commit=5)
    lone, follower = following(case)
    with pytest.raises(BrokenPromiseError, match="contradicts entry 4"):
        hear(follower, append(case))
    assert lone.terms(4) == [1, 1]


def test_two_leaders_in_one_term_stop_the_manager() -> None:
    _, follower = following(CASES["more"])
    hear(follower, append(CASES["more"]), "b")
    with pytest.raises(BrokenPromiseError, match="both lead in term 3"):
        hear(follower, append(CASES["more"]), "c")


def test_a_leader_of_an_earlier_term_is_told_so() -> None:
    lone, follower = following(CASES["more"])
    hear(follower, append(CASES["more"], term=2))
    ((to, answer),) = lone.said()
    assert to == "b"
    assert isinstance(answer, Appended)
    assert (answer.term, bool(answer.rejected)) == (3, True)
    assert lone.terms(4) == [1]


def test_a_later_term_is_durable_before_it_is_answered() -> None:
    lone, follower = following(CASES["more"])
    hear(follower, append(CASES["more"], term=9))
    assert (lone.member.term, lone.member.leader) == (9, "b")
    assert lone.durable() == (9, "")


def test_entries_out_of_order_are_not_taken() -> None:
    lone, follower = following(CASES["more"])
    hear(
        follower,
        Append(
            term=3,
            previous_index=4,
            previous_term=1,
            commit=0,
            round=0,
            entries=entries(7, 1),
        ),
    )
    assert (lone.terms(4), lone.said()) == ([1], [])


def matches(said: list[tuple[str, Message]]) -> list[int]:
    return [answer.match for _, answer in said if isinstance(answer, Appended)]
