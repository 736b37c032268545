"""Runs of containers that are nobody's task: restarts, removal after the end, and what a crash leaves of both."""

import os
from dataclasses import replace

import pytest

from common.errors import ConflictError, InvalidInputError, NotFoundError, SystemFailureError
from tests.support.fake_clock import settle
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.record import ContainerConfig, ContainerState
from worker.containers.records import Records
from worker.containers.waiting import Ended, WaitCondition
from worker.containers.workshop import ETC_BYTES_MAX
from worker.runtime.bundle import Exit

CREATED, RUNNING, RESTARTING, EXITED = (
    ContainerState.CREATED,
    ContainerState.RUNNING,
    ContainerState.RESTARTING,
    ContainerState.EXITED,
)


async def started(engine: LocalEngine, config: ContainerConfig) -> str:
    return (await engine.start((await engine.create(config)).id)).id


async def end(machine: Machine, container_id: str, code: int) -> None:
    await machine.runtime.end(container_id, code)
    await settle()


async def test_one_that_fails_at_once_starts_again_less_and_less_often(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("always"))
    waits = []
    for _ in range(12):
        before = machine.clock.now()
        await end(machine, one, 1)
        container = engine.find(one)
        assert container.state is RESTARTING
        waits.append(round(container.restart_at - before, 3))
        await machine.clock.advance(waits[-1])
        assert engine.find(one).state is RUNNING

    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]
    assert engine.find(one).restart_count == 12
    await machine.clock.advance(10)
    await end(machine, one, 1)
    assert engine.find(one).restart_delay_seconds == 0.1


async def test_on_failure_gives_up_after_its_tries(machine: Machine, engine: LocalEngine) -> None:
    one = await started(engine, restarting("on-failure", retries=2))
    for _ in range(3):
        await end(machine, one, 4)
        await machine.clock.advance(1)

    over = engine.find(one)
    assert (over.state, over.exit_code, over.restart_count) == (EXITED, 4, 2)
    assert (await engine.start(one)).restart_count == 0


async def test_a_stop_ends_the_restarts_and_a_start_allows_them_again(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("always"))

    stopped = await engine.stop(one, grace_seconds=1)
    await machine.clock.advance(100)

    assert (stopped.state, engine.find(one).state) == (EXITED, EXITED)
    await engine.start(one)
    await end(machine, one, 0)
    assert engine.find(one).state is RESTARTING


async def test_a_stop_while_it_waits_for_its_next_start_is_an_end(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("always"))
    await end(machine, one, 3)

    stopped = await engine.stop(one)
    await machine.clock.advance(100)

    assert (stopped.state, stopped.exit_code) == (EXITED, 3)
    assert engine.find(one).state is EXITED


async def test_removing_one_that_waits_for_its_next_start_needs_force(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("always"))
    await end(machine, one, 3)

    with pytest.raises(ConflictError, match="container is restarting: stop the container before"):
        await engine.remove(one, force=False)
    await engine.remove(one)
    await machine.clock.advance(100)

    assert engine.all() == []


async def test_a_restart_that_cannot_start_counts_as_a_failed_run(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("on-failure", retries=3))
    machine.runtime.refusal = InvalidInputError('exec: "serve": no such file or directory')
    await end(machine, one, 1)
    await machine.clock.advance(0.1)
    waiting = engine.find(one)
    await machine.clock.advance(10)
    over = engine.find(one)

    assert (waiting.state, waiting.restart_count) == (RESTARTING, 2)
    assert (over.state, over.exit_code, over.restart_count) == (EXITED, 127, 3)
    assert "no such file or directory" in over.error
    assert machine.networks.attached == set()


async def test_a_tasks_container_is_neither_restarted_nor_removed(
    machine: Machine, engine: LocalEngine
) -> None:
    config = replace(restarting("always"), task_id="t1")
    one = await started(engine, config)
    await end(machine, one, 1)
    other = await started(engine, replace(plain("other", auto_remove=True), task_id="t2"))
    await end(machine, other, 1)
    await machine.clock.advance(100)

    assert [engine.find(item).state for item in (one, other)] == [EXITED, EXITED]


async def test_it_is_removed_after_its_end_with_its_anonymous_volumes(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, plain(auto_remove=True))

    removal = engine.wait(one, WaitCondition.REMOVED)
    await end(machine, one, 7)

    assert (await removal).exit_code == 7
    assert (engine.all(), machine.directories()) == ([], [])
    await settle()
    assert machine.told()[-2:] == ["die", "destroy"]


async def test_one_that_could_not_start_is_removed_too(
    machine: Machine, engine: LocalEngine
) -> None:
    machine.runtime.refusal = InvalidInputError("no such file or directory")
    container = await engine.create(plain(auto_remove=True))

    removal = engine.wait(container.id, WaitCondition.REMOVED)
    with pytest.raises(InvalidInputError):
        await engine.start(container.id)

    assert await removal == Ended(exit_code=127, error="no such file or directory")
    assert engine.all() == []


async def test_restart_starts_anew_and_nothing_else_follows_from_that_end(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, plain(auto_remove=True))

    again = await engine.restart(one, grace_seconds=1)
    await settle()

    assert (again.state, again.is_stopped_by_user) == (RUNNING, False)
    assert engine.find(one).state is RUNNING
    assert machine.told() == ["create", "start", "kill", "die", "stop", "start", "restart"]


async def test_restart_of_a_paused_one(machine: Machine, engine: LocalEngine) -> None:
    one = await started(engine, plain())
    await engine.pause(one)

    again = await engine.restart(one)

    assert (again.state, machine.runtime.frozen) == (RUNNING, set())


async def test_restart_starts_one_that_does_not_run(engine: LocalEngine) -> None:
    container = await engine.create(plain())

    assert (await engine.restart(container.id)).state is RUNNING


async def test_a_paused_one_is_not_started(engine: LocalEngine) -> None:
    one = await started(engine, plain())
    await engine.pause(one)

    with pytest.raises(ConflictError, match="cannot start a paused container, try unpause"):
        await engine.start(one)


# --------------------------------------------------------------------------- after swarmd was away


async def test_a_waiting_restart_goes_on_after_a_crash_and_counts_on(machine: Machine) -> None:
    async with machine.engine() as engine:
        one = await started(engine, restarting("always"))
        for _ in range(5):
            await machine.runtime.end(one, 1)
            await machine.clock.advance(2)
        await end(machine, one, 1)
        before = engine.find(one)
    machine.clock.skip(1)

    async with machine.engine() as engine:
        await settle()
        after = engine.find(one)
        await machine.clock.advance(before.restart_at - machine.clock.now() - 0.01)
        assert engine.find(one).state is RESTARTING
        await machine.clock.advance(0.02)
        again = engine.find(one)

    assert (before.state, before.restart_count) == (RESTARTING, 6)
    assert after == before
    assert (again.state, again.restart_count) == (RUNNING, 6)


async def test_an_end_that_nobody_watched_is_followed_by_its_policy(machine: Machine) -> None:
    async with machine.engine() as engine:
        one = await started(engine, restarting("on-failure", retries=5))
    await machine.runtime.end(one, 9)

    async with machine.engine() as engine:
        assert (engine.find(one).state, engine.find(one).exit_code) == (RESTARTING, 9)
        await machine.clock.advance(0.1)
        assert (engine.find(one).state, engine.find(one).restart_count) == (RUNNING, 1)


AFTER_A_REBOOT = {
    "no policy": ("no", False, EXITED),
    "always": ("always", False, RUNNING),
    "unless-stopped": ("unless-stopped", False, RUNNING),
    "on-failure": ("on-failure", False, RUNNING),
    "always, stopped before": ("always", True, RUNNING),
    "unless-stopped, stopped before": ("unless-stopped", True, EXITED),
    "on-failure, stopped before": ("on-failure", True, EXITED),
}


@pytest.mark.parametrize("name", AFTER_A_REBOOT)
async def test_after_a_reboot(machine: Machine, name: str) -> None:
    policy, is_stopped, expected = AFTER_A_REBOOT[name]
    async with machine.engine() as engine:
        one = await started(engine, restarting(policy))
        if is_stopped:
            await engine.stop(one)
    machine.reboot()

    async with machine.engine() as engine:
        await machine.clock.advance(1)
        assert engine.find(one).state is expected
        if expected is RUNNING:  # from here on as ever
            await end(machine, one, 1)
            assert engine.find(one).state is RESTARTING


async def test_a_start_by_its_policy_that_was_cut_off_is_tried_again(machine: Machine) -> None:
    async with machine.engine() as engine:
        one = await started(engine, restarting("always"))
        await end(machine, one, 1)
        waiting = engine.find(one)
    under_way = replace(waiting, state=CREATED, started_at=machine.clock.now(), finished_at=0.0)
    Records(str(machine.directory(waiting).parent)).write(under_way)
    machine.reboot()

    async with machine.engine() as engine:
        await machine.clock.advance(1)
        assert (engine.find(one).state, engine.find(one).restart_count) == (RUNNING, 1)


@pytest.mark.parametrize(("policy", "expected"), [("unless-stopped", EXITED), ("always", RUNNING)])
async def test_a_stop_cut_off_while_it_waited_for_its_next_start(
    machine: Machine, policy: str, expected: ContainerState
) -> None:
    async with machine.engine() as engine:
        one = await started(engine, restarting(policy))
        await end(machine, one, 1)
        waiting = engine.find(one)
    Records(str(machine.directory(waiting).parent)).write(replace(waiting, is_stopped_by_user=True))

    async with machine.engine() as engine:
        await machine.clock.advance(100)
        assert engine.find(one).state is expected


async def test_what_a_policy_reads_is_flushed_and_nothing_else_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(Records, "flush", lambda _, container_id: flushed.append(container_id))
    async with machine.engine() as engine:
        await started(engine, plain())
        await engine.stop("0" * 63 + "1")
        nothing = list(flushed)
        one = await started(engine, replace(restarting("always"), name="lasting"))
        await engine.rename(one, "other")
        await engine.stop(one)

    assert (nothing, flushed) == ([], [one] * 4)  # made, started, renamed, about to be stopped


async def test_what_its_last_run_had_is_given_back_after_a_crash_in_between(
    machine: Machine,
) -> None:
    async with machine.engine() as engine:
        one = await started(engine, plain())
        await machine.runtime.end(one, 3)
        await settle()
    directory = machine.root / "exec/etc" / one
    directory.mkdir()  # as if the crash had come before the last step
    machine.runtime.exits[one] = Exit(id=one, code=3, oom_killed=False, at=1.0)

    async with machine.engine() as engine:
        assert engine.find(one).state is EXITED

    assert (directory.exists(), machine.runtime.exits) == (False, {})


async def test_a_pause_outlives_swarmd(machine: Machine) -> None:
    async with machine.engine() as engine:
        one = await started(engine, plain())
        await engine.pause(one)
    machine.runtime.frozen.clear()  # as if the crash had come between record and kernel

    async with machine.engine() as engine:
        assert engine.find(one).state is ContainerState.PAUSED
        assert machine.runtime.frozen == {one}
        await engine.unpause(one)
        assert engine.find(one).state is RUNNING


@pytest.mark.parametrize("ends", ["while swarmd is away", "before"])
async def test_what_was_to_be_removed_after_its_end_is_so_after_a_crash(
    machine: Machine, ends: str
) -> None:
    async with machine.engine() as engine:
        one = await started(engine, plain(auto_remove=True))
        waits_for_its_start = await engine.create(plain("later", auto_remove=True))
        container = engine.find(one)
    if ends == "before":  # recorded, but not followed up
        Records(str(machine.directory(container).parent)).write(
            replace(container, state=EXITED, pid=0, finished_at=machine.clock.now())
        )
    await machine.runtime.end(one, 0)

    async with machine.engine() as engine:
        await engine.wait(one, WaitCondition.REMOVED)
        assert [item.id for item in engine.all()] == [waits_for_its_start.id]


async def test_what_is_removed_meanwhile_is_not_started(engine: LocalEngine) -> None:
    container = await engine.create(plain())
    await engine.remove(container.id)
    for method in (engine.start, engine.stop, engine.kill, engine.pause, engine.restart):
        with pytest.raises(NotFoundError, match="No such container"):
            await method(container.id)
    with pytest.raises(NotFoundError):
        engine.wait(container.id, WaitCondition.NEXT_EXIT)


async def test_removing_by_force_ends_its_restarts_first(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, restarting("always"))

    await engine.remove(one)
    await machine.clock.advance(100)

    assert (engine.all(), machine.runtime.bundles) == ([], {})


async def test_one_that_could_not_be_removed_by_force_is_not_started_by_its_policy(
    machine: Machine,
) -> None:
    async with machine.engine() as engine:
        one = await started(engine, restarting("always"))
        machine.networks.refusal = SystemFailureError("the link does not go")
        with pytest.raises(SystemFailureError):
            await engine.remove(one)
        await machine.clock.advance(100)
        dead = engine.find(one)
    async with machine.engine() as engine:
        await machine.clock.advance(100)
        assert engine.find(one).state is ContainerState.DEAD

    assert (dead.state, dead.is_stopped_by_user) == (ContainerState.DEAD, True)


# ------------------------------------------------------------------------------- sharing with others


async def test_a_network_is_shared_with_one_that_runs(
    machine: Machine, engine: LocalEngine
) -> None:
    web = await engine.create(plain("web"))
    beside = await engine.create(replace(plain("beside"), network=f"container:{web.id}"))
    with pytest.raises(ConflictError, match="cannot join network namespace of a non running"):
        await engine.start(beside.id)
    await engine.start(web.id)
    await engine.start(beside.id)

    bundle = machine.runtime.bundles[beside.id]
    etc = machine.root / "exec/etc"
    assert (bundle.network_namespace, bundle.hostname) == (f"container:{web.id}", web.id[:12])
    assert "10.0.0.2" in (etc / beside.id / "hosts").read_text()
    assert machine.networks.attached == {web.id}


HOSTILE_TEXTS = {
    "bytes that are no text": (b"nameserver \xff\xfe\n", False),
    "more than is read": (b"#" * (ETC_BYTES_MAX + 1), True),
}


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
async def test_whose_network_is_shared_may_have_written_anything_into_its_files(
    machine: Machine, engine: LocalEngine, name: str
) -> None:
    data, is_refused = HOSTILE_TEXTS[name]
    web = await started(engine, plain("web"))
    etc = machine.root / "exec/etc"
    (etc / web / "resolv.conf").write_bytes(data)
    beside = await engine.create(replace(plain("beside"), network=f"container:{web}"))

    if is_refused:
        with pytest.raises(ConflictError, match=r"/etc/resolv\.conf of the container"):
            await engine.start(beside.id)
    else:
        await engine.start(beside.id)
        assert (etc / beside.id / "resolv.conf").read_bytes() == data


async def test_on_the_hosts_network_it_has_the_hosts_name(
    machine: Machine, engine: LocalEngine
) -> None:
    one = await started(engine, replace(plain(), network="host"))

    assert machine.runtime.bundles[one].hostname == os.uname().nodename


async def test_its_domain_is_told(machine: Machine, engine: LocalEngine) -> None:
    one = await started(engine, plain(domainname="example.net"))

    assert machine.runtime.bundles[one].domainname == "example.net"
    hosts = (machine.root / "exec/etc" / one / "hosts").read_text()
    assert f"10.0.0.2\t{one[:12]}.example.net {one[:12]}\n" in hosts
