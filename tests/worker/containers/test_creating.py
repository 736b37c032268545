"""Names of containers: given, taken, changed; and taking away what does not run."""

from dataclasses import replace

import pytest

from common.errors import ConflictError, InvalidInputError, SwarmdError
from tests.support.machine import Machine, plain
from worker.containers.engine import LocalEngine
from worker.containers.names import given_name
from worker.containers.record import ContainerState


async def test_one_without_a_name_is_given_one(engine: LocalEngine) -> None:
    names = {(await engine.create(plain(""))).config.name for _ in range(5)}

    assert len(names) == 5
    assert all("_" in name for name in names)


def test_a_given_name_is_free() -> None:
    first = given_name("0f" * 32, lambda _: False)

    assert given_name("0f" * 32, lambda name: name == first) != first
    assert given_name("0f" * 32, lambda _: True) == "0f" * 32


@pytest.mark.parametrize("name", ["a", "-web", "web/1", "web one", "wéb"])
async def test_a_name_that_cannot_be(engine: LocalEngine, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"Invalid container name \(.*\), only"):
        await engine.create(plain(name))


async def test_a_new_name_is_kept_over_a_restart(machine: Machine) -> None:
    async with machine.engine() as engine:
        container = await engine.create(plain("web"))
        await engine.rename(container.id, "/shop")
        await engine.create(plain("web"))  # the old one is free
    async with machine.engine() as engine:
        assert engine.find("shop").id == container.id

    (renamed,) = [event for event in machine.events.past(0, 10**12) if event.action == "rename"]
    assert (renamed.attributes["name"], renamed.attributes["oldName"]) == ("shop", "/web")


RENAMES: dict[str, tuple[str, str, type[SwarmdError], str]] = {
    "to nothing": ("web", "", InvalidInputError, "Neither old nor new names may be empty"),
    "to itself": ("web", "web", InvalidInputError, "with the same name as its current name"),
    "to what cannot be": ("web", "a b", InvalidInputError, "Invalid container name"),
    "to another's": ("web", "taken", ConflictError, 'name "/taken" is already in use by container'),
    "a task's": ("web.1.t1", "shop", ConflictError, "is a task's: its name stays"),
}


@pytest.mark.parametrize("name", RENAMES)
async def test_a_renaming_is_refused(engine: LocalEngine, name: str) -> None:
    before, wanted, kind, words = RENAMES[name]
    await engine.create(plain("taken"))
    task_id = "t1" if before == "web.1.t1" else ""
    container = await engine.create(replace(plain(before), task_id=task_id))

    with pytest.raises(kind, match=words):
        await engine.rename(container.id, wanted)

    assert engine.find(before).id == container.id


async def test_prune_removes_what_does_not_run_and_is_wanted(
    machine: Machine, engine: LocalEngine
) -> None:
    ids = {}
    for name in ("running", "paused", "ended", "unwanted", "created"):
        ids[name] = (await engine.create(plain(name))).id
        if name != "created":
            await engine.start(ids[name])
    task = await engine.create(replace(plain("task"), task_id="t1"))
    for name in ("ended", "unwanted"):
        await engine.stop(ids[name])
    await engine.pause(ids["paused"])
    (machine.directory(engine.find("ended")) / "upper/file").write_bytes(b"x" * 10_000)

    pruned = await engine.prune(lambda container: container.config.name != "unwanted")

    assert set(pruned.ids) == {ids["ended"], ids["created"]}
    assert pruned.bytes_freed >= 10_000
    left = {container.config.name for container in engine.all()}
    assert left == {"running", "paused", "unwanted", "task"}
    assert engine.find(task.id).state is ContainerState.CREATED
    assert machine.told()[-1] == "prune"


async def test_one_that_runs_is_removed_by_force_only(engine: LocalEngine) -> None:
    container = await engine.start((await engine.create(plain())).id)
    with pytest.raises(ConflictError, match='cannot remove container "/web": container is running'):
        await engine.remove(container.id, force=False)
    await engine.pause(container.id)
    with pytest.raises(ConflictError, match="is paused and must be unpaused first"):
        await engine.remove(container.id, force=False)

    await engine.remove(container.id, force=True)

    assert engine.all() == []
