import pytest

from common.codec import CodecError, encode
from common.errors import ConflictError
from common.model.node import Node
from common.model.service import Service, ServiceSpec
from manager.store.changes import Create, Delete, Entry
from manager.store.replica import ACCEPTED, Replica, raise_refusal

WEB = Create(object=Service(id="w", spec=ServiceSpec(name="web")))


def entry(*changes: Create | Delete) -> bytes:
    return encode(Entry(at=1.0, changes=changes))


def test_decodes_what_was_proposed_elsewhere() -> None:
    replica = Replica()
    assert replica.apply(1, b"r1", entry(WEB)) == ACCEPTED
    assert replica.state.find_service("web").version == 1


def test_does_not_decode_what_was_proposed_here() -> None:
    replica = Replica()
    replica.expect(b"r1", Entry(at=1.0, changes=(WEB,)))
    assert replica.apply(1, b"r1", b"not looked at") == ACCEPTED
    assert replica.state.find_service("web").created_at == 1.0


def test_decodes_again_when_the_proposer_went_away() -> None:
    replica = Replica()
    replica.expect(b"r1", Entry(at=1.0, changes=(WEB,)))
    replica.forget(b"r1")
    assert replica.apply(1, b"r1", entry(WEB)) == ACCEPTED


def test_a_request_that_comes_again_is_answered_but_not_applied_again() -> None:
    replica = Replica()
    create, delete = entry(WEB), entry(Delete(table="service", id="w"))
    answers = [
        replica.apply(1, b"r1", create),
        replica.apply(2, b"r2", delete),
        replica.apply(3, b"r1", create),
    ]
    assert answers == [ACCEPTED] * 3
    assert (dict(replica.state.services), replica.state.index) == ({}, 3)


def test_a_refusal_travels_as_bytes_and_comes_back_as_an_error() -> None:
    replica = Replica()
    replica.apply(1, b"r1", entry(WEB))
    answer = replica.apply(2, b"r2", entry(WEB))
    with pytest.raises(ConflictError, match="service w already exists"):
        raise_refusal(answer)
    assert replica.state.index == 2


def test_requests_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.store.replica.REQUESTS_REMEMBERED", 1)
    replica = Replica()
    replica.apply(1, b"r1", entry(Create(object=Node(id="n1"))))
    replica.apply(2, b"r2", entry(Create(object=Node(id="n2"))))
    assert replica.apply(3, b"r1", entry(Create(object=Node(id="n1")))) != ACCEPTED


def test_bytes_that_are_no_entry_are_not_passed_over() -> None:
    with pytest.raises(CodecError):
        Replica().apply(1, b"r1", b"\xc1")
