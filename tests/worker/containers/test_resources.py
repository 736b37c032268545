from dataclasses import replace

import pytest

from common.errors import ConflictError, InvalidInputError, NotImplementedHereError
from common.model.container_spec import ContainerSpec
from common.model.resources import Limit, ResourceRequirements, Resources
from worker.containers.record import Container, ContainerConfig, ContainerState, HostOptions
from worker.containers.resources import (
    check_joined,
    hosts_of,
    limits_of,
    namespaces_of,
    network_of,
    sysctls_of,
)
from worker.runtime.bundle import CgroupLimits, IdMapping, Namespaces
from worker.runtime.remap import Remap

PLAIN = ContainerConfig(name="c", spec=ContainerSpec(image="x"))
LIMITS = {
    "none": (ResourceRequirements(), HostOptions(), CgroupLimits()),
    "half a processor": (
        ResourceRequirements(limits=Limit(nano_cpus=500_000_000)),
        HostOptions(),
        CgroupLimits(cpu_quota_us=50_000),
    ),
    "next to no processor": (
        ResourceRequirements(limits=Limit(nano_cpus=1)),
        HostOptions(),
        CgroupLimits(cpu_quota_us=1_000),
    ),
    "quota and period": (
        ResourceRequirements(),
        HostOptions(cpu_quota_us=5_000, cpu_period_us=10_000),
        CgroupLimits(cpu_quota_us=5_000, cpu_period_us=10_000),
    ),
    "a quota of -1, which is none": (
        ResourceRequirements(),
        HostOptions(cpu_quota_us=-1),
        CgroupLimits(),
    ),
    "processors, shares, weight": (
        ResourceRequirements(),
        HostOptions(cpuset_cpus="0", cpuset_mems="0-1", cpu_shares=512, blkio_weight=300),
        CgroupLimits(cpuset_cpus="0", cpuset_mems="0-1", cpu_shares=512, blkio_weight=300),
    ),
    "memory and processes": (
        ResourceRequirements(limits=Limit(memory_bytes=64, pids=9)),
        HostOptions(),
        CgroupLimits(memory_bytes=64, pids=9),
    ),
    "a service's memory and some swap": (
        ResourceRequirements(limits=Limit(memory_bytes=64), swap_bytes=6),
        HostOptions(),
        CgroupLimits(memory_bytes=64, memory_swap_bytes=70),
    ),
    "a service's memory and all swap": (
        ResourceRequirements(limits=Limit(memory_bytes=64), swap_bytes=-1),
        HostOptions(),
        CgroupLimits(memory_bytes=64, memory_swap_bytes=-1),
    ),
    "a container's memory and swap together": (
        ResourceRequirements(limits=Limit(memory_bytes=64)),
        HostOptions(memory_swap_bytes=100, memory_swappiness=0, oom_kill_disable=True),
        CgroupLimits(
            memory_bytes=64, memory_swap_bytes=100, memory_swappiness=0, oom_kill_disable=True
        ),
    ),
    "a service's swappiness": (
        ResourceRequirements(memory_swappiness=7),
        HostOptions(),
        CgroupLimits(memory_swappiness=7),
    ),
    "a reservation": (
        ResourceRequirements(reservations=Resources(memory_bytes=32)),
        HostOptions(),
        CgroupLimits(memory_reservation_bytes=32),
    ),
}


@pytest.mark.parametrize(("resources", "host", "expected"), LIMITS.values(), ids=LIMITS)
def test_limits(resources: ResourceRequirements, host: HostOptions, expected: CgroupLimits) -> None:
    assert limits_of(replace(PLAIN, resources=resources, host=host)) == expected


UIDS = (IdMapping(container_id=0, host_id=100_000, size=65_536),)
GIDS = (IdMapping(container_id=0, host_id=200_000, size=65_536),)
REMAPPED = Remap(uids=UIDS, gids=GIDS)
NAMESPACES = {
    "its own": (HostOptions(), None, Namespaces()),
    "its own, in words": (
        HostOptions(ipc_mode="private", cgroupns_mode="private"),
        None,
        Namespaces(),
    ),
    "to be shared by others": (HostOptions(ipc_mode="shareable"), None, Namespaces()),
    "no shared memory": (HostOptions(ipc_mode="none"), None, Namespaces(ipc="none")),
    "the host's": (
        HostOptions(pid_mode="host", ipc_mode="host", uts_mode="host", cgroupns_mode="host"),
        None,
        Namespaces(pid="host", ipc="host", uts="host", cgroup="host"),
    ),
    "another container's": (
        HostOptions(pid_mode="container:abc", ipc_mode="container:abc"),
        None,
        Namespaces(pid="container:abc", ipc="container:abc"),
    ),
    "remapped": (HostOptions(), REMAPPED, Namespaces(uid_mappings=UIDS, gid_mappings=GIDS)),
    "not remapped by its own wish": (
        HostOptions(userns_mode="host", privileged=True),
        REMAPPED,
        Namespaces(),
    ),
}


@pytest.mark.parametrize(("host", "remapped", "expected"), NAMESPACES.values(), ids=NAMESPACES)
def test_namespaces(host: HostOptions, remapped: Remap | None, expected: Namespaces) -> None:
    assert namespaces_of(replace(PLAIN, host=host), remapped) == expected


NOT_REMAPPED = {
    "privileged": replace(PLAIN, host=HostOptions(privileged=True)),
    "the host's network": replace(PLAIN, network="host"),
    "the host's processes": replace(PLAIN, host=HostOptions(pid_mode="host")),
}


@pytest.mark.parametrize("config", NOT_REMAPPED.values(), ids=NOT_REMAPPED)
def test_a_remapped_container_does_not_share_with_the_host(config: ContainerConfig) -> None:
    with pytest.raises(InvalidInputError, match="user namespaces"):
        namespaces_of(config, REMAPPED)


def test_another_runtime_maps_no_users() -> None:
    config = replace(PLAIN, host=HostOptions(runtime="crun"))
    with pytest.raises(NotImplementedHereError, match="--userns-remap under the runtime crun"):
        namespaces_of(config, REMAPPED)
    by_wish = replace(PLAIN, host=HostOptions(runtime="crun", userns_mode="host"))
    assert namespaces_of(by_wish, REMAPPED) == Namespaces()


def test_a_network_of_ones_own_needs_no_capability_for_low_ports_and_pings() -> None:
    asked = replace(PLAIN.spec, sysctls={"net.ipv4.ping_group_range": "1 0"})
    assert sysctls_of(replace(PLAIN, network="bridge", spec=asked)) == {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": "1 0",
    }
    for network in ("host", "container:abc"):
        assert sysctls_of(replace(PLAIN, network=network)) == {}


def test_network() -> None:
    networks = ("bridge", "none", "host", "container:abc")
    assert [network_of(replace(PLAIN, network=one), None) for one in networks] == [
        "",
        "",
        "host",
        "container:abc",
    ]


def test_hosts_are_those_whose_namespaces_it_shares() -> None:
    shared = HostOptions(pid_mode="container:a", ipc_mode="container:b", uts_mode="host")
    assert hosts_of(replace(PLAIN, host=shared, network="container:c")) == {
        "network": "c",
        "PID": "a",
        "IPC": "b",
    }
    assert hosts_of(PLAIN) == {}


def host_of_others(state: ContainerState, ipc_mode: str = "") -> Container:
    config = replace(PLAIN, host=HostOptions(ipc_mode=ipc_mode))
    return Container(id="h", config=config, image_id="i", created_at=0.0, state=state)


def test_only_a_container_that_runs_can_be_joined() -> None:
    check_joined("network", "h", host_of_others(ContainerState.RUNNING))
    check_joined("PID", "h", host_of_others(ContainerState.PAUSED))
    for found in (None, host_of_others(ContainerState.EXITED)):
        with pytest.raises(ConflictError, match="non running container: h"):
            check_joined("network", "h", found)


def test_shared_memory_must_have_been_meant_to_be() -> None:
    check_joined("IPC", "h", host_of_others(ContainerState.RUNNING, "shareable"))
    with pytest.raises(ConflictError, match="non-shareable IPC"):
        check_joined("IPC", "h", host_of_others(ContainerState.RUNNING))
