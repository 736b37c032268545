from hypothesis import given
from hypothesis import strategies as st

from manager.ca.pace import NODE_BURST_MAX, NODE_SECONDS, NODES_REMEMBERED_MIN, NodePaces, Pace


@given(st.lists(st.floats(0, 100), max_size=200))
def test_never_more_than_a_burst_and_what_came_since(waits: list[float]) -> None:
    pace, now, given_leave = Pace(5, 0.1), 1.0, 0
    for wait in waits:
        now += wait
        given_leave += pace.take(now)
    assert given_leave <= 5 + (now - 1.0) * 0.1 + 1e-6


def test_each_node_has_a_pace_of_its_own() -> None:
    paces, nodes = NodePaces(), {"a", "b"}
    assert [paces.take("a", 1.0, nodes) for _ in range(NODE_BURST_MAX + 1)][-2:] == [True, False]
    assert paces.take("b", 1.0, nodes)
    assert paces.take("a", 1.0 + NODE_SECONDS, nodes)


def test_nodes_that_are_gone_are_forgotten() -> None:
    paces = NodePaces()
    for number in range(10 * NODES_REMEMBERED_MIN):
        paces.take(f"n{number}", 1.0, {f"n{number}"})
    assert len(paces._paces) <= 2 * NODES_REMEMBERED_MIN
