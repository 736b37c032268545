"""Changes of limits and restart policy while a container is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConflictError, InvalidInputError, SwarmdError, SystemFailureError
from common.model.resources import Limit, ResourceRequirements
from tests.support.machine import Machine, plain, restarting
from worker.containers.engine import LocalEngine
from worker.containers.record import ContainerConfig, ContainerState, RestartPolicy
from worker.containers.updating import ContainerUpdate, updated

MIB = 2**20


def limited(**limits: int) -> ContainerConfig:
    return replace(plain(), resources=ResourceRequirements(limits=Limit(**limits)))


async def test_one_that_runs_is_limited_at_once(machine: Machine, engine: LocalEngine) -> None:
    one = (await engine.start((await engine.create(plain())).id)).id

    after = await engine.update(one, ContainerUpdate(memory_bytes=64 * MIB, pids=50))

    limits = machine.runtime.limits[one]
    assert (limits.memory_bytes, limits.pids) == (64 * MIB, 50)
    assert after.config.resources.limits == Limit(memory_bytes=64 * MIB, pids=50)
    assert machine.told()[-1] == "update"


async def test_one_that_does_not_run_is_so_from_its_next_start(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.create(plain())).id
    await engine.update(one, ContainerUpdate(memory_bytes=64 * MIB))
    await engine.start(one)

    assert machine.runtime.limits == {}
    assert machine.runtime.bundles[one].limits.memory_bytes == 64 * MIB


async def test_what_the_kernel_refuses_is_not_recorded(
    machine: Machine, engine: LocalEngine
) -> None:
    before = await engine.start((await engine.create(plain())).id)
    machine.runtime.further_refusal = SystemFailureError("device or resource busy")

    with pytest.raises(SystemFailureError):
        await engine.update(before.id, ContainerUpdate(memory_bytes=4 * MIB))

    assert engine.find(before.id).config == before.config


async def test_a_restart_policy_is_that_of_the_next_end(
    machine: Machine, engine: LocalEngine
) -> None:
    one = (await engine.start((await engine.create(plain())).id)).id
    await engine.update(one, ContainerUpdate(restart=RestartPolicy(name="always")))
    await machine.runtime.end(one, 0)
    await machine.clock.advance(0.01)

    assert engine.find(one).state is ContainerState.RESTARTING


REFUSED: dict[str, tuple[ContainerConfig, ContainerUpdate, type[SwarmdError], str]] = {
    "memory beyond the swap limit that stands": (
        replace(limited(memory_bytes=32 * MIB), host=plain(memory_swap_bytes=64 * MIB).host),
        ContainerUpdate(memory_bytes=128 * MIB),
        ConflictError,
        "update the memoryswap at the same time",
    ),
    "a swap limit below the memory": (
        limited(memory_bytes=64 * MIB),
        ContainerUpdate(memory_swap_bytes=32 * MIB),
        InvalidInputError,
        "Minimum memoryswap limit should be larger than memory limit",
    ),
    "cpus beside a quota": (
        plain(cpu_quota_us=50_000),
        ContainerUpdate(nano_cpus=10**9),
        ConflictError,
        "Nano CPUs and CPU Quota cannot both be set",
    ),
    "a policy for one that is removed after its end": (
        plain(auto_remove=True),
        ContainerUpdate(restart=RestartPolicy(name="always")),
        InvalidInputError,
        "because AutoRemove is enabled",
    ),
    "a policy that there is not": (
        plain(),
        ContainerUpdate(restart=RestartPolicy(name="often")),
        InvalidInputError,
        "unknown policy 'often'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_update_is_refused(name: str) -> None:
    config, wanted, kind, words = REFUSED[name]

    with pytest.raises(kind, match=words):
        updated(config, wanted)


@given(
    memory=st.none() | st.integers(0, 2**40),
    pids=st.none() | st.integers(-1, 1000),
    shares=st.none() | st.integers(2, 2**18),
)
def test_updating_again_changes_nothing_and_nothing_else_is_touched(
    memory: int | None, pids: int | None, shares: int | None
) -> None:
    before = restarting("on-failure", retries=3, blkio_weight=100)
    wanted = ContainerUpdate(memory_bytes=memory, pids=pids, cpu_shares=shares)

    once = updated(before, wanted)

    assert updated(once, wanted) == once
    assert updated(before, ContainerUpdate()) == before
    assert (once.host.restart, once.host.blkio_weight) == (before.host.restart, 100)
