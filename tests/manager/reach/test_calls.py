"""Calls of nodes by the manager that leads."""

import asyncio
from collections.abc import Callable

import pytest

from common.errors import ForbiddenError, UnavailableError
from common.protocol.byte_stream import BOUNDS
from common.protocol.stream import FramedStream
from manager.reach.calls import CALLS_MAX, CALLS_PER_NODE_MAX, Calls
from tests.support.stream_pairs import stream_pair


class Agents:
    """Hears the calls; ``react`` says what an agent does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.react: Callable[[str, str], None] = lambda _node, _call: None

    def ask_to_dial_back(self, node_id: str, request_id: str) -> None:
        self.asked.append((node_id, request_id))
        self.react(node_id, request_id)


def _calls() -> tuple[Calls, Agents]:
    agents = Agents()
    numbers = iter(range(10**6))
    return Calls(agents, lambda: f"call{next(numbers)}"), agents


async def _stream() -> FramedStream:
    ours, theirs = await stream_pair(BOUNDS)
    theirs.attach(lambda _: None, ended=lambda _: None)
    return ours


async def test_who_wants_a_node_gets_the_stream_that_it_opens() -> None:
    calls, agents = _calls()
    stream = await _stream()
    agents.react = lambda node, call: calls.answer(call, node, stream)
    assert await calls.open("node1") is stream
    assert agents.asked == [("node1", "call0")]
    stream.abort("done")


async def test_only_the_node_that_was_called_may_answer_and_only_once() -> None:
    calls, agents = _calls()
    stream = await _stream()

    def react(node: str, call: str) -> None:
        for who, what in (("other", call), (node, "made-up"), ("other", "made-up")):
            with pytest.raises(ForbiddenError):
                calls.answer(what, who, stream)
        calls.answer(call, node, stream)
        with pytest.raises(ForbiddenError):
            calls.answer(call, node, stream)

    agents.react = react
    assert await calls.open("node1") is stream
    with pytest.raises(ForbiddenError):
        calls.check("call0", "node1")
    stream.abort("done")


async def test_a_call_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.reach.calls.ANSWER_SECONDS_MAX", 0.01)
    calls, _ = _calls()
    for _ in range(2 * CALLS_PER_NODE_MAX):  # and leaves nothing: there is room for more afterwards
        with pytest.raises(UnavailableError, match="node1 does not answer"):
            await calls.open("node1")


async def test_an_agent_that_is_not_there_is_told_at_once_and_takes_no_place() -> None:
    calls, agents = _calls()

    def react(_node: str, _call: str) -> None:
        raise UnavailableError("node node1 is not available")

    agents.react = react
    for _ in range(2 * CALLS_PER_NODE_MAX):
        with pytest.raises(UnavailableError, match="not available"):
            await calls.open("node1")


async def test_a_node_has_so_many_streams_at_once_and_a_place_is_free_again_when_one_ends() -> None:
    calls, agents = _calls()
    streams = [await _stream() for _ in range(CALLS_PER_NODE_MAX + 1)]
    agents.react = lambda node, call: calls.answer(call, node, streams[len(agents.asked) - 1])
    for _ in range(CALLS_PER_NODE_MAX):
        await calls.open("node1")
    with pytest.raises(UnavailableError, match="too many requests"):
        await calls.open("node1")
    streams[0].abort("done")
    await streams[0].until_ended()
    await asyncio.sleep(0)
    assert await calls.open("node1") is streams[CALLS_PER_NODE_MAX]
    assert CALLS_MAX > CALLS_PER_NODE_MAX
    for stream in streams:
        stream.abort("done")


async def test_a_caller_that_leaves_lets_the_node_go() -> None:
    calls, agents = _calls()
    called = asyncio.Event()
    agents.react = lambda _node, _call: called.set()
    calling = asyncio.ensure_future(calls.open("node1"))
    await called.wait()
    calling.cancel()
    await asyncio.wait([calling])
    with pytest.raises(ForbiddenError):
        calls.check("call0", "node1")
