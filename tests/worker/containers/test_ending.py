"""Stops, signals and pauses."""

import asyncio
from dataclasses import replace

import pytest

from common.errors import ConflictError, InvalidInputError, NotFoundError, SystemFailureError
from common.model.container_spec import ContainerSpec, HealthConfig
from tests.support.fake_clock import settle
from tests.support.machine import Machine, plain, restarting
from worker.containers.ending import grace_of
from worker.containers.engine import LocalEngine
from worker.containers.record import Container, ContainerState, Health
from worker.containers.records import Records

RUNNING, PAUSED, EXITED = ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.EXITED
CHECK = HealthConfig(test=("CMD", "probe"), interval_seconds=10, retries=2, timeout_seconds=5)


@pytest.fixture
async def one(engine: LocalEngine) -> str:
    return (await engine.start((await engine.create(plain())).id)).id


GRACES: dict[str, tuple[float | None, float | None, float]] = {
    "as asked for": (3.0, 20.0, 3.0),
    "at once": (0.0, 20.0, 0.0),
    "else as it was created with": (None, 20.0, 20.0),
    "else ten seconds": (None, None, 10.0),
}


@pytest.mark.parametrize("name", GRACES)
def test_grace(name: str) -> None:
    asked, own, expected = GRACES[name]
    container = Container(
        id="c", config=plain(stop_timeout_seconds=own), image_id="i", created_at=1.0
    )

    assert grace_of(container, asked) == expected


async def test_a_stop_with_another_signal(machine: Machine, engine: LocalEngine, one: str) -> None:
    await engine.stop(one, signal="SIGINT")

    assert machine.runtime.signals == [(one, 2)]
    assert engine.find(one).exit_code == 130


async def test_a_stop_without_end_waits_for_ever(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    machine.runtime.ignored_signals.add(15)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(engine.stop(one, grace_seconds=-1))
        await machine.clock.advance(100_000)
        assert not stopping.done()
        await machine.runtime.end(one, 0)

    assert stopping.result().state is EXITED
    assert machine.runtime.signals == [(one, 15)]


async def test_a_stop_goes_on_when_whoever_asked_for_it_leaves(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    machine.runtime.ignored_signals.add(15)
    stopping = asyncio.ensure_future(engine.stop(one, grace_seconds=10))
    await settle()
    stopping.cancel()
    await machine.clock.advance(11)
    await settle()

    assert stopping.cancelled()
    assert (engine.find(one).state, engine.find(one).exit_code) == (EXITED, 137)


SIGNALS = {
    "SIGKILL is for all of it": ("SIGKILL", 9, True),
    "its stop signal is a stop": ("TERM", 15, True),
    "another is passed on": ("HUP", 1, False),
}


@pytest.mark.parametrize("name", SIGNALS)
async def test_kill(machine: Machine, engine: LocalEngine, one: str, name: str) -> None:
    signal, number, is_wish = SIGNALS[name]
    machine.runtime.ignored_signals.add(number)

    await engine.kill(one, signal)

    assert machine.runtime.signals == [(one, number)]
    assert engine.find(one).is_stopped_by_user is is_wish
    assert machine.told()[-1] == "kill"


async def test_kill_refuses(engine: LocalEngine, one: str) -> None:
    with pytest.raises(InvalidInputError, match="invalid signal: SIGFOO"):
        await engine.kill(one, "SIGFOO")
    await engine.stop(one)
    with pytest.raises(ConflictError, match=f"container {one} is not running"):
        await engine.kill(one)


async def test_pause_and_unpause(machine: Machine, engine: LocalEngine, one: str) -> None:
    await engine.pause(one)
    with pytest.raises(ConflictError, match=f"Container {one} is already paused"):
        await engine.pause(one)
    frozen = (engine.find(one).state, set(machine.runtime.frozen))
    await engine.unpause(one)
    with pytest.raises(ConflictError, match=f"Container {one} is not paused"):
        await engine.unpause(one)

    assert frozen == (PAUSED, {one})
    assert (engine.find(one).state, machine.runtime.frozen) == (RUNNING, set())
    assert machine.told()[-2:] == ["pause", "unpause"]


async def test_one_that_does_not_run_is_not_paused(engine: LocalEngine) -> None:
    container = await engine.create(plain())

    with pytest.raises(ConflictError, match="is not running"):
        await engine.pause(container.id)


async def test_one_that_the_kernel_does_not_freeze_goes_on(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    machine.runtime.further_refusal = SystemFailureError("it does not stand still")

    with pytest.raises(SystemFailureError):
        await engine.pause(one)

    assert engine.find(one).state is RUNNING


async def test_one_that_ends_just_then_is_not_frozen(
    machine: Machine, engine: LocalEngine, one: str
) -> None:
    machine.runtime.further_refusal = NotFoundError("it does not run")

    with pytest.raises(ConflictError, match=f"container {one} is not running"):
        await engine.pause(one)


@pytest.mark.parametrize("how", ["stop", "kill", "remove"])
async def test_what_is_frozen_goes_on_to_meet_its_end(
    machine: Machine, engine: LocalEngine, one: str, how: str
) -> None:
    await engine.pause(one)
    match how:
        case "stop":
            await engine.stop(one)
        case "kill":
            await engine.kill(one, "SIGTERM")
        case _:
            await engine.remove(one)
    await settle()

    container = engine.get(one)
    assert container is None or (container.state, container.pid) == (EXITED, 0)
    assert "die" in machine.told()


async def test_a_frozen_container_is_not_probed(machine: Machine, engine: LocalEngine) -> None:
    config = replace(plain("checked"), spec=ContainerSpec(image="web:1", healthcheck=CHECK))
    one = (await engine.start((await engine.create(config)).id)).id
    await machine.clock.advance(1)
    await engine.pause(one)
    probes = len(machine.runtime.probes)

    await machine.clock.advance(100)
    assert len(machine.runtime.probes) == probes
    await engine.unpause(one)
    await machine.clock.advance(11)

    assert len(machine.runtime.probes) == probes + 1
    assert engine.find(one).health.state is Health.HEALTHY


@pytest.mark.parametrize("policy", ["no", "always"])
async def test_a_full_disk_keeps_nobody_from_removing_a_container(
    machine: Machine, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    one = (await engine.start((await engine.create(restarting(policy))).id)).id

    def full(*_: object) -> None:
        raise SystemFailureError("the disk of containers: No space left on device")

    monkeypatch.setattr(Records, "write", full)
    async with asyncio.TaskGroup() as group:
        removing = group.create_task(engine.remove(one, force=True))
        for _ in range(10):
            await settle()
            await machine.clock.advance(2)

    assert removing.result() is None
    assert engine.get(one) is None
    assert machine.directories() == []
