from manager.control.agenda import Agenda


def test_keys_come_in_the_order_in_which_they_became_dirty_and_once() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.mark(["b", "a", "b"])
    assert [agenda.pop(), agenda.pop()] == ["b", "a"]
    assert not agenda.has_dirty


def test_a_reminder_makes_its_key_dirty_when_it_is_due() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.remind("a", 10.0)
    agenda.ring(9.9)
    assert not agenda.has_dirty
    agenda.ring(10.0)
    assert agenda.pop() == "a"
    assert agenda.next_at is None


def test_the_last_reminder_of_a_key_counts() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.remind("a", 10.0)
    agenda.remind("a", 20.0)
    agenda.remind("b", 30.0)
    agenda.remind("b", None)
    agenda.ring(15.0)
    assert not agenda.has_dirty
    assert agenda.next_at == 20.0


def test_a_reminder_put_off_and_back_rings_once() -> None:
    agenda: Agenda[str] = Agenda()
    for at in (10.0, 20.0, 10.0):
        agenda.remind("a", at)
    agenda.ring(30.0)
    assert agenda.pop() == "a"
    assert not agenda.has_dirty
    assert agenda.next_at is None
