"""What this machine and its engine are: the local part of ``GET /info``."""

import os
import platform
from pathlib import Path

from common.engine_api.facts import EngineFacts
from common.model.node import NodeDescription
from worker.containers.log_drivers import DRIVERS, JOURNAL_SOCKET, JOURNALD
from worker.kernel.cgroup_version import cgroup_version
from worker.runtime.oci_runtimes import Runtimes

NANO = 1_000_000_000


SECURITY_OPTIONS = ("name=seccomp,profile=builtin", "name=cgroupns")
REMAPPED = "name=userns"


def machine_facts(
    description: NodeDescription,
    *,
    engine_id: str,
    data_root: Path,
    runtimes: Runtimes,
    is_remapped: bool = False,
) -> EngineFacts:
    """The facts that do not change while swarmd runs.

    Args:
        description: what the managers are told of this machine.
        engine_id: of the engine.
        data_root: where it keeps everything.
        runtimes: what can make containers.
        is_remapped: whether containers have user namespaces when nobody says otherwise.
    """
    machine = os.uname()
    release = _os_release()
    return EngineFacts(
        id=engine_id,
        name=description.hostname,
        server_version=description.engine.engine_version,
        operating_system=release.get("PRETTY_NAME", machine.sysname),
        os_version=release.get("VERSION_ID", ""),
        architecture=machine.machine,
        kernel_version=machine.release,
        ncpu=description.resources.nano_cpus // NANO,
        mem_total=description.resources.memory_bytes,
        docker_root_dir=str(data_root),
        cgroup_version=cgroup_version(),
        labels=tuple(f"{key}={value}" for key, value in sorted(description.engine.labels.items())),
        log_plugins=tuple(
            name for name in DRIVERS if name != JOURNALD or Path(JOURNAL_SOCKET).exists()
        ),
        security_options=(*SECURITY_OPTIONS, *([REMAPPED] if is_remapped else [])),
        runtimes=runtimes.known(),
        default_runtime=runtimes.default,
    )


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
