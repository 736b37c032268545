"""What others ask of a container while it is being removed, and what is removed after a start that failed."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from common.errors import NotFoundError, SystemFailureError
from tests.support.local_node import until
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.records import Records
from worker.containers.updating import ContainerUpdate

ASKED: dict[str, Callable[[LocalEngine, str], Awaitable[object]]] = {
    "start": lambda engine, one: engine.start(one),
    "stop": lambda engine, one: engine.stop(one),
    "kill": lambda engine, one: engine.kill(one),
    "restart": lambda engine, one: engine.restart(one),
    "pause": lambda engine, one: engine.pause(one),
    "unpause": lambda engine, one: engine.unpause(one),
    "rename": lambda engine, one: engine.rename(one, "other"),
    "update": lambda engine, one: engine.update(one, ContainerUpdate(cpu_shares=512)),
}


@pytest.mark.parametrize("name", ASKED)
async def test_whoever_comes_after_a_removal_hears_that_there_is_none(
    machine: Machine, engine: LocalEngine, name: str
) -> None:
    one = (await engine.start((await engine.create(restarting("always"))).id)).id
    removing = asyncio.ensure_future(engine.remove(one))
    await asyncio.sleep(0)
    asked = asyncio.ensure_future(ASKED[name](engine, one))
    await removing

    with pytest.raises(NotFoundError, match=f"No such container: {one}"):
        await asked
    assert machine.directories() == []
    assert engine.all() == []


async def test_the_size_of_one_that_is_half_gone(machine: Machine, engine: LocalEngine) -> None:
    """Its directory goes before its name does: a list with sizes leaves it out."""
    one = await engine.create(restarting("no"))
    removing = asyncio.ensure_future(engine.remove(one.id))
    answers = []
    while not removing.done():
        await asyncio.sleep(0)
        if engine.get(one.id) is not None and not machine.directory(one).exists():
            answers.append(await asyncio.gather(engine.size(one.id), return_exceptions=True))

    assert all(isinstance(answer, NotFoundError | int) for (answer,) in answers)


async def test_one_that_is_removed_before_its_creator_hears_of_it_was_made_all_the_same(
    machine: Machine, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    flush = Records.flush

    def flush_late(records: Records, container_id: str) -> None:
        go_on.wait(10)
        flush(records, container_id)

    monkeypatch.setattr(Records, "flush", flush_late)
    creating = asyncio.ensure_future(engine.create(restarting("always")))
    await until(lambda: bool(engine.all()))
    (one,) = engine.all()
    await engine.remove(one.id)
    go_on.set()

    assert (await creating).id == one.id
    assert engine.all() == []


async def test_a_mistake_in_a_start_ends_that_start_alone(
    machine: Machine, engine: LocalEngine
) -> None:
    machine.runtime.refusal = ValueError("ours")
    one = await engine.create(plain(auto_remove=True))
    with pytest.raises(SystemFailureError, match=r"internal error: ValueError\('ours'\)"):
        await engine.start(one.id)
    await until(lambda: not engine.all())

    assert machine.directories() == []
