"""Streams, terminal and numbers of a container that runs."""

import pytest

from common.errors import ConflictError, NotFoundError
from tests.support.fake_clock import settle
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine


async def test_attached_before_its_start_and_while_it_runs(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.create(plain())).id
    before = await engine.attach(one)
    await engine.start(one)
    after = await engine.attach(one, with_input=False)
    engine.detached(one)

    assert machine.runtime.attached == [(one, before), (one, after)]
    assert machine.runtime.attach_options == [(True, True, True), (False, False, True)]
    assert machine.told() == ["create", "attach", "start", "attach", "detach"]


async def test_nobody_is_attached_to_what_stands_still(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.start((await engine.create(restarting("always"))).id)).id
    await engine.pause(one)
    with pytest.raises(ConflictError, match="is paused, unpause the container before attach"):
        await engine.attach(one)
    await engine.unpause(one)
    await machine.runtime.end(one, 1)
    await settle()
    with pytest.raises(ConflictError, match="is restarting, wait until the container is running"):
        await engine.attach(one)


async def test_terminal_and_numbers_are_of_what_runs(machine: Machine, engine: LocalEngine) -> None:
    one = (await engine.create(plain())).id
    with pytest.raises(ConflictError, match="is not running"):
        await engine.resize(one, 24, 80)
    with pytest.raises(ConflictError, match="is not running"):
        await engine.processes(one)
    with pytest.raises(NotFoundError):
        await engine.usage(one)
    await engine.start(one)

    await engine.resize(one, 24, 80)

    assert machine.runtime.sizes == [(one, 24, 80)]
    assert (await engine.usage(one)).pids == 1
    assert await engine.processes(one) == [1000]
    (resized,) = [event for event in machine.events.past(0, 10**12) if event.action == "resize"]
    assert (resized.attributes["height"], resized.attributes["width"]) == ("24", "80")
