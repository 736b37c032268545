"""Containers' networks, against the real kernel, on a host made of namespaces."""

import asyncio
from pathlib import Path

import pytest

from common.errors import ConflictError
from integration.network_lab import (
    HOST_ADDRESS,
    OUTSIDE_ADDRESS,
    UPLINK_MTU,
    Lab,
    ask,
    in_lab,
    serving,
    sh,
)
from worker.network.attachment import Sandbox

VOLATILE = ("nf_conntrack_count", "/neigh/", "/conf/swarmd0/")


def container(number: int) -> str:
    return f"{number:064x}"[::-1]


def as_found() -> dict[str, str]:
    """Everything of the host's network that must be the same afterwards."""
    found = {
        "links": sh("ip -o link"),
        "routes": sh("ip route show table all"),
        "addresses": sh("ip -o addr"),
        "rules": sh("nft list ruleset"),
        "mounts": Path("/proc/thread-self/mounts").read_text(),
    }
    for path in Path("/proc/sys/net").rglob("*"):
        if path.is_file() and not any(word in str(path) for word in VOLATILE):
            try:
                found[str(path)] = path.read_text()
            except OSError:
                continue
    return found


def test_a_hundred_containers_reach_each_other_and_the_world(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        sandboxes: list[Sandbox] = await asyncio.gather(
            *(network.attach(container(number)) for number in range(100))
        )
        addresses = [sandbox.attachment.address for sandbox in sandboxes]
        assert len(set(addresses)) == 100
        assert addresses[0] == "172.17.0.2"
        first, last = sandboxes[0], sandboxes[-1]
        assert f"mtu {UPLINK_MTU} " in sh("ip link show eth0", Path(last.namespace))
        assert "inet6 fe80" not in sh("ip addr show eth0", Path(last.namespace))
        async with serving(last.namespace, 80, "last"):
            assert await ask(first.namespace, last.attachment.address, 80) == [
                "last",
                first.attachment.address,
            ]
        async with serving(lab.outside, 80, "world"):
            assert await ask(last.namespace, OUTSIDE_ADDRESS, 80) == ["world", HOST_ADDRESS]
        await network.teardown()
        network.close()

    in_lab(tmp_path, body)


def test_containers_are_not_reached_but_through_published_ports(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        sandbox = await network.attach(container(1))
        sh(f"ip route add 172.17.0.0/16 via {HOST_ADDRESS}", lab.outside)
        async with serving(sandbox.namespace, 80, "hidden") as seen:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await ask(lab.outside, sandbox.attachment.address, 80)
            assert seen == []
        network.close()

    in_lab(tmp_path, body)


def test_attaching_again_gives_the_same_also_after_a_crash(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        before = await network.attach(container(1))
        assert await network.attach(container(1)) == before
        await network.attach(container(2))
        inside = sh("ip link show eth0", Path(before.namespace))
        network.close()  # as a killed swarmd leaves it

        network = lab.network()
        await network.start()
        await network.reconcile({container(1)})
        assert await network.attach(container(1)) == before
        assert sh("ip link show eth0", Path(before.namespace)) == inside
        assert [path.name for path in (lab.root / "exec/netns").iterdir()] == [container(1)]
        async with asyncio.timeout(5):
            while sh("ip -o link").count("master swarmd0") > 1:
                await asyncio.sleep(0.02)
        assert (await network.attach(container(3))).attachment.address != before.attachment.address
        network.close()

    in_lab(tmp_path, body)


def test_a_link_that_somebody_took_away_is_made_again(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        before = await network.attach(container(1))
        sh(f"ip link del ve{container(1)[:13]}")
        assert await network.attach(container(1)) == before
        async with serving(before.namespace, 80, "back"):
            assert (await ask(None, before.attachment.address, 80))[0] == "back"
        network.close()

    in_lab(tmp_path, body)


def test_a_container_that_comes_back_at_once_is_connected(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        network = lab.network()
        await network.start()
        for _ in range(5):
            sandbox = await network.attach(container(1))
            async with serving(sandbox.namespace, 80, "here"):
                assert (await ask(None, sandbox.attachment.address, 80))[0] == "here"
            await network.detach(container(1))
            await network.detach(container(1))
        network.close()

    in_lab(tmp_path, body)


def test_teardown_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        # Not quite the kernel's defaults, so that "put back" is more than "reset".
        sh("sysctl -qw net.ipv4.conf.eth0.forwarding=1 net.ipv4.conf.all.accept_redirects=0")
        before = as_found()
        network = lab.network()
        await network.start()
        await lab.ports.sync([])
        assert sh("sysctl -n net.ipv4.ip_forward") == "1\n"
        for number in range(10):
            await network.attach(container(number))
        await network.detach(container(3))
        network.close()

        network = lab.network()
        await (
            network.start()
        )  # A second start must not take the changed settings for the former ones.
        await network.attach(container(11))
        network.close()

        network = lab.network()
        await network.teardown()
        await network.teardown()
        network.close()
        assert as_found() == before

    in_lab(tmp_path, body)


def test_a_foreign_interface_of_the_bridges_name_is_left_alone(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        sh("ip link add swarmd0 type bridge")
        before = as_found()
        network = lab.network()
        with pytest.raises(ConflictError, match="swarmd0 exists and is not swarmd's"):
            await network.start()
        await network.teardown()
        network.close()
        assert as_found() == before

    in_lab(tmp_path, body)


def test_the_subnet_avoids_the_hosts_routes_and_stays(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        sh(f"ip route add 172.17.128.0/24 via {OUTSIDE_ADDRESS}")
        network = lab.network()
        await network.start()
        assert str(network.bridge.subnet) == "172.18.0.0/16"
        sh(f"ip route del 172.17.128.0/24 via {OUTSIDE_ADDRESS}")
        await network.start()
        assert str(network.bridge.subnet) == "172.18.0.0/16"
        network.close()

    in_lab(tmp_path, body)
