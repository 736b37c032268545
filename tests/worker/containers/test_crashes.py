"""The engine is cut off at any moment of any life of its containers: the next one finds its way back."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import SwarmdError
from tests.support.fake_clock import settle
from tests.support.fake_ports import FakePorts
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.record import Container, ContainerConfig, ContainerState, PortBinding

PORT = PortBinding(port=80, host_port=8080)
KINDS: dict[str, ContainerConfig] = {
    "plain": plain("web", port_bindings=(PORT,)),
    "always": restarting("always", port_bindings=(PORT,)),
    "unless-stopped": restarting("unless-stopped"),
    "on-failure": restarting("on-failure", retries=3),
    "removed": plain("web", auto_remove=True, port_bindings=(PORT,)),
}
STEPS = (
    "start", "stop", "kill", "pause", "unpause", "restart", "ends well", "fails", "remove", "wait a moment",
)  # fmt: skip
TURNS_MAX = 3000
"""Of the event loop; files are removed in threads."""


async def step(engine: LocalEngine, machine: Machine, one: str, name: str) -> None:
    match name:
        case "start" | "stop" | "kill" | "pause" | "unpause" | "restart" | "remove":
            await getattr(engine, name)(one)
        case "ends well" | "fails":
            if one in machine.runtime.bundles:
                await machine.runtime.end(one, 0 if name == "ends well" else 1)
        case _:
            machine.clock.skip(0.05)


async def live(
    engine: LocalEngine, machine: Machine, config: ContainerConfig, steps: list[str]
) -> None:
    one = (await engine.create(config)).id
    for name in steps:
        with contextlib.suppress(SwarmdError):
            await step(engine, machine, one, name)


async def until(true: Callable[[], bool]) -> bool:
    for _ in range(TURNS_MAX):
        if true():
            return True
        await asyncio.sleep(0)
    return False


def contradictions(engine: LocalEngine, machine: Machine) -> list[str]:
    """What is not as it has to be once all has settled."""
    containers = engine.all()
    ids = {item.id for item in containers}
    published = {port.host_port for item in containers for port in item.ports}
    on_the_whole = {
        "ports are published": published == {port.port for port in machine.ports.table},
        "each process has a container": machine.runtime.bundles.keys() <= ids,
        "each directory has one": set(machine.directories()) == ids,
    }
    found = [words for words, is_so in on_the_whole.items() if not is_so]
    for item in containers:
        found += [f"{item.state.value}: {words}" for words in _contradictions_of(item, machine)]
    return found


def _contradictions_of(item: Container, machine: Machine) -> list[str]:
    has_process = item.state in (ContainerState.RUNNING, ContainerState.PAUSED)
    is_paused = item.state is ContainerState.PAUSED
    expected = {
        "it has a process": has_process is (item.id in machine.runtime.bundles),
        "it is frozen": is_paused is (item.id in machine.runtime.frozen),
        "it is on the network": has_process is (item.id in machine.networks.attached),
        "its pid is told": has_process is bool(item.pid),
        "it is removed": not is_left_over(item),
        "it runs again": not is_forgotten(item),
    }
    return [f"not as it should be: {words}" for words, is_so in expected.items() if not is_so]


def is_left_over(item: Container) -> bool:
    return item.config.host.auto_remove and item.state is ContainerState.EXITED


def is_forgotten(item: Container) -> bool:
    policy = item.config.host.restart
    wants = policy.name in ("always", "unless-stopped") or (
        policy.name == "on-failure"
        and item.exit_code != 0
        and item.restart_count < policy.maximum_retry_count
    )
    return item.state is ContainerState.EXITED and wants and not item.is_stopped_by_user


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(sorted(KINDS)),
    steps=st.lists(st.sampled_from(STEPS), max_size=8),
    turns=st.integers(0, 120),
    is_reboot=st.booleans(),
)
def test_after_a_crash_at_any_moment_all_is_as_the_records_say(
    kind: str, steps: list[str], turns: int, is_reboot: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        asyncio.run(until_crash(machine, KINDS[kind], steps, turns))
        if is_reboot:
            machine.reboot()
        machine.ports = FakePorts()
        assert asyncio.run(after_recovery(machine)) == []


async def until_crash(
    machine: Machine, config: ContainerConfig, steps: list[str], turns: int
) -> None:
    async with machine.engine() as engine, asyncio.TaskGroup() as group:
        living = group.create_task(live(engine, machine, config, steps))
        await settle(turns)
        living.cancel()


async def after_recovery(machine: Machine) -> list[str]:
    machine.runtime.meet_again()
    async with machine.engine() as engine:
        await machine.clock.advance(1)
        await until(lambda: not contradictions(engine, machine))
        return contradictions(engine, machine)
