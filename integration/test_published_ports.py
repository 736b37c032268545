"""Published ports, against the real kernel, on a host made of namespaces."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.model.endpoint import PortConfig, Protocol
from integration.network_lab import (
    HOST_ADDRESS,
    OUTSIDE_ADDRESS,
    Lab,
    ask,
    in_lab,
    open_in,
    serving,
    sh,
)
from worker.balancer.published_ports import PublishedPorts
from worker.balancer.table import Backend, PortFault, PublishedPort
from worker.network.attachment import Sandbox

TCP, UDP = Protocol.TCP, Protocol.UDP


@dataclass
class Service:
    """Containers that serve on port 80."""

    sandboxes: list[Sandbox] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)

    def backends(self, *which: int) -> tuple[Backend, ...]:
        return tuple(
            Backend(address=self.sandboxes[i].attachment.address, port=80)
            for i in which or range(len(self.sandboxes))
        )


@asynccontextmanager
async def service(lab: Lab, replicas: int) -> AsyncIterator[Service]:
    network = lab.network()
    await network.start()
    made = Service()
    async with AsyncExitStack() as stack:
        for number in range(replicas):
            sandbox = await network.attach(f"{number:064d}"[::-1])
            made.sandboxes.append(sandbox)
            made.seen.append(
                await stack.enter_async_context(serving(sandbox.namespace, 80, f"s{number}"))
            )
        yield made
    network.close()


def published(*backends: Backend, port: int = 8080, protocol: Protocol = TCP) -> PublishedPort:
    return PublishedPort(protocol=protocol, port=port, backends=backends)


async def shares(asked_from: Path | str | None, address: str, times: int) -> Counter[str]:
    return Counter([(await ask(asked_from, address, 8080))[0] for _ in range(times)])


EVEN = Counter(s0=10, s1=10, s2=10)


@pytest.mark.parametrize("bridged_traffic_meets_rules", ["0", "1"])
def test_a_port_is_spread_evenly_from_wherever_it_is_asked(
    tmp_path: Path, bridged_traffic_meets_rules: str
) -> None:
    async def body(lab: Lab) -> None:
        sh(f"sysctl -qw net.bridge.bridge-nf-call-iptables={bridged_traffic_meets_rules}")
        async with service(lab, 3) as made:
            assert await lab.ports.sync([published(*made.backends())]) == []
            assert await shares(lab.outside, HOST_ADDRESS, 30) == EVEN
            assert await shares(None, HOST_ADDRESS, 30) == EVEN
            assert await shares(None, "127.0.0.1", 30) == EVEN
            # A container, by the host's address and by its gateway's; every third time it meets itself.
            inside = made.sandboxes[0]
            assert await shares(inside.namespace, HOST_ADDRESS, 30) == EVEN
            assert await shares(inside.namespace, inside.attachment.gateway, 30) == EVEN

    in_lab(tmp_path, body)


def test_a_backend_sees_who_asks_from_outside(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made:
            await lab.ports.sync([published(*made.backends())])
            assert await ask(lab.outside, HOST_ADDRESS, 8080) == ["s0", "203.0.113.2"]

    in_lab(tmp_path, body)


def test_it_answers_on_ipv6_loopback(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made:
            await lab.ports.sync([published(*made.backends())])
            reader, writer = await asyncio.open_connection("::1", 8080)
            assert (await reader.readline()).startswith(b"s0 ")
            writer.close()
            await writer.wait_closed()

    in_lab(tmp_path, body)


def test_without_backends_it_refuses_at_once(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made:
            ports = [PortConfig(published_port=8080, target_port=80)]
            assert await lab.ports.reserve(ports) == []
            await refused_everywhere(lab)
            await lab.ports.sync([published(*made.backends())])
            await ask(lab.outside, HOST_ADDRESS, 8080)
            await lab.ports.sync([published()])
            await refused_everywhere(lab)
            await lab.ports.sync([])
            await refused_everywhere(lab)
            assert await lab.ports.sync([published(*made.backends())]) == []

    in_lab(tmp_path, body)


async def refused_everywhere(lab: Lab) -> None:
    for where, address in ((lab.outside, HOST_ADDRESS), (None, HOST_ADDRESS), (None, "127.0.0.1")):
        with pytest.raises(ConnectionRefusedError):
            await ask(where, address, 8080)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("::1", 8080)


@pytest.mark.parametrize("asked", ["from outside", "on the host", "on loopback"])
def test_a_rolling_update_fails_no_connection(tmp_path: Path, asked: str) -> None:
    where, address = {
        "from outside": (True, HOST_ADDRESS),
        "on the host": (False, HOST_ADDRESS),
        "on loopback": (False, "127.0.0.1"),
    }[asked]

    async def body(lab: Lab) -> None:
        async with service(lab, 4) as made:
            await lab.ports.sync([published(*made.backends(0, 1))])
            done = asyncio.Event()
            counts: Counter[str] = Counter()

            async def load() -> None:
                while not done.is_set():
                    counts[(await ask(lab.outside if where else None, address, 8080))[0]] += 1

            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(load())
                for round_number in range(16):
                    pair = (0, 1) if round_number % 2 else (2, 3)
                    gone = (2, 3) if round_number % 2 else (0, 1)
                    await lab.ports.sync([published(*made.backends(*pair))])
                    assert await lab.ports.drained(made.backends(*gone), limit_seconds=5)
                    before = [len(made.seen[i]) for i in gone]
                    await asyncio.sleep(0.01)
                    assert [len(made.seen[i]) for i in gone] == before
                done.set()
            assert sum(counts.values()) > 100

    in_lab(tmp_path, body)


@pytest.mark.parametrize("address", [HOST_ADDRESS, "127.0.0.1"])
def test_an_established_connection_outlives_its_backends_place(
    tmp_path: Path, address: str
) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 2) as made:
            await lab.ports.sync([published(*made.backends(0))])
            reader, writer = await asyncio.open_connection(address, 8080)
            assert (await reader.readline()).startswith(b"s0 ")
            await lab.ports.sync([published(*made.backends(1))])
            assert not await lab.ports.drained(made.backends(0), limit_seconds=0.1)
            writer.write(b"still here")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            assert await lab.ports.drained(made.backends(0), limit_seconds=5)

    in_lab(tmp_path, body)


def test_a_port_that_a_process_has_is_a_fault_and_left_to_it(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made, serving(None, 8080, "someone"):
            wanted = [published(*made.backends()), published(*made.backends(), port=8081)]
            fault = PortFault(
                protocol=TCP, port=8080, reason="port 8080/tcp is already in use on this host"
            )
            assert await lab.ports.reserve([PortConfig(published_port=8080)]) == [fault]
            assert await lab.ports.sync(wanted) == [fault]
            assert (await ask(lab.outside, HOST_ADDRESS, 8080))[0] == "someone"
            assert (await ask(lab.outside, HOST_ADDRESS, 8081))[0] == "s0"

    in_lab(tmp_path, body)


def test_a_held_port_is_refused_to_processes_of_the_host(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        await lab.ports.sync([published(), published(port=53, protocol=UDP)])
        for kind, port in ((socket.SOCK_STREAM, 8080), (socket.SOCK_DGRAM, 53)):
            with open_in(None, kind) as other, pytest.raises(OSError) as refusal:  # noqa: PT011 - by its number
                other.bind(("127.0.0.1", port))
            assert refusal.value.errno == errno.EADDRINUSE

    in_lab(tmp_path, body)


def test_another_swarmd_takes_over_what_a_killed_one_left(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 2) as made:
            async with PublishedPorts(lab.netfilter, lab.clock) as killed:
                await killed.sync([published(*made.backends()), published(port=1)])
            # Nobody is there now, and the kernel goes on.
            assert await shares(lab.outside, HOST_ADDRESS, 20) == Counter(s0=10, s1=10)
            await lab.ports.sync([published(*made.backends(1))])
            assert await shares(lab.outside, HOST_ADDRESS, 5) == Counter(s1=5)
            assert sh("nft list ruleset").count("dnat ip to") == 1

    in_lab(tmp_path, body)


LOSSES = {
    "everything flushed": "flush ruleset",
    "the table deleted": "delete table inet swarmd",
    "all chains flushed": "flush table inet swarmd",
    "a port's chain flushed": "flush chain inet swarmd port-tcp-8080",
    "the ports flushed": "flush map inet swarmd ports",
    "the frame flushed": "flush chain inet swarmd published-in",
    "a frame deleted": "delete chain inet swarmd published-in",
    "masquerading deleted": "delete chain inet swarmd bridge-masquerade",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_what_somebody_does_to_our_rules_is_outlived(tmp_path: Path, loss: str) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        sandbox = await network.attach("a" * 64)
        async with (
            PublishedPorts(lab.netfilter, lab.clock, network.renew) as ports,
            serving(sandbox.namespace, 80, "s0"),
            serving(lab.outside, 80, "world"),
        ):
            backend = Backend(address=sandbox.attachment.address, port=80)
            await ports.sync([published(backend), published(port=1)])
            before = lab.netfilter.contents()
            for _ in range(3):
                sh(f"nft {loss}")
                assert lab.netfilter.contents() != before
                async with asyncio.timeout(5):
                    while lab.netfilter.contents() != before:
                        await asyncio.sleep(0.01)
                assert (await ask(lab.outside, HOST_ADDRESS, 8080))[0] == "s0"
                assert (await ask(sandbox.namespace, OUTSIDE_ADDRESS, 80))[1] == HOST_ADDRESS
        network.close()

    in_lab(tmp_path, body)


def test_our_own_changes_are_no_losses(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        renewed: list[None] = []

        async def renew() -> None:
            renewed.append(None)

        async with (
            service(lab, 2) as made,
            PublishedPorts(lab.netfilter, lab.clock, renew) as ports,
        ):
            for count in (2, 1, 0) * 5:
                await ports.sync([published(*made.backends()[:count])])
            await ports.sync([])
            assert len(renewed) <= 1  # at the start
            sh("nft add table inet other")
            sh("nft delete table inet other")
            await asyncio.sleep(0.1)
            assert len(renewed) == 1
            sh("nft flush chain inet swarmd published-in")
            async with asyncio.timeout(5):
                while len(renewed) < 2:
                    await asyncio.sleep(0.01)

    in_lab(tmp_path, body)


def test_a_dead_backend_is_passed_over_on_loopback(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made:
            nobody = Backend(address=made.sandboxes[0].attachment.address, port=81)
            await lab.ports.sync([published(*made.backends(), nobody)])
            assert await shares(None, "127.0.0.1", 6) == Counter(s0=6)
            await lab.ports.sync([published(nobody)])
            with pytest.raises(ConnectionError):
                await ask(None, "127.0.0.1", 8080)

    in_lab(tmp_path, body)


def test_bytes_pass_whole_in_both_directions_on_loopback(tmp_path: Path) -> None:
    size = 20_000_000

    async def body(lab: Lab) -> None:
        async with service(lab, 1) as made:
            listener = open_in(made.sandboxes[0].namespace)
            listener.bind(("0.0.0.0", 90))

            async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while data := await reader.read(100_000):
                    writer.write(data)
                    await writer.drain()
                writer.write(b"the end")
                writer.close()

            async with await asyncio.start_server(echo, sock=listener):
                backend = Backend(address=made.sandboxes[0].attachment.address, port=90)
                await lab.ports.sync([published(backend)])
                reader, writer = await asyncio.open_connection("127.0.0.1", 8080)

                async def send() -> None:
                    for _ in range(size // 100_000):
                        writer.write(b"x" * 100_000)
                        await writer.drain()
                    writer.write_eof()

                async with asyncio.TaskGroup() as group:
                    group.create_task(send())
                    got = await reader.read(-1)
                assert len(got) == size + 7
                assert got.endswith(b"xthe end")
                writer.close()
                await writer.wait_closed()

    in_lab(tmp_path, body)


@asynccontextmanager
async def datagram_service(lab: Lab) -> AsyncIterator[list[Backend]]:
    """Two containers that answer each datagram with their name."""
    network = lab.network()
    await network.start()
    loop = asyncio.get_running_loop()
    backends: list[Backend] = []
    servers: list[socket.socket] = []

    def answer(server: socket.socket, name: bytes) -> None:
        server.sendto(name, server.recvfrom(100)[1])

    for number in range(2):
        sandbox = await network.attach(f"{number:064d}"[::-1])
        backends.append(Backend(address=sandbox.attachment.address, port=53))
        servers.append(open_in(sandbox.namespace, socket.SOCK_DGRAM))
        servers[-1].bind(("0.0.0.0", 53))
        loop.add_reader(servers[-1], answer, servers[-1], f"s{number}".encode())
    yield backends
    for server in servers:
        loop.remove_reader(server)
        server.close()
    network.close()


@pytest.mark.parametrize("asked", ["from outside", "on loopback"])
def test_datagrams_of_a_client_stay_with_a_backend_until_it_goes(
    tmp_path: Path, asked: str
) -> None:
    async def body(lab: Lab) -> None:
        outside = asked == "from outside"
        loop = asyncio.get_running_loop()
        with open_in(lab.outside if outside else None, socket.SOCK_DGRAM) as client:
            client.connect((HOST_ADDRESS if outside else "127.0.0.1", 5353))

            async def ask_again() -> str:
                async with asyncio.timeout(2):
                    await loop.sock_sendall(client, b"who?")
                    return (await loop.sock_recv(client, 100)).decode()

            async with datagram_service(lab) as (s0, s1):
                await lab.ports.sync([published(s0, s1, port=5353, protocol=UDP)])
                first = await ask_again()
                assert [await ask_again() for _ in range(3)] == [first] * 3
                other, remaining = ("s1", s1) if first == "s0" else ("s0", s0)
                await lab.ports.sync([published(remaining, port=5353, protocol=UDP)])
                assert await ask_again() == other

    in_lab(tmp_path, body)
