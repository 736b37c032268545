from hypothesis import given
from hypothesis import strategies as st

from manager.dispatcher.heartbeat import Heartbeats


def test_a_node_that_is_heard_in_time_is_never_overdue() -> None:
    beats = Heartbeats()
    beats.expect("n", 15.0)
    for now in range(0, 100, 5):
        beats.expect("n", now + 15.0)
        assert beats.overdue(float(now)) == []


def test_a_silent_node_is_overdue_once() -> None:
    beats = Heartbeats()
    beats.expect("n", 15.0)
    assert beats.overdue(14.9) == []
    assert beats.overdue(15.0) == ["n"]
    assert beats.overdue(99.0) == []
    assert beats.next_at() is None


def test_an_earlier_moment_replaces_a_later_one() -> None:
    beats = Heartbeats()
    beats.expect("n", 1000.0)
    beats.expect("n", 15.0)
    assert beats.next_at() == 15.0
    assert beats.overdue(15.0) == ["n"]
    assert beats.overdue(1000.0) == []


def test_a_forgotten_node_is_not_overdue() -> None:
    beats = Heartbeats()
    beats.expect("n", 15.0)
    beats.forget("n")
    assert beats.overdue(20.0) == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("expect"), st.sampled_from("abc"), st.integers(1, 50)),
        st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("pass"), st.just(""), st.integers(1, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_answers_as_a_plain_table_would(steps: list[tuple[str, str, int]]) -> None:
    beats, table, now = Heartbeats(), dict[str, float](), 0.0
    for what, node, seconds in steps:
        if what == "expect":
            beats.expect(node, now + seconds)
            table[node] = now + seconds
        elif what == "forget":
            beats.forget(node)
            table.pop(node, None)
        else:
            now += seconds
            due = sorted(node for node, until in table.items() if until <= now)
            assert sorted(beats.overdue(now)) == due
            for gone in due:
                del table[gone]
        earliest = min(table.values(), default=None)
        next_at = beats.next_at()
        assert earliest is None or (next_at is not None and next_at <= earliest)
