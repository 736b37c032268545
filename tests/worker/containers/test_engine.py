"""The local engine over machinery that only says so: lives of containers, and what a restart makes of them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotImplementedHereError,
    SwarmdError,
    SystemFailureError,
)
from common.health_probes import ProbeTarget
from common.model.container_spec import (
    ContainerSpec,
    Driver,
    HealthConfig,
    Mount,
    MountType,
    SecretReference,
)
from tests.support.fake_clock import settle
from tests.support.machine import IMAGE, Machine
from worker.containers.engine import LocalEngine
from worker.containers.files import ContainerFile
from worker.containers.log_lines import LogQuery
from worker.containers.record import Container, ContainerConfig, ContainerState, Health
from worker.containers.records import Records
from worker.runtime.bundle import ExecResult, FileContent

RUNNING, EXITED, CREATED = ContainerState.RUNNING, ContainerState.EXITED, ContainerState.CREATED


def config(name: str = "web.1.t1", **spec: Any) -> ContainerConfig:
    wanted = ContainerSpec(**{"image": "web:1", **spec})
    return ContainerConfig(name=name, task_id="t1", spec=wanted)


async def test_a_container_lives_from_create_to_removal(
    machine: Machine, engine: LocalEngine
) -> None:
    created = await engine.create(config())
    running = await engine.start(created.id)
    stopped = await engine.stop(created.id, grace_seconds=10)
    await engine.remove(created.id)

    assert (created.state, created.argv) == (CREATED, ("serve",))
    assert (running.state, running.pid) == (RUNNING, 1001)
    assert running.attachment.address == "10.0.0.2"
    assert (stopped.state, stopped.exit_code) == (EXITED, 143)
    assert engine.all() == []
    assert machine.told() == ["create", "start", "kill", "die", "stop", "destroy"]
    assert (machine.directories(), machine.images.held, machine.networks.attached) == (
        [],
        {},
        set(),
    )


async def test_the_same_task_gets_the_same_container_and_another_a_conflict(
    engine: LocalEngine,
) -> None:
    first = await engine.create(config())

    assert await engine.create(config()) == first
    with pytest.raises(ConflictError, match=r'name "/web.1.t1" is already in use'):
        await engine.create(replace(config(), task_id="t2"))


async def test_asking_again_while_it_is_being_made_gives_the_same_container(
    engine: LocalEngine,
) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(engine.create(config(name="a")))
        await asyncio.sleep(0)
        first.cancel()
        second = group.create_task(engine.create(config(name="a")))
        third = group.create_task(engine.create(config(name="a")))

    assert second.result() == third.result()
    assert len(engine.all()) == 1


TMPFS = Mount(type=MountType.TMPFS, target="/x")
REFUSED: dict[str, tuple[dict[str, Any], type[SwarmdError], str]] = {
    "an image that is not here": ({"image": "no:1"}, NotFoundError, "No such image: no:1"),
    "a bind of what does not exist": (
        {"mounts": (Mount(type=MountType.BIND, source="/no/such", target="/x"),)},
        InvalidInputError,
        'invalid mount config for type "bind": bind source path does not exist: /no/such',
    ),
    "a mount without a target": ({"mounts": (Mount(),)}, InvalidInputError, "Target must not be empty"),
    "two mounts on one place": ({"mounts": (TMPFS, TMPFS)}, InvalidInputError, "Duplicate mount point: /x"),
    "an image mount": (
        {"mounts": (Mount(type=MountType.IMAGE, source="a", target="/x"),)},
        NotImplementedHereError,
        "mounts of type image",
    ),
    "a capability that there is not": ({"capability_add": ("FLY",)}, InvalidInputError, "FLY"),
    "a stop signal that there is not": ({"stop_signal": "SIGFOO"}, InvalidInputError, "invalid signal"),
    "a healthcheck of unknown kind": (
        {"healthcheck": HealthConfig(test=("PING", "x"))},
        InvalidInputError,
        "Unknown healthcheck type 'PING'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_create_refuses_and_leaves_nothing_of(
    machine: Machine, engine: LocalEngine, name: str
) -> None:
    spec, kind, words = REFUSED[name]

    with pytest.raises(kind, match=words):
        await engine.create(config(**spec))

    assert (machine.directories(), machine.images.held, engine.all()) == ([], {}, [])
    assert (await engine.create(config())).state is CREATED  # the name is free


async def test_a_log_driver_that_there_is_not_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(InvalidInputError, match="no log driver named 'syslog'"):
        await engine.create(replace(config(), log_driver=Driver(name="syslog")))


async def test_a_program_that_does_not_exist_fails_the_start_and_gives_the_network_back(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.create(config())
    machine.runtime.refusal = InvalidInputError('exec: "serve": no such file or directory')

    with pytest.raises(InvalidInputError, match="no such file or directory"):
        await engine.start(container.id)

    failed = engine.find(container.id)
    assert (failed.state, failed.exit_code) == (CREATED, 127)
    assert "no such file or directory" in failed.error
    assert machine.networks.attached == set()


KEY = ContainerFile(path="/run/secrets/key", data=b"very-s3cret")


async def test_secrets_come_with_the_start_and_touch_no_disk(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.create(config(secrets=(SecretReference(secret_name="key"),)))
    with pytest.raises(InvalidInputError, match="is started by its node's agent only"):
        await engine.start(container.id)
    await engine.start(container.id, (KEY,))
    (mount,) = [one for one in machine.runtime.bundles[container.id].mounts if one.content]
    assert (mount.target, mount.content) == (KEY.path, FileContent(data=KEY.data))
    files = [path for path in machine.root.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.data in path.read_bytes()] == []


async def test_after_the_grace_everything_is_killed(machine: Machine, engine: LocalEngine) -> None:
    machine.runtime.ignored_signals.add(15)
    container = await engine.start((await engine.create(config())).id)

    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(engine.stop(container.id, grace_seconds=10))
        await machine.clock.advance(9)
        still = engine.find(container.id).state
        await machine.clock.advance(2)

    assert still is RUNNING
    assert (stopping.result().state, stopping.result().exit_code) == (EXITED, 137)


async def test_what_survives_sigkill_is_an_error_and_may_be_removed_later(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.start((await engine.create(config())).id)
    machine.runtime.ignored_signals.add(9)
    async with asyncio.TaskGroup() as group:
        removing = group.create_task(_outcome(engine, container))
        await machine.clock.advance(20)
    assert "does not end" in removing.result()

    machine.runtime.ignored_signals.clear()
    await engine.remove(container.id)

    assert engine.all() == []


async def _outcome(engine: LocalEngine, container: Container) -> str:
    try:
        await engine.remove(container.id)
    except SystemFailureError as error:
        return error.message
    return "removed"


async def test_an_end_of_its_own_is_told_with_code_and_reason(
    machine: Machine, engine: LocalEngine
) -> None:
    news = engine.changed()
    container = await engine.start((await engine.create(config())).id)
    assert (await anext(news)).state is RUNNING  # only the latest is kept

    await machine.runtime.end(container.id, 137, oom_killed=True)

    ended = await anext(news)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (EXITED, 137, True)
    await settle()
    assert machine.told()[-2:] == ["oom", "die"]
    assert machine.networks.attached == set()


async def test_a_start_goes_on_when_its_caller_is_cancelled(engine: LocalEngine) -> None:
    container = await engine.create(config())

    async with asyncio.TaskGroup() as group:
        starting = group.create_task(engine.start(container.id))
        await asyncio.sleep(0)
        starting.cancel()
    await settle()

    assert engine.find(container.id).state is RUNNING


async def test_a_container_can_run_again_after_its_end(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.start((await engine.create(config())).id)
    await machine.runtime.end(container.id, 3)
    await settle()

    again = await engine.start(container.id)

    assert (again.state, again.exit_code) == (RUNNING, 0)


CHECK = HealthConfig(test=("CMD", "probe"), interval_seconds=10, retries=2, timeout_seconds=5)


async def test_health_goes_from_starting_to_healthy_to_unhealthy(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.start((await engine.create(config(healthcheck=CHECK))).id)
    assert container.health.state is Health.STARTING

    await machine.clock.advance(1)
    assert engine.find(container.id).health.state is Health.HEALTHY

    machine.runtime.probe = ExecResult(code=1, output=b"refused")
    await machine.clock.advance(21)
    sick = engine.find(container.id).health
    assert (sick.state, sick.failing_streak) == (Health.UNHEALTHY, 2)
    assert sick.log[-1].output == "refused"
    assert [name for name in machine.told() if name.startswith("health")] == [
        "health_status: healthy",
        "health_status: unhealthy",
    ]
    await machine.runtime.end(container.id, 0)
    await settle()
    probes = len(machine.runtime.probes)
    await machine.clock.advance(100)
    assert len(machine.runtime.probes) == probes


async def test_a_healthcheck_over_the_network_asks_no_program(
    machine: Machine, engine: LocalEngine
) -> None:
    container = await engine.create(config(labels={"swarmd.health.tcp": "5432"}))
    await engine.start(container.id)

    await machine.clock.advance(1)

    assert engine.find(container.id).health.state is Health.HEALTHY
    assert machine.runtime.probes == []
    assert machine.network_probes == [(1001, ProbeTarget(port=5432))]


async def test_a_restart_keeps_what_runs_with_its_health(machine: Machine) -> None:
    async with machine.engine() as engine:
        before = await engine.start((await engine.create(config(healthcheck=CHECK))).id)
        await machine.clock.advance(1)
    machine.images.held.clear()

    async with machine.engine() as engine:
        after = engine.find("web.1.t1")
        assert machine.images.held == {before.id: IMAGE.id}
        stopped = await engine.stop(after.id, grace_seconds=1)

    assert (after.state, after.pid) == (RUNNING, before.pid)
    assert after.health.state is Health.HEALTHY
    assert stopped.state is EXITED


async def test_an_end_while_swarmd_was_away_is_found_with_its_code(machine: Machine) -> None:
    async with machine.engine() as engine:
        container = await engine.start((await engine.create(config())).id)
    await machine.runtime.end(container.id, 7)

    async with machine.engine() as engine:
        found = engine.find(container.id)

    assert (found.state, found.exit_code) == (EXITED, 7)
    assert (machine.networks.attached, machine.runtime.exits) == (set(), {})


async def test_after_a_reboot_nobody_knows_the_code(machine: Machine) -> None:
    async with machine.engine() as engine:
        container = await engine.start((await engine.create(config())).id)
    machine.reboot()

    async with machine.engine() as engine:
        found = engine.find(container.id)

    assert (found.state, found.exit_code) == (EXITED, 255)


OUTCOMES = {
    "it runs": (True, False, RUNNING),
    "it ran and ended": (True, True, EXITED),
    "it never came to run": (False, False, CREATED),
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_a_start_whose_outcome_was_not_recorded_is_looked_up(
    machine: Machine, name: str
) -> None:
    came_to_run, has_ended, expected = OUTCOMES[name]
    async with machine.engine() as engine:
        container = await engine.create(config())
        if came_to_run:
            await engine.start(container.id)
    if has_ended:
        await machine.runtime.end(container.id, 0)
    records = Records(str(machine.directory(container).parent))
    records.write(replace(container, started_at=machine.clock.now()))

    async with machine.engine() as engine:
        assert engine.find(container.id).state is expected


async def test_half_made_containers_and_processes_without_a_record_are_taken_away(
    machine: Machine,
) -> None:
    async with machine.engine() as engine:
        lost = await engine.start((await engine.create(config())).id)
    (machine.directory(lost) / "record").unlink()
    (machine.root / "data/containers/.gone-x/upper").mkdir(parents=True)

    async with machine.engine() as engine:
        assert engine.all() == []

    assert machine.directories() == []
    assert (machine.runtime.bundles, machine.networks.attached) == ({}, set())


async def test_logs_are_read_from_the_file_and_not_at_all_without_one(
    machine: Machine, engine: LocalEngine
) -> None:
    loud = await engine.create(config())
    quiet = await engine.create(replace(config("quiet"), log_driver=Driver(name="none")))
    line = '{"log":"hi\\n","stream":"stdout","time":"2026-01-02T03:04:05.5Z"}\n'
    (machine.directory(loud) / f"{loud.id}-json.log").write_text(line)

    assert [record.data async for record in engine.logs(loud.id, LogQuery())] == [b"hi\n"]
    with pytest.raises(NotImplementedHereError, match="does not support reading"):
        engine.logs(quiet.id, LogQuery())
