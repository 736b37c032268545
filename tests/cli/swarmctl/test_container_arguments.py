from collections.abc import Callable
from typing import Any

import pytest

from cli.swarmctl import container_arguments as forms


def at(port: str, host_port: str, address: str = "") -> tuple[str, dict[str, str]]:
    return port, {"HostIp": address, "HostPort": host_port}


READ: dict[str, tuple[Callable[[str], Any], str, Any]] = {
    "a port at any free one": (forms.publish, "80", [at("80/tcp", "")]),
    "a port": (forms.publish, "8080:80", [at("80/tcp", "8080")]),
    "a port of an address": (forms.publish, "127.0.0.1:8080:80", [at("80/tcp", "8080", "127.0.0.1")]),
    "any free port of an address": (forms.publish, "127.0.0.1::80", [at("80/tcp", "", "127.0.0.1")]),
    "an IPv6 address": (forms.publish, "[::1]:8080:80", [at("80/tcp", "8080", "::1")]),
    "another protocol": (forms.publish, "53:53/udp", [at("53/udp", "53")]),
    "ranges": (forms.publish, "8000-8001:80-81", [at("80/tcp", "8000"), at("81/tcp", "8001")]),
    "one of a range": (forms.publish, "8000-8009:80", [at("80/tcp", "8000-8009")]),
    "the long form": (forms.publish, "published=8080,target=80,protocol=udp", [at("80/udp", "8080")]),
    "exposed": (forms.expose, "80-81/udp", [("80/udp", {}), ("81/udp", {})]),
    "a device": (
        forms.device, "/dev/fuse",
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
    ),
    "a device elsewhere": (
        forms.device, "/dev/sda:/dev/xvda:r",
        {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/xvda", "CgroupPermissions": "r"},
    ),
    "a device to read": (
        forms.device, "/dev/sda:r",
        {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "r"},
    ),
    "all GPUs": (
        forms.gpus, "all", {"Driver": "", "Count": -1, "Options": {}, "Capabilities": [["gpu"]]},
    ),
    "two GPUs": (
        forms.gpus, "2", {"Driver": "", "Count": 2, "Options": {}, "Capabilities": [["gpu"]]},
    ),
    "these GPUs": (
        forms.gpus, '"device=0,1",capabilities=utility,driver=nvidia',
        {"Driver": "nvidia", "Count": 0, "Options": {}, "DeviceIDs": ["0", "1"],
         "Capabilities": [["gpu", "utility"]]},
    ),
    "a weight": (forms.weight_device, "/dev/sda:200", {"Path": "/dev/sda", "Weight": 200}),
    "a rate": (forms.rate_bytes, "/dev/sda:1mb", {"Path": "/dev/sda", "Rate": 1048576}),
    "operations": (forms.rate_operations, "/dev/sda:5", {"Path": "/dev/sda", "Rate": 5}),
    "always": (forms.restart_policy, "always", {"Name": "always", "MaximumRetryCount": 0}),
    "thrice": (forms.restart_policy, "on-failure:3", {"Name": "on-failure", "MaximumRetryCount": 3}),
    "memory": (forms.tmpfs, "/run:size=1m,mode=755", ("/run", "size=1m,mode=755")),
    "a host": (forms.extra_host, "db:10.0.0.1", "db:10.0.0.1"),
    "a host with =": (forms.extra_host, "db=10.0.0.1", "db:10.0.0.1"),
    "a host of IPv6": (forms.extra_host, "db:[::1]", "db:::1"),
    "a network": (forms.network, "bridge", ("bridge", {})),
    "a network in full": (
        forms.network, "name=n,alias=a,alias=b,ip=10.0.0.2,mac-address=02:00:00:00:00:01",
        ("n", {"Aliases": ["a", "b"], "IPAMConfig": {"IPv4Address": "10.0.0.2"},
               "MacAddress": "02:00:00:00:00:01"}),
    ),
    "a log option": (forms.log_option, "tag={{.Name}}=x", ("tag", "{{.Name}}=x")),
    "swappiness": (forms.swappiness, "60", 60),
}  # fmt: skip


@pytest.mark.parametrize(("read", "text", "expected"), READ.values(), ids=READ)
def test_reads(read: Callable[[str], Any], text: str, expected: object) -> None:
    assert read(text) == expected


WRONG: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "no port": (forms.publish, "x:80", "use 1 to 65535"),
    "a port beyond": (forms.publish, "65536", "use 1 to 65535"),
    "ranges that differ": (forms.publish, "1-3:1-2", "differ in length"),
    "a range backwards": (forms.publish, "9-1", "invalid port range"),
    "a protocol": (forms.publish, "80/icmp", "tcp, udp or sctp"),
    "an IPv6 address without brackets": (forms.publish, "::1:80:80", "in brackets"),
    "no target": (forms.publish, "published=80", "target is missing"),
    "an unknown field": (forms.publish, "target=80,x=1", "unknown field 'x'"),
    "a device's mode": (forms.device, "/dev/a:/dev/b:z", "use host"),
    "GPUs both ways": (forms.gpus, '2,"device=0"', "exclude each other"),
    "a GPU's field": (forms.gpus, "colour=red", "unknown field 'colour'"),
    "no device": (forms.rate_bytes, "sda:1mb", "use /dev/path:value"),
    "a policy": (forms.restart_policy, "sometimes", "invalid restart policy"),
    "a policy with a number": (forms.restart_policy, "always:3", "only on-failure"),
    "a policy without its number": (forms.restart_policy, "on-failure:", "invalid restart policy"),
    "a relative tmpfs": (forms.tmpfs, "run", "begins with /"),
    "a host alone": (forms.extra_host, "db", "bad format for add-host"),
    "a network without a name": (forms.network, "alias=a", "name is missing"),
    "a network's field": (forms.network, "name=n,x=y", "unknown field 'x'"),
    "a log option alone": (forms.log_option, "tag", "use key=value"),
    "too swappy": (forms.swappiness, "101", "range is 0-100"),
}


@pytest.mark.parametrize(("read", "text", "says"), WRONG.values(), ids=WRONG)
def test_refuses(read: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("nvidia.com/gpu=0", True), ("vendor.com/class=all", True), ("/dev/fuse", False)],
)
def test_tells_devices_by_name_from_paths(text: str, expected: bool) -> None:
    assert forms.is_cdi_name(text) is expected
