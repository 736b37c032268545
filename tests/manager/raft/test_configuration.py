import pytest

from common.errors import ConflictError, NotFoundError
from manager.raft.configuration import (
    AddMember,
    Change,
    Configuration,
    Configurations,
    OnlyMember,
    RemoveMember,
    changed,
    check_addition,
    check_removal,
    pack_change,
    pack_configuration,
    unpack_change,
    unpack_configuration,
)
from manager.raft.peers import Peer


def peer(name: str, address: str = "") -> Peer:
    return Peer(member_id=name, node_id=f"node-{name}", address=address or f"{name}:2377")


A, B, C = peer("a"), peer("b"), peer("c")


def of(*members: Peer, removed: str = "", nodes: str = "") -> Configuration:
    """``nodes`` are those of removed members, each named by its member's letter."""
    return Configuration(
        members=members,
        removed=frozenset(removed),
        removed_nodes=frozenset(f"node-{letter}" for letter in nodes),
    )


CHANGES: dict[str, tuple[Configuration, Change, Configuration]] = {
    "the first member": (of(), OnlyMember(peer=A), of(A)),
    "one more, in the order of the ids": (of(A, C), AddMember(peer=B), of(A, B, C)),
    "one that is there has moved": (
        of(A, B),
        AddMember(peer=peer("b", "new:1")),
        of(A, peer("b", "new:1")),
    ),
    "one less, for ever": (
        of(A, B, C),
        RemoveMember(member_id="b"),
        of(A, C, removed="b", nodes="b"),
    ),
    "one that was not there is gone for ever, too": (
        of(A),
        RemoveMember(member_id="x"),
        of(A, removed="x"),
    ),
    "one alone, the others gone for ever": (
        of(A, B, C, removed="x"),
        OnlyMember(peer=B),
        of(B, removed="acx", nodes="ac"),
    ),
    "one alone, though it was to be removed": (
        of(A, C, removed="bx", nodes="bx"),
        OnlyMember(peer=B),
        of(B, removed="acx", nodes="acx"),
    ),
    "a node whose member was removed has another one": (
        of(A, removed="x", nodes="bx"),
        AddMember(peer=B),
        of(A, B, removed="x", nodes="x"),
    ),
}


@pytest.mark.parametrize(("before", "change", "after"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change(before: Configuration, change: Change, after: Configuration) -> None:
    assert changed(before, change) == after
    assert changed(after, change) == after


@pytest.mark.parametrize("change", [case[1] for case in CHANGES.values()], ids=CHANGES.keys())
def test_a_change_survives_the_log(change: Change) -> None:
    assert unpack_change(pack_change(change)) == change


def test_a_configuration_survives_a_snapshot() -> None:
    configuration = of(A, B, removed="xyz")
    assert unpack_configuration(pack_configuration(configuration)) == configuration


def test_a_removed_id_and_a_second_member_of_one_node_are_refused() -> None:
    second = Peer(member_id="x", node_id=A.node_id, address="a:2")
    with pytest.raises(ConflictError, match="was removed"):
        check_addition(of(A), B, may_return=False)
    with pytest.raises(ConflictError, match="is a manager already, as a"):
        check_addition(of(A), second, may_return=True)
    check_addition(of(A), B, may_return=True)
    check_addition(of(A), peer("a", "elsewhere:1"), may_return=True)


def test_nobody_is_removed_twice_nor_the_last_one() -> None:
    check_removal(of(A, B), "a")
    with pytest.raises(NotFoundError):
        check_removal(of(A, B), "c")
    with pytest.raises(ConflictError, match="last manager"):
        check_removal(of(A), "a")


def test_the_latest_in_the_log_counts_and_is_reversed_when_it_is_cut() -> None:
    along = Configurations(10, of(A))
    along.note(12, AddMember(peer=B))
    along.note(15, AddMember(peer=C))
    assert [along.at(index) for index in (9, 10, 11, 12, 14, 15, 99)] == [
        *[of(A)] * 3,
        *[of(A, B)] * 2,
        *[of(A, B, C)] * 2,
    ]
    along.cut_from(15)
    assert (along.latest, along.latest_index) == (of(A, B), 12)
    along.cut_from(11)
    assert (along.latest, along.latest_index) == (of(A), 10)


def test_what_holds_behind_a_snapshot_survives_compaction() -> None:
    along = Configurations()
    along.note(1, OnlyMember(peer=A))
    along.note(5, AddMember(peer=B))
    along.note(9, AddMember(peer=C))
    along.compact(7)
    assert [along.at(index) for index in (7, 8, 9)] == [of(A, B), of(A, B), of(A, B, C)]
    along.cut_from(9)
    assert along.latest == of(A, B)
    along.cut_from(1)  # the log is never cut below a snapshot
    assert along.latest == of(A, B)


def test_a_node_does_not_get_the_member_of_another() -> None:
    thief = Peer(member_id="a", node_id="node-x", address="x:2377")
    with pytest.raises(ConflictError, match="is on another node"):
        check_addition(of(A, B), thief, may_return=True)
