"""What this machine is and has, as its agent tells the managers."""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import SystemFailureError
from common.model.node import Engine, NodeDescription, Plugin
from common.model.placement import Platform
from common.model.resources import GenericResource, Resources

NANO = 1_000_000_000
_PLUGINS = (
    Plugin(type="Log", name="json-file"),
    Plugin(type="Log", name="none"),
    Plugin(type="Network", name="bridge"),
    Plugin(type="Network", name="host"),
    Plugin(type="Network", name="null"),
    Plugin(type="Volume", name="local"),
)


def describe(
    engine_version: str,
    labels: Mapping[str, str],
    generic_resources: Sequence[GenericResource] = (),
    proc: Path = Path("/proc"),
) -> NodeDescription:
    """Looks at this machine: the processors this process may use, the memory, the platform, the name.

    What it has besides is told by its administrator.

    Raises:
        SystemFailureError: the kernel does not say how much memory there is.
    """
    machine = os.uname()
    return NodeDescription(
        hostname=socket.gethostname(),
        platform=Platform(architecture=machine.machine, os=machine.sysname.lower()),
        resources=Resources(
            nano_cpus=len(os.sched_getaffinity(0)) * NANO,
            memory_bytes=_memory_bytes((proc / "meminfo").read_text()),
            generic_resources=tuple(generic_resources),
        ),
        engine=Engine(engine_version=engine_version, labels=dict(labels), plugins=_PLUGINS),
    )


def _memory_bytes(meminfo: str) -> int:
    for line in meminfo.splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return int(amount.split()[0]) * 1024
    raise SystemFailureError("the kernel does not say how much memory this machine has")
