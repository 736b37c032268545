from manager.dispatcher.pace import REGISTRATIONS_SECONDS, Allowance, Registrations


def test_three_registrations_of_a_node_within_eight_seconds() -> None:
    seen = Registrations()
    assert [seen.admit("a", at) for at in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]
    assert seen.admit("b", 3.0)
    assert not seen.admit("a", 7.9)
    assert seen.admit("a", 8.0)
    assert not seen.admit("a", 8.5)
    assert seen.admit("a", 9.0)


def test_who_was_out_of_order_waits_for_all_of_the_time() -> None:
    seen = Registrations()
    seen.exhaust("a", 10.0)
    assert not seen.admit("a", 10.0 + REGISTRATIONS_SECONDS - 0.1)
    assert seen.admit("a", 10.0 + REGISTRATIONS_SECONDS)
    seen.exhaust("a", 20.0)
    seen.forget("a")
    assert seen.admit("a", 20.0)


def test_an_allowance_fills_up_again_but_not_over_its_burst() -> None:
    allowance = Allowance(10, 2, now=0.0)
    assert allowance.take(10, 0.0) == 0.0
    assert allowance.take(4, 0.0) == 2.0
    assert allowance.take(0, 1.0) == 1.0
    assert allowance.take(10, 100.0) == 0.0
    assert allowance.take(1, 100.0) == 0.5
