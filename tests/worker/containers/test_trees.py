"""What stands still while an image is made of it goes on, whatever happens meanwhile."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from common.model.container_spec import ContainerSpec
from tests.support.machine import Machine
from worker.containers.engine import LocalEngine
from worker.containers.record import ContainerConfig, ContainerState
from worker.trees.order import TreeMount, TreeOrder, Work, decode_order

RUNNING, PAUSED = ContainerState.RUNNING, ContainerState.PAUSED


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def config(name: str) -> ContainerConfig:
    return ContainerConfig(name=name, spec=ContainerSpec(image="web:1"))


async def running(engine: LocalEngine) -> str:
    return (await engine.start((await engine.create(config("web"))).id)).id


async def test_it_stands_still_meanwhile_and_no_longer(machine: Machine) -> None:
    async with machine.engine() as engine:
        made = await running(engine)

        async with engine.trees.standing_still(made):
            meanwhile = engine.find(made).state, set(machine.runtime.frozen)

        assert meanwhile == (PAUSED, {made})
        assert (engine.find(made).state, machine.runtime.frozen) == (RUNNING, set())


async def test_what_somebody_has_paused_stays_so(machine: Machine) -> None:
    async with machine.engine() as engine:
        made = await running(engine)
        await engine.pause(made)

        async with engine.trees.standing_still(made):
            pass

        assert engine.find(made).state is PAUSED


async def test_what_does_not_run_is_left_alone(machine: Machine) -> None:
    async with machine.engine() as engine:
        made = (await engine.create(config("web"))).id

        async with engine.trees.standing_still(made):
            assert engine.find(made).state is ContainerState.CREATED


async def test_after_a_crash_it_goes_on_and_what_somebody_paused_does_not(machine: Machine) -> None:
    async with machine.engine() as engine, AsyncExitStack() as never_left:
        made = await running(engine)
        other = (await engine.start((await engine.create(config("other"))).id)).id
        await engine.pause(other)
        await never_left.enter_async_context(engine.trees.standing_still(made))
        async with machine.engine() as again:
            after = [again.find(one).state for one in (made, other)]
            frozen = set(machine.runtime.frozen)

    assert after == [RUNNING, PAUSED]
    assert frozen == {other}


def test_an_order_is_read_as_it_was_given() -> None:
    order = TreeOrder(
        work=Work.PUT,
        container="c",
        pid=5,
        lower=("/l1", "/l2"),
        upper="/u",
        overlay_work="/w",
        place="/p",
        root_read_only=True,
        mounts=(TreeMount(target="/t", source="/s", options={"type": "tmpfs"}),),
        path="/ä",
        is_strict=True,
        as_user="user:group",
    )

    assert decode_order(order.encode()) == order
