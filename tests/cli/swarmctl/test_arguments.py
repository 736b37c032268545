from collections.abc import Callable
from typing import Any

import pytest

from cli.swarmctl import arguments

CASES: dict[str, tuple[Callable[[str], Any], str, Any]] = {
    "seconds": (arguments.duration, "10s", 10 * 10**9),
    "a compound duration": (arguments.duration, "1h30m0.5s", 5400 * 10**9 + 5 * 10**8),
    "no duration": (arguments.duration, "0", 0),
    "mebibytes": (arguments.size, "64m", 64 * 2**20),
    "the unit in full": (arguments.size, "1.5GiB", 3 * 2**29),
    "plain bytes": (arguments.size, "512", 512),
    "half a CPU": (arguments.cpus, "0.5", 5 * 10**8),
    "a host line": (arguments.host, "db:10.0.0.7", "10.0.0.7 db"),
    "a host line in IPv6": (arguments.host, "db:fd00::1", "fd00::1 db"),
    "one ulimit for both": (
        arguments.ulimit,
        "nofile=64",
        {"Name": "nofile", "Soft": 64, "Hard": 64},
    ),
    "a port": (
        arguments.ports,
        "8080:80/udp",
        [{"Protocol": "udp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}],
    ),
    "a dynamic port": (
        arguments.ports,
        "80",
        [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 0, "PublishMode": "ingress"}],
    ),
    "a port in full": (
        arguments.ports,
        "published=8080,target=80,mode=host",
        [{"Protocol": "tcp", "PublishMode": "host", "PublishedPort": 8080, "TargetPort": 80}],
    ),
    "a read-only bind": (
        arguments.mount,
        "type=bind,src=/a,dst=/b,readonly",
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
    ),
    "a sized tmpfs": (
        arguments.mount,
        "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770",
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 2**20, "Mode": 0o1770}},
    ),
}


@pytest.mark.parametrize(("read", "text", "expected"), CASES.values(), ids=CASES)
def test_reads(read: Callable[[str], Any], text: str, expected: object) -> None:
    assert read(text) == expected


def test_a_range_of_ports() -> None:
    got = arguments.ports("8000-8002:80-82")
    assert [(port["PublishedPort"], port["TargetPort"]) for port in got] == [
        (8000, 80),
        (8001, 81),
        (8002, 82),
    ]


REFUSED: dict[str, tuple[Callable[[str], Any], str]] = {
    "a duration without unit": (arguments.duration, "10"),
    "a duration with rubbish": (arguments.duration, "10s!"),
    "a size of words": (arguments.size, "much"),
    "negative CPUs": (arguments.cpus, "-1"),
    "port 0": (arguments.ports, "0"),
    "a port too high": (arguments.ports, "65536:80"),
    "a host address before the port": (arguments.ports, "127.0.0.1:80:80"),
    "ranges of different length": (arguments.ports, "8000-8002:80-81"),
    "an endless range": (arguments.ports, "1-65535"),
    "an unknown protocol": (arguments.ports, "80/icmp"),
    "a port without target": (arguments.ports, "published=80"),
    "a mount without target": (arguments.mount, "type=bind,source=/a"),
    "an unknown mount field": (arguments.mount, "target=/a,colour=red"),
    "an open quote": (arguments.command, "a 'b"),
    "a preference of no kind": (arguments.preference, "pack=node.labels.x"),
}


@pytest.mark.parametrize(("read", "text"), REFUSED.values(), ids=REFUSED)
def test_refuses(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        read(text)
