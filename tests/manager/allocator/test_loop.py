from common.model.endpoint import PortConfig
from common.model.service import Service
from common.model.task import TaskState as S
from manager.allocator.loop import AllocatorLoop
from manager.store.changes import Change, ExplainTask, Update
from manager.store.state import State
from manager.store.watch import Changed
from tests.support.builders import NOW, applied, numbered_ids, service, state_of, task


def wanting(name: str, *, port: int = 0) -> Service:
    return service(name=name, ports=[PortConfig(published_port=port, target_port=80)])


def considered(loop: AllocatorLoop, state: State, key: str) -> tuple[Change, ...]:
    return loop.consider(state, key, NOW, numbered_ids()).changes


def given(changes: tuple[Change, ...]) -> list[int]:
    return [
        port.published_port
        for change in changes
        if isinstance(change, Update) and isinstance(change.object, Service)
        for port in change.object.endpoint.ports
    ]


def test_two_services_decided_before_either_is_stored_get_different_ports() -> None:
    state, loop = state_of([wanting("a"), wanting("b")]), AllocatorLoop()
    assert [*loop.keys(state)] == ["a", "b"]
    assert given(considered(loop, state, "a")) == [30000]
    assert given(considered(loop, state, "b")) == [30001]


def test_a_port_decided_but_refused_by_the_store_is_given_again() -> None:
    state, loop = state_of([wanting("a")]), AllocatorLoop()
    assert given(considered(loop, state, "a")) == [30000]
    assert given(considered(loop, state, "a")) == [30000]


def test_of_two_that_ask_for_one_port_the_second_waits_until_the_first_is_gone() -> None:
    new = task(1, S.NEW, of=wanting("b", port=8080))
    state = state_of([wanting("a", port=8080), wanting("b", port=8080), new])
    loop = AllocatorLoop()
    loop.keys(state)
    applied(state, considered(loop, state, "a"))
    waits = considered(loop, state, "b")
    assert [type(change) for change in waits] == [ExplainTask]
    applied(state, waits)
    assert considered(loop, state, "b") == ()  # it was said

    gone = Changed(state.services["a"], None)
    state.put(state.index + 1, [gone])
    assert list(loop.touched(state, gone)) == ["b"]
    assert given(considered(loop, state, "b")) == [8080]


def test_only_what_is_new_is_allocated() -> None:
    of = service()
    state = state_of([of, task(1, of=of), task(2, S.NEW, of=of)])
    loop = AllocatorLoop()
    loop.keys(state)
    applied(state, considered(loop, state, "web"))
    assert state.tasks["web.2"].status.state == S.PENDING
    assert considered(loop, state, "web") == ()
