"""No field that Docker's clients can send about a container is forgotten.

The names are those of the Engine API, version 1.50, in our own list: each is read by ``wire``, and the tests beside
this one say what becomes of it.
"""

from dataclasses import fields

import pytest

from common.engine_json import json_name
from common.model.container_spec import BindOptions, HealthConfig, TmpfsOptions, VolumeOptions
from worker.api.parse import wire
from worker.containers.record import DeviceRequest, RestartPolicy

RESOURCES = """
    BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice
    CgroupParent CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus
    CpusetMems DeviceCgroupRules DeviceRequests Devices IOMaximumBandwidth IOMaximumIOps KernelMemoryTCP Memory
    MemoryReservation MemorySwap MemorySwappiness NanoCpus OomKillDisable PidsLimit Ulimits
"""
OF_OLD_CLIENTS = {"KernelMemory"}
"""Before API 1.42."""

KNOWN: dict[type, str] = {
    wire.WireCreate: """
        ArgsEscaped AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env ExposedPorts Healthcheck
        HostConfig Hostname Image Labels MacAddress NetworkDisabled NetworkingConfig OnBuild OpenStdin Shell StdinOnce
        StopSignal StopTimeout Tty User Volumes WorkingDir
    """,
    wire.WireHostConfig: f"""
        {RESOURCES}
        Annotations AutoRemove Binds CapAdd CapDrop Cgroup CgroupnsMode ConsoleSize ContainerIDFile Dns DnsOptions
        DnsSearch ExtraHosts GroupAdd Init IpcMode Isolation Links LogConfig MaskedPaths Mounts NetworkMode OomScoreAdj
        PidMode PortBindings Privileged PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt
        ShmSize StorageOpt Sysctls Tmpfs UTSMode UsernsMode VolumeDriver VolumesFrom
    """,
    wire.WireUpdate: f"{RESOURCES} RestartPolicy",
    wire.WireMount: """
        BindOptions ClusterOptions Consistency ImageOptions ReadOnly Source Target TmpfsOptions Type VolumeOptions
    """,
    TmpfsOptions: "Mode Options SizeBytes",
    wire.WireImageOptions: "Subpath",
    wire.WireEndpoint: "Aliases DriverOpts GwPriority IPAMConfig Links MacAddress",
    wire.WireAddresses: "IPv4Address IPv6Address LinkLocalIPs",
    wire.WireNetworking: "EndpointsConfig",
    wire.WireLogConfig: "Config Type",
    wire.WirePortBinding: "HostIp HostPort",
    wire.WireExec: """
        AttachStderr AttachStdin AttachStdout Cmd ConsoleSize DetachKeys Env Privileged Tty User WorkingDir
    """,
    wire.WireExecStart: "ConsoleSize Detach Tty",
    RestartPolicy: "MaximumRetryCount Name",
    wire.WireDevice: "CgroupPermissions PathInContainer PathOnHost",
    DeviceRequest: "Capabilities Count DeviceIDs Driver Options",
    HealthConfig: "Interval Retries StartInterval StartPeriod Test Timeout",
    BindOptions: (
        "CreateMountpoint NonRecursive Propagation ReadOnlyForceRecursive ReadOnlyNonRecursive"
    ),
    VolumeOptions: "DriverConfig Labels NoCopy Subpath",
}


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_every_field_is_read(kind: type) -> None:
    expected = {name.lower() for name in KNOWN[kind].split()}
    read = {json_name(field).lower() for field in fields(kind)}
    assert read - {name.lower() for name in OF_OLD_CLIENTS} == expected
