"""Ports of the host that containers run by hand publish."""

from dataclasses import replace
from typing import Any

import pytest

from common.errors import ConflictError, InvalidInputError, SystemFailureError
from tests.support.fake_clock import settle
from tests.support.fake_ports import FakePorts
from tests.support.machine import IMAGE, Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.publishing import DYNAMIC_PORTS, DYNAMIC_TRIES_MAX, bindings_of
from worker.containers.record import Container, ContainerConfig, ContainerState, PortBinding

WEB = PortBinding(port=80, host_port=8080)
FIRST = DYNAMIC_PORTS.start


def bound(name: str, *bindings: PortBinding, **host: Any) -> ContainerConfig:
    return plain(name, port_bindings=bindings, **host)


async def started(engine: LocalEngine, config: ContainerConfig) -> Container:
    return await engine.start((await engine.create(config)).id)


async def test_a_port_is_held_while_its_container_runs(
    machine: Machine, engine: LocalEngine
) -> None:
    web = await started(engine, bound("web", WEB))
    held = machine.ports.calls[-1]
    stopped = await engine.stop(web.id)
    await settle()

    assert (web.ports, held) == ((WEB,), "publish 8080->10.0.0.2")
    assert (stopped.ports, machine.ports.table) == ((), ())


async def test_two_cannot_have_one_port_and_the_holder_is_named(
    machine: Machine, engine: LocalEngine
) -> None:
    await started(engine, bound("first", WEB))
    second = await engine.create(bound("second", replace(WEB, port=81)))

    with pytest.raises(ConflictError, match=r"Bind for 0.0.0.0:8080 failed: .* container first"):
        await engine.start(second.id)

    assert engine.find("second").state is ContainerState.CREATED
    assert (len(machine.ports.table), machine.networks.attached) == (1, {engine.find("first").id})


async def test_on_two_addresses_they_can(machine: Machine, engine: LocalEngine) -> None:
    for number in (1, 2):
        await started(engine, bound(f"web{number}", replace(WEB, host_ip=f"127.0.0.{number}")))

    assert [port.address for port in machine.ports.table] == ["127.0.0.1", "127.0.0.2"]


async def test_a_port_of_the_hosts_own_processes(machine: Machine, engine: LocalEngine) -> None:
    machine.ports.taken = {8080}
    container = await engine.create(bound("web", WEB))

    with pytest.raises(ConflictError, match="port 8080/tcp is already in use on this host"):
        await engine.start(container.id)

    assert machine.ports.table == ()


async def test_any_free_port_is_the_next_one(machine: Machine, engine: LocalEngine) -> None:
    machine.ports.taken = {FIRST, FIRST + 2}
    ports = (PortBinding(port=80), PortBinding(port=53, protocol="udp"))

    web = await started(engine, bound("web", *ports))

    assert [(one.port, one.host_port) for one in web.ports] == [(80, FIRST + 1), (53, FIRST + 3)]


async def test_when_none_is_free_it_does_not_start(machine: Machine, engine: LocalEngine) -> None:
    machine.ports.taken = set(range(FIRST, FIRST + DYNAMIC_TRIES_MAX))
    container = await engine.create(bound("web", WEB, PortBinding(port=443)))

    with pytest.raises(ConflictError):
        await engine.start(container.id)

    assert machine.ports.table == ()


async def test_ports_are_given_back_when_the_program_cannot_run(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.create(bound("web", WEB))
    machine.runtime.refusal = InvalidInputError("no such file")

    with pytest.raises(InvalidInputError):
        await engine.start(container.id)

    assert (machine.ports.table, engine.find("web").ports) == ((), ())


async def test_ports_are_given_back_when_the_kernel_refuses(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.create(bound("web", WEB))
    machine.ports.errors = [SystemFailureError("netlink")]

    with pytest.raises(SystemFailureError):
        await engine.start(container.id)

    assert (await engine.start(container.id)).ports == (WEB,)


async def test_they_go_on_after_a_restart_of_swarmd(machine: Machine) -> None:
    async with machine.engine() as engine:
        web = await started(engine, bound("web", WEB, PortBinding(port=443)))
        ended = await started(engine, bound("ended", PortBinding(port=1, host_port=9)))
    await machine.runtime.end(ended.id, 0)
    machine.ports = FakePorts()
    machine.ports.taken = {8080}

    async with machine.engine() as engine:
        await settle()
        assert [port.port for port in machine.ports.table] == [8080, FIRST]
        assert engine.find("web").ports == web.ports
        tries = len(machine.ports.calls)
        machine.ports.taken = set()
        await machine.clock.advance(60)
        assert len(machine.ports.calls) == tries + 1  # published at last, and no more tried
        with pytest.raises(ConflictError, match="already allocated to container web"):
            await started(engine, bound("other", WEB))


async def test_any_free_port_is_found_beside_many_that_ran_before(machine: Machine) -> None:
    many = DYNAMIC_TRIES_MAX + 10
    async with machine.engine() as engine:
        for number in range(many):
            await started(engine, bound(f"web{number}", PortBinding(port=80)))

    async with machine.engine() as engine:
        one_more = await started(engine, bound("one-more", PortBinding(port=80)))

    assert one_more.ports[0].host_port == FIRST + many


async def test_a_restart_of_the_container_publishes_again(
    machine: Machine, engine: LocalEngine
) -> None:
    config = replace(restarting("always", port_bindings=(WEB,)))
    web = await started(engine, config)
    await machine.runtime.end(web.id, 1)
    await settle()
    between = machine.ports.table
    await machine.clock.advance(1)

    assert between == ()
    assert engine.find("web").ports == (WEB,)


def made(config: ContainerConfig) -> Container:
    return Container(id="c", config=config, image_id=IMAGE.id, created_at=1.0)


EXPOSED: dict[str, Any] = {"exposed_ports": ("80/tcp", "53/udp"), "publish_all_ports": True}
BINDINGS: dict[str, tuple[ContainerConfig, tuple[PortBinding, ...]]] = {
    "what is bound": (bound("web", WEB), (WEB,)),
    "exposed ones not without being asked for": (plain(exposed_ports=("80/tcp",)), ()),
    "all that are exposed": (
        plain("web", **EXPOSED),
        (PortBinding(port=80), PortBinding(port=53, protocol="udp")),
    ),
    "but those that are bound": (
        bound("web", WEB, **EXPOSED),
        (WEB, PortBinding(port=53, protocol="udp")),
    ),
    "none on the host's network": (replace(bound("web", WEB), network="host"), ()),
    "none of a task's, which the agent publishes": (replace(bound("web", WEB), task_id="t"), ()),
}


@pytest.mark.parametrize("name", BINDINGS)
def test_bindings(name: str) -> None:
    config, expected = BINDINGS[name]

    assert bindings_of(made(config)) == expected


async def test_what_the_image_exposes_is_exposed(machine: Machine, engine: LocalEngine) -> None:
    machine.images.images["web:1"] = replace(IMAGE, exposed_ports=("80/tcp",))

    web = await engine.create(plain(exposed_ports=("443/tcp",)))

    assert web.config.host.exposed_ports == ("443/tcp", "80/tcp")
