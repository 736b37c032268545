from tests.simulation.raft.witness import Witness


def test_operations_in_the_order_of_the_log_are_fine() -> None:
    witness = Witness()
    for index in (3, 4, 9):
        assert witness.end(witness.begin("a write"), index, is_read=False) is None
    assert witness.end(witness.begin("a read"), 9, is_read=True) is None


def test_those_that_overlap_may_come_in_either_order() -> None:
    witness = Witness()
    early, late = witness.begin("one"), witness.begin("other")
    assert witness.end(late, 7, is_read=False) is None
    assert witness.end(early, 6, is_read=False) is None


def test_a_read_of_a_state_before_what_was_acknowledged_is_stale() -> None:
    witness = Witness()
    witness.end(witness.begin("write 1"), 7, is_read=False)
    wrong = witness.end(witness.begin("a read"), 6, is_read=True)
    assert wrong is not None
    assert "write 1" in wrong


def test_a_read_of_a_state_before_what_another_read_saw_is_stale() -> None:
    witness = Witness()
    witness.end(witness.begin("a read"), 7, is_read=True)
    assert witness.end(witness.begin("another"), 6, is_read=True) is not None


def test_a_write_at_a_place_that_was_seen_before_it_began_is_wrong() -> None:
    witness = Witness()
    witness.end(witness.begin("a read"), 7, is_read=True)
    assert witness.end(witness.begin("a write"), 7, is_read=False) is not None
