"""Published ports of several holders."""

import asyncio

import pytest

from common.model.endpoint import PortConfig, Protocol
from tests.support.fake_clock import FakeClock, settle
from tests.support.fake_ports import FakePorts
from worker.balancer.shares import FIRST_WORD_SECONDS_MAX, PortShare, PortShares, overlap
from worker.balancer.table import Backend, PublishedPort


def tcp(port: int, *backends: str, address: str = "") -> PublishedPort:
    return PublishedPort(
        protocol=Protocol.TCP,
        port=port,
        backends=tuple(Backend(address=one, port=80) for one in backends),
        address=address,
    )


class Node:
    def __init__(self) -> None:
        self.kernel, self.clock = FakePorts(), FakeClock()
        self.shares = PortShares(self.kernel, self.clock)
        self.tasks: PortShare = self.shares.share(lambda _: "a task")
        self.containers: PortShare = self.shares.share(lambda key: f"container {key[1]}")


@pytest.fixture
def node() -> Node:
    return Node()


async def test_each_says_only_what_is_its_own(node: Node) -> None:
    await node.tasks.sync([tcp(80, "10.0.0.1")])
    await node.containers.sync([tcp(8080, "10.0.0.2")])
    both = node.kernel.table
    await node.tasks.sync([])

    assert both == (tcp(80, "10.0.0.1"), tcp(8080, "10.0.0.2"))
    assert node.kernel.table == (tcp(8080, "10.0.0.2"),)


async def test_what_one_holds_no_other_gets(node: Node) -> None:
    await node.containers.sync([tcp(80, "10.0.0.2")])

    (fault,) = await node.tasks.sync([tcp(80, "10.0.0.1"), tcp(81, "10.0.0.1")])
    (refused,) = await node.tasks.reserve([PortConfig(published_port=80)])

    assert fault.reason == refused.reason == "port 80/tcp is already allocated to container 80"
    assert node.kernel.table == (tcp(81, "10.0.0.1"), tcp(80, "10.0.0.2"))


async def test_a_reservation_outlives_what_others_say_and_ends_with_the_next_word(
    node: Node,
) -> None:
    await node.tasks.reserve([PortConfig(published_port=80)])
    await node.containers.sync([tcp(81, "10.0.0.2")])
    (fault,) = await node.containers.sync([tcp(80), tcp(81, "10.0.0.2")])
    reserved = node.kernel.table
    await node.tasks.sync([])

    assert fault.reason == "port 80/tcp is already allocated to a task"
    assert reserved == (tcp(80), tcp(81, "10.0.0.2"))
    assert await node.containers.sync([tcp(80)]) == []


async def test_a_port_of_the_hosts_own_processes_is_nobodys(node: Node) -> None:
    node.kernel.taken = {80}
    (fault,) = await node.tasks.reserve([PortConfig(published_port=80)])
    node.kernel.taken = set()

    assert fault.reason == "port 80/tcp is already in use on this host"
    assert await node.containers.sync([tcp(80)]) == []


async def test_nothing_is_touched_before_those_who_had_ports_have_spoken(node: Node) -> None:
    node.shares.expect(node.tasks)
    async with asyncio.TaskGroup() as group:
        group.create_task(node.containers.sync([tcp(81)]))
        await node.clock.advance(FIRST_WORD_SECONDS_MAX - 1)
        assert node.kernel.calls == []
        await node.tasks.sync([tcp(80)])
        await settle()

    assert node.kernel.table == (tcp(80), tcp(81))


async def test_who_says_nothing_is_not_waited_for_for_ever(node: Node) -> None:
    node.shares.expect(node.tasks)
    async with asyncio.TaskGroup() as group:
        group.create_task(node.containers.sync([tcp(81)]))
        await node.clock.advance(FIRST_WORD_SECONDS_MAX + 1)

    assert node.kernel.table == (tcp(81),)


OVERLAPS = {
    "the same": (("tcp", 80, ""), ("tcp", 80, ""), True),
    "one address and all": (("tcp", 80, "127.0.0.1"), ("tcp", 80, ""), True),
    "two addresses": (("tcp", 80, "127.0.0.1"), ("tcp", 80, "127.0.0.2"), False),
    "two ports": (("tcp", 80, ""), ("tcp", 81, ""), False),
    "two protocols": (("tcp", 80, ""), ("udp", 80, ""), False),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlap(name: str) -> None:
    one, other, expected = OVERLAPS[name]
    first = (Protocol(one[0]), one[1], one[2])
    second = (Protocol(other[0]), other[1], other[2])

    assert overlap(first, second) is overlap(second, first) is expected
