from worker.balancer.table import Backend
from worker.balancer.turns import Turns

ONE, TWO, THREE = (Backend(address=f"10.0.0.{last}", port=80) for last in (1, 2, 3))


def turns(*backends: Backend) -> Turns:
    made = Turns()
    made.backends = backends
    return made


def test_everyone_in_turn() -> None:
    spread = turns(ONE, TWO, THREE)
    assert [spread.next() for _ in range(4)] == [ONE, TWO, THREE, ONE]


def test_those_tried_in_vain_are_passed_over() -> None:
    assert turns(ONE, TWO, THREE).next(but={ONE}) == TWO
    assert turns(ONE, TWO).next(but={ONE, TWO}) is None


def test_without_backends_there_is_nobody() -> None:
    assert Turns().next() is None


def test_the_backends_may_become_fewer_at_any_time() -> None:
    spread = turns(ONE, TWO, THREE)
    spread.next()
    spread.next()
    spread.backends = (ONE,)
    assert [spread.next(), spread.next()] == [ONE, ONE]
