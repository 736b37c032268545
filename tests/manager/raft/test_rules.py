"""Every rule in a sentence, and what it says."""

from pathlib import Path

import pytest

from manager.raft.rules import LogEnd, Rules

RULES = Rules()
SAYS: dict[str, tuple[object, object]] = {
    "a member may campaign": (RULES.may_campaign(is_member=True), True),
    "a joiner may not": (RULES.may_campaign(is_member=False), False),
    "it is asked beforehand": (RULES.needs_pre_vote(), True),
    "who hears a leader holds to it": (
        RULES.holds_to_its_leader(hears_leader=True, forced=False),
        True,
    ),
    "unless that one asks for the election": (
        RULES.holds_to_its_leader(hears_leader=True, forced=True),
        False,
    ),
    "who hears none is free": (RULES.holds_to_its_leader(hears_leader=False, forced=False), False),
    "the first to ask gets the vote": (RULES.may_vote(vote="", candidate="b"), True),
    "and again": (RULES.may_vote(vote="b", candidate="b"), True),
    "nobody else does": (RULES.may_vote(vote="a", candidate="b"), False),
    "a longer log knows enough": (
        RULES.knows_enough(candidate=LogEnd(2, 9), voter=LogEnd(2, 8)),
        True,
    ),
    "an equal one, too": (RULES.knows_enough(candidate=LogEnd(2, 8), voter=LogEnd(2, 8)), True),
    "a shorter one does not": (
        RULES.knows_enough(candidate=LogEnd(2, 7), voter=LogEnd(2, 8)),
        False,
    ),
    "a later term counts more than length": (
        RULES.knows_enough(candidate=LogEnd(3, 1), voter=LogEnd(2, 8)),
        True,
    ),
    "a member's vote in this term counts": (
        RULES.counts_vote(is_member=True, term=4, current_term=4),
        True,
    ),
    "one of another term does not": (
        RULES.counts_vote(is_member=True, term=3, current_term=4),
        False,
    ),
    "a stranger's does not": (RULES.counts_vote(is_member=False, term=4, current_term=4), False),
    "a leader with a majority goes on": (RULES.keeps_leading(hears_majority=True), True),
    "one without steps down": (RULES.keeps_leading(hears_majority=False), False),
    "late is more than the bound": (RULES.is_late(seconds_late=2.0, seconds_max=1.0), True),
    "the leader counts what its disk holds": (RULES.durable_index(durable=5, last=9), 5),
    "a follower acknowledges what its disk holds": (
        RULES.acknowledged_index(match=9, durable=5),
        5,
    ),
    "and what agrees": (RULES.acknowledged_index(match=5, durable=9), 5),
    "an acknowledgement of this term counts": (
        RULES.counts_acknowledgement(is_known=True, term=4, current_term=4),
        True,
    ),
    "an older one does not": (
        RULES.counts_acknowledgement(is_known=True, term=3, current_term=4),
        False,
    ),
    "the same entry is no conflict": (RULES.is_conflict(own_term=3, term=3), False),
    "one of another term is": (RULES.is_conflict(own_term=3, term=4), True),
    "what is not committed may be cut": (RULES.may_cut(index=6, commit=5), True),
    "what is committed may not": (RULES.may_cut(index=5, commit=5), False),
    "an entry of this term is committed": (RULES.may_commit(entry_term=4, current_term=4), True),
    "one of an earlier term is not": (RULES.may_commit(entry_term=3, current_term=4), False),
    "a change may follow what is committed": (
        RULES.may_change_members(is_change_pending=False, own_term_committed=True),
        True,
    ),
    "not one that is not committed": (
        RULES.may_change_members(is_change_pending=True, own_term_committed=True),
        False,
    ),
    "nor before the leader's first entry is": (
        RULES.may_change_members(is_change_pending=False, own_term_committed=False),
        False,
    ),
    "who was removed does not return": (RULES.may_return(was_removed=True), False),
    "a read waits for its round": (RULES.may_answer_read(round_agreed=4, round_begun=5), False),
    "or a later one": (RULES.may_answer_read(round_agreed=6, round_begun=5), True),
    "a new leader reads behind its first entry": (RULES.read_index(commit=7, first_of_term=9), 9),
    "an old one behind what is committed": (RULES.read_index(commit=12, first_of_term=9), 12),
}


@pytest.mark.parametrize(("says", "expected"), SAYS.values(), ids=SAYS.keys())
def test_a_rule(says: object, expected: object) -> None:
    assert says == expected


def test_every_rule_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[3] / "manager/raft/README.md").read_text()
    rules = [name for name in vars(Rules) if not name.startswith("_")]
    assert [name for name in rules if f"`{name}`" not in readme] == []
