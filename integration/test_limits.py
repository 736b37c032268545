"""What holds a container back, seen to hold: real containers against the kernel's own control groups."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from common.errors import ConflictError, NotFoundError, SystemFailureError
from integration.runtime_world import BUSYBOX, World
from integration.test_runtime import needs
from worker.runtime.bundle import BundleMount, CgroupLimits, Usage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]
MIB = 1 << 20


async def count(world: World, name: str, wanted: int) -> None:
    """Waits until it has said so many lines."""
    for _ in range(500):
        if len(world.lines(name)) >= wanted:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{name} does not go on: {world.lines(name)}")


# -- standing still --------------------------------------------------------------------------------


async def test_a_paused_container_stands_still_until_it_goes_on(world: World) -> None:
    needs("freezer")
    ticking = "while :; do echo tick; sleep 0.01; done"
    await world.client.start(world.bundle("a", "sh", "-c", ticking))
    await count(world, "a", 3)
    await world.client.pause("a")
    await world.client.pause("a")
    with pytest.raises(ConflictError, match="paused, unpause"):
        await world.client.exec("a", ["true"], timeout_seconds=5, output_max_bytes=10)
    said = len(world.lines("a"))
    await asyncio.sleep(0.1)
    assert len(world.lines("a")) == said
    await world.client.resume("a")
    await count(world, "a", said + 3)


async def test_a_paused_container_can_be_killed(world: World) -> None:
    needs("freezer")
    await world.client.start(world.bundle("a", "sleep", "100"))
    await world.client.pause("a")
    await world.client.kill("a")
    assert (await world.client.wait("a")).code == 137


async def test_what_does_not_run_cannot_be_paused_limited_or_measured(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.client.pause("a")
    with pytest.raises(NotFoundError):
        await world.client.resume("a")
    with pytest.raises(NotFoundError):
        await world.client.limit("a", CgroupLimits())
    with pytest.raises(NotFoundError):
        await world.client.usage("a")
    with pytest.raises(NotFoundError):
        await world.client.processes("a")


# -- usage -----------------------------------------------------------------------------------------


async def test_usage_and_processes_are_read_while_it_runs(world: World) -> None:
    needs("memory")
    script = "sleep 100 & sleep 100 & echo up; wait"
    limits = CgroupLimits(memory_bytes=64 * MIB, pids=20)
    pid = await world.client.start(world.bundle("a", "sh", "-c", script, limits=limits))
    await count(world, "a", 1)
    assert len(await world.client.processes("a")) == 3
    usage = await world.client.usage("a")
    assert (usage.pids, usage.pids_limit, usage.memory_limit_bytes) == (3, 20, 64 * MIB)
    assert usage.cpu_ns > 0
    assert 0 < usage.memory_bytes < 64 * MIB
    assert usage.memory_detail["pgfault"] > 0
    assert pid in await world.client.processes("a")


# -- limits ----------------------------------------------------------------------------------------


async def test_cpu_quota_holds_a_busy_loop_to_its_share(world: World) -> None:
    needs("cpu")
    limits = CgroupLimits(cpu_quota_us=20_000)
    await world.client.start(world.bundle("a", "sh", "-c", "while :; do :; done", limits=limits))
    ratio = await busy_ratio(world, "a")
    assert 0 < ratio < 0.3
    assert (await world.client.usage("a")).throttled_periods > 0
    await world.client.limit("a", CgroupLimits())
    before = await world.client.usage("a")
    assert await busy_ratio(world, "a") > 0
    assert (await world.client.usage("a")).throttled_ns == before.throttled_ns


async def busy_ratio(world: World, name: str) -> float:
    """The part of one processor that it had in a second."""
    began, before = time.monotonic_ns(), await world.client.usage(name)
    await asyncio.sleep(1)
    after = await world.client.usage(name)
    return (after.cpu_ns - before.cpu_ns) / (time.monotonic_ns() - began)


async def test_limits_change_while_it_runs_and_all_or_none(world: World) -> None:
    needs("memory")
    fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null; echo filled; sleep 100"
    limits = CgroupLimits(memory_bytes=64 * MIB, memory_swap_bytes=64 * MIB, pids=20)
    await world.client.start(world.bundle("a", "sh", "-c", fill, limits=limits))
    await count(world, "a", 1)
    with pytest.raises(SystemFailureError):
        await world.client.limit("a", CgroupLimits(memory_bytes=16 * MIB, pids=7))
    assert limits_seen(await world.client.usage("a")) == (64 * MIB, 20)
    await world.client.limit("a", CgroupLimits(memory_bytes=256 * MIB, pids=8))
    assert limits_seen(await world.client.usage("a")) == (256 * MIB, 8)
    await world.client.limit("a", CgroupLimits(memory_bytes=48 * MIB, pids=8))
    assert limits_seen(await world.client.usage("a")) == (48 * MIB, 8)
    await world.client.limit("a", CgroupLimits())
    assert limits_seen(await world.client.usage("a")) == (0, 0)


def limits_seen(usage: Usage) -> tuple[int, int]:
    return usage.memory_limit_bytes, usage.pids_limit


async def test_a_fork_bomb_stays_within_its_processes(world: World) -> None:
    needs("pids")
    bomb = "f() { f | f & }; f; sleep 100"
    bundle = world.bundle("a", "sh", "-c", bomb, limits=CgroupLimits(pids=30))
    await world.client.start(bundle)
    for _ in range(10):
        assert len(await world.client.processes("a")) <= 30
        await asyncio.sleep(0.05)
    await world.client.kill("a")
    assert (await world.client.wait("a")).code == 137


async def test_a_memory_hog_is_killed_and_it_is_told(world: World) -> None:
    needs("memory")
    limits = CgroupLimits(memory_bytes=16 * MIB, memory_swap_bytes=16 * MIB)
    hog = world.bundle("a", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", limits=limits)
    await world.client.start(hog)
    ended = await world.client.wait("a")
    assert (ended.code, ended.oom_killed) == (137, True)


async def test_cpuset_is_seen_from_inside_and_changes_while_it_runs(world: World) -> None:
    needs("cpuset")
    last = (os.cpu_count() or 1) - 1
    status = "grep Cpus_allowed_list /proc/self/status | tr '\\t' ' '"
    script = f"{status}; while [ ! -e /shared/go ]; do sleep 0.02; done; {status}"
    limits = CgroupLimits(cpuset_cpus=str(last), cpuset_mems="0")
    shared = world.layer("shared")
    mounts = (BundleMount(target="/shared", source=str(shared)),)
    await world.client.start(world.bundle("a", "sh", "-c", script, limits=limits, mounts=mounts))
    await count(world, "a", 1)
    await world.client.limit("a", CgroupLimits(cpuset_cpus="0"))
    (shared / "go").touch()
    assert (await world.client.wait("a")).code == 0
    assert world.lines("a") == [f"Cpus_allowed_list: {last}", "Cpus_allowed_list: 0"]


async def test_processors_of_one_that_ran_on_all_can_be_limited(world: World) -> None:
    needs("cpuset")
    pid = await world.client.start(world.bundle("a", "sleep", "100"))
    await world.client.limit("a", CgroupLimits(cpuset_cpus="0"))
    assert "Cpus_allowed_list:\t0\n" in Path(f"/proc/{pid}/status").read_text()
    await world.client.limit("a", CgroupLimits())
    assert "Cpus_allowed_list:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


async def test_processors_that_the_machine_does_not_have_are_refused(world: World) -> None:
    needs("cpuset")
    with pytest.raises(SystemFailureError, match="cpuset"):
        await world.client.start(world.bundle("a", "true", limits=CgroupLimits(cpuset_cpus="4000")))
