"""``POST /containers/create`` as docker run sends it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from common.errors import (
    InvalidInputError,
    NotFoundError,
    NotImplementedHereError,
    SwarmdError,
)
from common.model.container_spec import (
    BindOptions,
    ContainerSpec,
    DnsConfig,
    Driver,
    HealthConfig,
    Mount,
    MountType,
    Privileges,
    TmpfsOptions,
    Ulimit,
    VolumeOptions,
)
from common.model.resources import Limit, ResourceRequirements, Resources
from worker.api.parse.create import Creation, ImageFacts, Node, creation_of, read_create
from worker.api.render.host_config import render_host_config
from worker.containers.record import (
    Container,
    ContainerConfig,
    DeviceMapping,
    DeviceRequest,
    HostOptions,
    MountPoint,
    PortBinding,
    RestartPolicy,
)

MB = 1024 * 1024
OTHER = "f" * 64


def find(reference: str) -> Container:
    if reference not in ("other", OTHER):
        raise NotFoundError(f"No such container: {reference}")
    asked = Mount(
        type=MountType.BIND,
        source="/srv",
        target="/srv",
        bind_options=BindOptions(propagation="rslave"),
    )
    return Container(
        id=OTHER,
        config=ContainerConfig(name="other", spec=ContainerSpec(mounts=(asked,))),
        image_id="",
        created_at=1.0,
        mounts=(
            MountPoint(type="volume", name="v1", source="/volumes/v1", destination="/data"),
            MountPoint(type="bind", source="/srv", destination="/srv", read_only=True),
            MountPoint(type="tmpfs", destination="/tmp"),
        ),
    )


NODE = Node(find=find, cpus=4, gateway="10.88.0.1")


def create(
    config: dict[str, Any] | None = None, image: ImageFacts | None = None, **host: Any
) -> Creation:
    raw = {"Image": "hello:1", **(config or {}), "HostConfig": host}
    return creation_of(read_create(raw), name="/web", node=NODE, image=image or ImageFacts())


def expected_with(spec: dict[str, Any], host: dict[str, Any], **more: Any) -> ContainerConfig:
    return ContainerConfig(
        name="web",
        spec=ContainerSpec(image="hello:1", **spec),
        host=HostOptions(**host),
        **more,
    )


def test_nothing_asked_is_nothing_changed() -> None:
    assert create() == Creation(config=expected_with({}, {}))


FROM_THE_CLI = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
    "Tty": True, "OpenStdin": True, "StdinOnce": True, "Env": None, "Cmd": ["sh"], "Image": "hello:1", "Volumes": {},
    "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
    "HostConfig": {
        "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "bridge",
        "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": True,
        "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [24, 80], "CapAdd": None, "CapDrop": None,
        "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None,
        "IpcMode": "", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
        "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "", "UsernsMode": "",
        "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
        "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": None,
        "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": -1,
        "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0, "MaskedPaths": None, "ReadonlyPaths": None,
    },
    "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": None, "Links": None, "Aliases": None,
        "MacAddress": "", "DriverOpts": None, "GwPriority": 0, "NetworkID": "", "EndpointID": "", "Gateway": ""}}},
}  # fmt: skip


def test_what_docker_run_it_rm_sends() -> None:
    wire = read_create(FROM_THE_CLI)
    creation = creation_of(wire, name="", node=NODE, image=ImageFacts())
    expected = expected_with(
        {"tty": True, "open_stdin": True, "args": ("sh",)},
        {
            "stdin_once": True,
            "attach_stdin": True,
            "attach_stdout": True,
            "attach_stderr": True,
            "auto_remove": True,
            "console_size": (24, 80),
        },
        cmd_given=("sh",),
    )
    assert creation == Creation(config=replace(expected, name=""))


HONOURED: dict[str, tuple[dict[str, Any], dict[str, Any], ContainerConfig]] = {
    "who and where": (
        {
            "Hostname": "h", "Domainname": "d", "User": "1:2", "Env": ["A=1", "B"], "WorkingDir": "/w",
            "Labels": {"a": "b"}, "StopSignal": "SIGINT", "StopTimeout": 3,
        },
        {"GroupAdd": ["audio"]},
        expected_with(
            {
                "hostname": "h", "user": "1:2", "env": ("A=1", "B"), "dir": "/w", "stop_signal": "SIGINT",
                "groups": ("audio",),
            },
            {"domainname": "d", "stop_timeout_seconds": 3.0},
            labels={"a": "b"},
        ),
    ),
    "a healthcheck": (
        {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 10**9, "Retries": 2}},
        {},
        expected_with(
            {"healthcheck": HealthConfig(test=("CMD", "x"), interval_seconds=1.0, retries=2)}, {}
        ),
    ),
    "resources": (
        {},
        {
            "Memory": 64 * MB, "MemorySwap": 128 * MB, "MemoryReservation": 32 * MB, "MemorySwappiness": 10,
            "NanoCpus": 10**9, "CpuShares": 512, "CpusetCpus": "0-2,3", "CpusetMems": "0", "BlkioWeight": 300,
            "PidsLimit": 100, "OomKillDisable": True, "OomScoreAdj": -5, "ShmSize": MB,
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
        },
        expected_with(
            {"oom_score_adj": -5, "ulimits": (Ulimit(name="nofile", soft=10, hard=20),)},
            {
                "memory_swap_bytes": 128 * MB, "memory_swappiness": 10, "cpu_shares": 512, "cpuset_cpus": "0-2,3",
                "cpuset_mems": "0", "blkio_weight": 300, "oom_kill_disable": True, "shm_bytes": MB,
            },
            resources=ResourceRequirements(
                limits=Limit(nano_cpus=10**9, memory_bytes=64 * MB, pids=100),
                reservations=Resources(memory_bytes=32 * MB),
            ),
        ),
    ),
    "a quota of a period": (
        {},
        {"CpuPeriod": 50_000, "CpuQuota": 25_000},
        expected_with({}, {"cpu_period_us": 50_000, "cpu_quota_us": 25_000}),
    ),
    "no limit, as clients write it": (
        {},
        {"PidsLimit": -1, "MemorySwap": -1, "CpuQuota": -1, "MemorySwappiness": None},
        expected_with({}, {"memory_swap_bytes": -1, "cpu_quota_us": -1}),
    ),
    "confinement": (
        {},
        {
            "CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"], "ReadonlyRootfs": True, "Init": True,
            "Sysctls": {"net.core.somaxconn": "5"}, "MaskedPaths": [], "ReadonlyPaths": ["/proc/sys"],
            "SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined", "label:disable"],
        },
        expected_with(
            {
                "capability_add": ("NET_ADMIN",), "capability_drop": ("ALL",), "read_only": True, "init": True,
                "sysctls": {"net.core.somaxconn": "5"}, "privileges": Privileges(no_new_privileges=True),
            },
            {
                "seccomp_profile": "unconfined", "masked_paths": (), "read_only_paths": ("/proc/sys",),
                "extra": {
                    "SecurityOpt": json.dumps(
                        ["no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined", "label:disable"]
                    )
                },
            },
        ),
    ),
    "privileged": ({}, {"Privileged": True}, expected_with({}, {"privileged": True})),
    "namespaces of the host": (
        {},
        {
            "NetworkMode": "host", "PidMode": "host", "IpcMode": "host", "UTSMode": "host", "CgroupnsMode": "host",
            "UsernsMode": "host",
        },
        expected_with(
            {},
            {
                "pid_mode": "host", "ipc_mode": "host", "uts_mode": "host", "cgroupns_mode": "host",
                "userns_mode": "host",
            },
            network="host",
        ),
    ),
    "namespaces of another container": (
        {},
        {"NetworkMode": "container:other", "PidMode": "container:other", "IpcMode": "container:other"},
        expected_with(
            {},
            {"pid_mode": f"container:{OTHER}", "ipc_mode": f"container:{OTHER}"},
            network=f"container:{OTHER}",
        ),
    ),
    "no network": ({"NetworkDisabled": True}, {}, expected_with({}, {}, network="none")),
    "names": (
        {},
        {
            "Dns": ["9.9.9.9"], "DnsSearch": ["a.example"], "DnsOptions": ["ndots:1"],
            "ExtraHosts": ["db:10.0.0.7", "six:[fe80::1]", "me:host-gateway"],
        },
        expected_with(
            {
                "dns_config": DnsConfig(nameservers=("9.9.9.9",), search=("a.example",), options=("ndots:1",)),
                "hosts": ("10.0.0.7 db", "fe80::1 six", "10.88.0.1 me"),
            },
            {},
        ),
    ),
    "devices": (
        {},
        {
            "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "", "CgroupPermissions": ""}],
            "DeviceCgroupRules": ["c 1:* rmw"],
            "DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]], "DeviceIDs": None}],
        },
        expected_with(
            {},
            {
                "devices": (
                    DeviceMapping(path_on_host="/dev/fuse", path_in_container="/dev/fuse", cgroup_permissions="rwm"),
                ),
                "device_cgroup_rules": ("c 1:* rmw",),
                "device_requests": (DeviceRequest(count=-1, capabilities=(("gpu",),)),),
            },
        ),
    ),
    "restart, removal, runtime, log": (
        {},
        {
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "Runtime": "crun",
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        },
        expected_with(
            {},
            {"restart": RestartPolicy(name="on-failure", maximum_retry_count=3), "runtime": "crun"},
            log_driver=Driver(name="json-file", options={"max-size": "1m"}),
        ),
    ),
    "ports": (
        {"ExposedPorts": {"53/udp": {}, "8000-8001/tcp": {}}},
        {
            "PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostPort": ""}], "81": None,
            },
            "PublishAllPorts": True,
        },
        expected_with(
            {},
            {
                "exposed_ports": ("53/udp", "8000/tcp", "8001/tcp", "80/tcp", "81/tcp"),
                "port_bindings": (
                    PortBinding(port=80, host_ip="127.0.0.1", host_port=8080),
                    PortBinding(port=80),
                ),
                "publish_all_ports": True,
            },
        ),
    ),
    "what is only shown again": (
        {"OnBuild": ["RUN x"], "Shell": ["/bin/bash"], "ArgsEscaped": True},
        {"Annotations": {"a": "b"}, "ContainerIDFile": "/cid"},
        expected_with(
            {},
            {
                "extra": {
                    "Annotations": '{"a": "b"}', "ArgsEscaped": "true", "ContainerIDFile": '"/cid"',
                    "OnBuild": '["RUN x"]', "Shell": '["/bin/bash"]',
                }
            },
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HONOURED)
def test_honours(name: str) -> None:
    config, host, expected = HONOURED[name]
    assert create(config, **host).config == expected


COMMANDS: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "neither": ({}, (), ()),
    "a command": ({"Cmd": ["a", "b"]}, (), ("a", "b")),
    "a command as one string": ({"Cmd": "a b"}, (), ("a b",)),
    "an entrypoint takes the image's command away": ({"Entrypoint": ["e"]}, ("e",), ()),
    "both": ({"Entrypoint": ["e"], "Cmd": ["c"]}, ("e",), ("c",)),
    "no entrypoint keeps the image's command": ({"Entrypoint": []}, ("from", "image"), ()),
    "an empty entrypoint": ({"Entrypoint": [""], "Cmd": ["c"]}, ("c",), ()),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_entrypoint_and_command(name: str) -> None:
    given, command, args = COMMANDS[name]
    spec = create(given, ImageFacts(cmd=("from", "image"))).config.spec
    assert (spec.command, spec.args) == (command, args)


def test_ports_that_the_image_exposes_are_exposed() -> None:
    config = create(image=ImageFacts(exposed_ports=("80/tcp",))).config
    assert config.host.exposed_ports == ("80/tcp",)


MOUNTS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Mount, ...]]] = {
    "a bind": (
        {},
        {"Binds": ["/h:/c:ro,rslave,Z"]},
        (
            Mount(
                type=MountType.BIND, source="/h", target="/c", read_only=True,
                bind_options=BindOptions(propagation="rslave", create_mountpoint=True),
            ),
        ),
    ),
    "volumes": (
        {"Volumes": {"/anonymous": {}}},
        {"Binds": ["named:/n:nocopy", "/bare"]},
        (
            Mount(source="named", target="/n", volume_options=VolumeOptions(no_copy=True)),
            Mount(target="/bare"),
            Mount(target="/anonymous"),
        ),
    ),
    "mounts": (
        {},
        {
            "Mounts": [
                {"Type": "bind", "Source": "/h", "Target": "/b", "BindOptions": {"Propagation": "shared"}},
                {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"Labels": {"a": "b"}}},
                {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 5, "Mode": 448}},
            ]
        },
        (
            Mount(type=MountType.BIND, source="/h", target="/b", bind_options=BindOptions(propagation="shared")),
            Mount(source="v", target="/v", volume_options=VolumeOptions(labels={"a": "b"})),
            Mount(type=MountType.TMPFS, target="/t", tmpfs_options=TmpfsOptions(size_bytes=5, mode=0o700)),
        ),
    ),
    "tmpfs": (
        {},
        {"Tmpfs": {"/run": "rw,noexec,nosuid,size=64k,mode=755", "/x": "ro", "/y": ""}},
        (
            Mount(
                type=MountType.TMPFS, target="/run",
                tmpfs_options=TmpfsOptions(
                    size_bytes=65536, mode=0o755, options=(("rw",), ("noexec",), ("nosuid",))
                ),
            ),
            Mount(type=MountType.TMPFS, target="/x", read_only=True, tmpfs_options=TmpfsOptions()),
            Mount(type=MountType.TMPFS, target="/y", tmpfs_options=TmpfsOptions()),
        ),
    ),
    "volumes of another container, under what is asked for": (
        {"Volumes": {"/data": {}}},
        {"VolumesFrom": ["other:ro"], "Binds": ["/mine:/srv"]},
        (
            Mount(
                type=MountType.BIND, source="/mine", target="/srv",
                bind_options=BindOptions(create_mountpoint=True),
            ),
            Mount(source="v1", target="/data", read_only=True),
        ),
    ),
    "a bind of another container as it is there": (
        {},
        {"VolumesFrom": ["other"]},
        (
            Mount(source="v1", target="/data"),
            Mount(
                type=MountType.BIND, source="/srv", target="/srv", read_only=True,
                bind_options=BindOptions(propagation="rslave"),
            ),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOUNTS)
def test_mounts(name: str) -> None:
    config, host, expected = MOUNTS[name]
    assert create(config, **host).config.spec.mounts == expected


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], type[SwarmdError]]] = {
    # wrong, in Docker's words
    "Minimum memory limit allowed is 6MB": ({}, {"Memory": MB}, InvalidInputError),
    "Minimum memoryswap limit should be larger than memory limit, see usage": (
        {}, {"Memory": 64 * MB, "MemorySwap": 32 * MB}, InvalidInputError,
    ),
    "You should always set the Memory limit when using Memoryswap limit, see usage": (
        {}, {"MemorySwap": 32 * MB}, InvalidInputError,
    ),
    "Minimum memory limit can not be less than memory reservation limit, see usage": (
        {}, {"Memory": 64 * MB, "MemoryReservation": 65 * MB}, InvalidInputError,
    ),
    "Invalid value: 101, valid memory swappiness range is 0-100": ({}, {"MemorySwappiness": 101}, InvalidInputError),
    "Conflicting options: Nano CPUs and CPU Period cannot both be set.": (
        {}, {"NanoCpus": 10**9, "CpuPeriod": 1000}, InvalidInputError,
    ),
    "Conflicting options: Nano CPUs and CPU Quota cannot both be set.": (
        {}, {"NanoCpus": 10**9, "CpuQuota": 1000}, InvalidInputError,
    ),
    "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available": (
        {}, {"NanoCpus": 5 * 10**9}, InvalidInputError,
    ),
    "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)": (
        {}, {"CpuPeriod": 999}, InvalidInputError,
    ),
    "CPU cfs quota can not be less than 1ms (i.e. 1000)": ({}, {"CpuQuota": 999}, InvalidInputError),
    "Invalid value 0- for cpuset cpus": ({}, {"CpusetCpus": "0-"}, InvalidInputError),
    "Requested CPUs are not available - requested 0-4, available: 0-3": (
        {}, {"CpusetCpus": "0-4"}, InvalidInputError,
    ),
    "Range of blkio weight is from 10 to 1000": ({}, {"BlkioWeight": 9}, InvalidInputError),
    "Invalid value 1001, range for oom score adj is [-1000, 1000]": ({}, {"OomScoreAdj": 1001}, InvalidInputError),
    "SHM size can not be less than 0": ({}, {"ShmSize": -1}, InvalidInputError),
    "invalid isolation (hyperv) on linux": ({}, {"Isolation": "hyperv"}, InvalidInputError),
    "invalid option: CpuCount is for Windows only": ({}, {"CpuCount": 1}, InvalidInputError),
    "invalid restart policy: unknown policy 'often'": ({}, {"RestartPolicy": {"Name": "often"}}, InvalidInputError),
    "can't create 'AutoRemove' container with restart policy": (
        {}, {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, InvalidInputError,
    ),
    "invalid PID mode: other": ({}, {"PidMode": "other"}, InvalidInputError),
    "invalid IPC mode: x": ({}, {"IpcMode": "x"}, InvalidInputError),
    "invalid UTS mode: x": ({}, {"UTSMode": "x"}, InvalidInputError),
    "invalid cgroup namespace mode: x": ({}, {"CgroupnsMode": "x"}, InvalidInputError),
    "invalid user namespace mode: x": ({}, {"UsernsMode": "x"}, InvalidInputError),
    "invalid container format container:": ({}, {"NetworkMode": "container:"}, InvalidInputError),
    "No such container: nobody": ({}, {"PidMode": "container:nobody"}, NotFoundError),
    "conflicting options: hostname and the network mode": (
        {"Hostname": "h"}, {"NetworkMode": "container:other"}, InvalidInputError,
    ),
    "conflicting options: hostname and the UTS mode": ({"Hostname": "h"}, {"UTSMode": "host"}, InvalidInputError),
    "conflicting options: dns and the network mode": (
        {}, {"NetworkMode": "container:other", "Dns": ["9.9.9.9"]}, InvalidInputError,
    ),
    "conflicting options: custom host-to-IP mapping and the network mode": (
        {}, {"NetworkMode": "container:other", "ExtraHosts": ["a:1.1.1.1"]}, InvalidInputError,
    ),
    "conflicting options: port publishing and the container type network mode": (
        {}, {"NetworkMode": "container:other", "PublishAllPorts": True}, InvalidInputError,
    ),
    "conflicting options: port exposing and the container type network mode": (
        {"ExposedPorts": {"80/tcp": {}}}, {"NetworkMode": "container:other"}, InvalidInputError,
    ),
    "bad format for add-host: 'a b:1.1.1.1'": ({}, {"ExtraHosts": ["a b:1.1.1.1"]}, InvalidInputError),
    "invalid IP address in add-host: '1.1'": ({}, {"ExtraHosts": ["a:1.1"]}, InvalidInputError),
    "invalid IP address: dns": ({}, {"Dns": ["dns"]}, InvalidInputError),
    'invalid --security-opt 1: "seccomp"': ({}, {"SecurityOpt": ["seccomp"]}, InvalidInputError),
    'invalid --security-opt 2: "x=y"': ({}, {"SecurityOpt": ["x=y"]}, InvalidInputError),
    "invalid port specification: 'web/tcp'": ({"ExposedPorts": {"web/tcp": {}}}, {}, InvalidInputError),
    "invalid port specification: '70000'": ({}, {"PortBindings": {"80": [{"HostPort": "70000"}]}}, InvalidInputError),
    "invalid IP address: here": ({}, {"PortBindings": {"80": [{"HostIp": "here"}]}}, InvalidInputError),
    "invalid volume specification: 'a:b:c:d'": ({}, {"Binds": ["a:b:c:d"]}, InvalidInputError),
    "invalid mode: rox": ({}, {"Binds": ["/a:/b:rox"]}, InvalidInputError),
    "invalid mode: ro,rw": ({}, {"Binds": ["/a:/b:ro,rw"]}, InvalidInputError),
    "invalid mode: nocopy": ({}, {"Binds": ["/a:/b:nocopy"]}, InvalidInputError),
    "mount path must be absolute": ({}, {"Binds": ["/a:b"]}, InvalidInputError),
    "Duplicate mount point: /b": ({}, {"Binds": ["/a:/b"], "Tmpfs": {"/b": ""}}, InvalidInputError),
    'invalid mount config for type "x": mount type unknown': (
        {}, {"Mounts": [{"Type": "x", "Target": "/x"}]}, InvalidInputError,
    ),
    "field BindOptions must not be specified": (
        {}, {"Mounts": [{"Type": "volume", "Target": "/x", "BindOptions": {}}]}, InvalidInputError,
    ),
    "invalid propagation mode: x": (
        {}, {"Mounts": [{"Type": "bind", "Target": "/x", "BindOptions": {"Propagation": "x"}}]}, InvalidInputError,
    ),
    "invalid volumes-from specification": ({}, {"VolumesFrom": ["a:b:c"]}, InvalidInputError),
    "error looking up volume plugin nfs": ({}, {"VolumeDriver": "nfs"}, InvalidInputError),
    "Interval in Healthcheck cannot be less than 1ms": (
        {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5}}, {}, InvalidInputError,
    ),
    "Retries in Healthcheck cannot be negative": ({"Healthcheck": {"Retries": -1}}, {}, InvalidInputError),
    "no command specified": ({"Entrypoint": [""]}, {}, InvalidInputError),
    "invalid device path: 'fuse'": ({}, {"Devices": [{"PathOnHost": "fuse"}]}, InvalidInputError),
    "invalid hostname format": ({"Hostname": "h" * 65}, {}, InvalidInputError),
    "invalid value for ConsoleSize": ({}, {"ConsoleSize": [1]}, InvalidInputError),
    "user specified IP address is supported on user defined networks only": (
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}}}},
        {}, InvalidInputError,
    ),
    "network-scoped alias is supported only for containers in user defined networks": (
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["a"]}}}}, {}, InvalidInputError,
    ),
    # right, and not there
    "HostConfig.CgroupParent is not available": ({}, {"CgroupParent": "/x"}, NotImplementedHereError),
    "HostConfig.BlkioDeviceReadBps is not available": (
        {}, {"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}]}, NotImplementedHereError,
    ),
    "HostConfig.BlkioDeviceWriteIOps is not available": (
        {}, {"BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 1}]}, NotImplementedHereError,
    ),
    "HostConfig.BlkioWeightDevice is not available": (
        {}, {"BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 10}]}, NotImplementedHereError,
    ),
    "HostConfig.CpuRealtimeRuntime is not available": ({}, {"CpuRealtimeRuntime": 1}, NotImplementedHereError),
    "HostConfig.KernelMemoryTCP is not available": ({}, {"KernelMemoryTCP": 1}, NotImplementedHereError),
    "HostConfig.Links is not available": ({}, {"Links": ["a:b"]}, NotImplementedHereError),
    "HostConfig.StorageOpt is not available": ({}, {"StorageOpt": {"size": "1G"}}, NotImplementedHereError),
    "HostConfig.Cgroup is not available": ({}, {"Cgroup": "x"}, NotImplementedHereError),
    "Config.MacAddress is not available": ({"MacAddress": "02:00:00:00:00:01"}, {}, NotImplementedHereError),
    "EndpointSettings.MacAddress is not available": (
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": "02:00:00:00:00:01"}}}},
        {}, NotImplementedHereError,
    ),
    "EndpointSettings.GwPriority is not available": (
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"GwPriority": 1}}}}, {}, NotImplementedHereError,
    ),
    "one network at a time": (
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {}, "more": {}}}}, {}, NotImplementedHereError,
    ),
    "the security option apparmor=mine is not available": (
        {}, {"SecurityOpt": ["apparmor=mine"]}, NotImplementedHereError,
    ),
    "choosing a host port out of the range 80-90": (
        {}, {"PortBindings": {"80": [{"HostPort": "80-90"}]}}, NotImplementedHereError,
    ),
    "sctp is not available": ({"ExposedPorts": {"80/sctp": {}}}, {}, NotImplementedHereError),
    "mounts of type image are not available": (
        {}, {"Mounts": [{"Type": "image", "Target": "/x", "ImageOptions": {}}]}, NotImplementedHereError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_refuses(words: str) -> None:
    config, host, kind = REFUSED[words]
    with pytest.raises(kind) as caught:
        create(config, **host)
    assert words in str(caught.value)
    assert type(caught.value) is kind


BODIES: dict[str, Any] = {
    "config cannot be empty in order to create a container": None,
    "no image is named": {"Cmd": ["x"]},
    "invalid value for config.Image: expected a string, found int": {"Image": 5},
    "invalid value for config.HostConfig.Binds: expected a list, found str": {
        "Image": "x",
        "HostConfig": {"Binds": "/a:/b"},
    },
    "invalid value for config.HostConfig.Memory": {"Image": "x", "HostConfig": {"Memory": "1g"}},
    "is out of range": {"Image": "x", "HostConfig": {"Memory": 2**70}},
}


@pytest.mark.parametrize("words", BODIES)
def test_refuses_a_body(words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_create(BODIES[words])
    assert words in str(caught.value)


WARNED: dict[str, tuple[Node, dict[str, Any]]] = {
    "Published ports are discarded when using host network mode": (
        NODE,
        {"NetworkMode": "host", "PortBindings": {"80": [{"HostPort": "80"}]}},
    ),
    "OOM killer is disabled for the container, but no memory limit is set": (
        NODE,
        {"OomKillDisable": True},
    ),
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.": (
        replace(NODE, cgroup_version="2"),
        {"OomKillDisable": True, "Memory": 64 * MB},
    ),
    "Memory swappiness discarded.": (replace(NODE, cgroup_version="2"), {"MemorySwappiness": 5}),
}


@pytest.mark.parametrize("words", WARNED)
def test_warns(words: str) -> None:
    node, host = WARNED[words]
    wire = read_create({"Image": "hello:1", "HostConfig": host})
    (warning,) = creation_of(wire, name="", node=node, image=ImageFacts()).warnings
    assert words in warning


@pytest.mark.parametrize("name", [*HONOURED, *MOUNTS])
def test_what_inspect_shows_makes_the_same_again(name: str) -> None:
    config, host = (HONOURED.get(name) or MOUNTS[name])[:2]
    shown = render_host_config(_made(create(config, **host).config))
    body = {"Volumes": config.get("Volumes"), "ExposedPorts": config.get("ExposedPorts")}
    again = _made(create(body, **json.loads(json.dumps(shown))).config)
    assert render_host_config(again) == shown
    assert again.config.spec.mounts == _made(create(config, **host).config).config.spec.mounts


def _made(config: ContainerConfig) -> Container:
    return Container(id="c" * 64, config=config, image_id="", created_at=1.0)
