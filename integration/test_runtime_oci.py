"""Containers that an OCI runtime makes are those that our own makes; needs root, crun and runc."""

import shutil
from pathlib import Path

import pytest

from integration.runtime_world import World
from worker.runtime.bundle import BundleMount
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.oci_seccomp import seccomp_rules
from worker.runtime.seccomp_programs import seccomp_program

LOOK = """
    cut -d' ' -f5 /proc/self/mountinfo
    echo --; grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status
    echo --; cat /proc/self/cgroup | cut -d: -f2-
    echo --; ls /dev; umask; cat /proc/self/oom_score_adj; grep -E 'open files|processes' /proc/self/limits
    echo --; stat -c '%n %a %u' /dev/null /dev/shm /dev/pts /data /run/file; env | sort; pwd
"""


@pytest.mark.parametrize("name", ["crun", "runc"])
async def test_a_container_sees_the_same(world: World, tmp_path: Path, name: str) -> None:
    program = shutil.which(name) or pytest.skip(f"{name} is not here")
    (tmp_path / "file").write_text("x")
    mounts = (
        BundleMount(target="/data", tmpfs_mode=0o700),
        BundleMount(target="/run/file", source=str(tmp_path / "file"), read_only=True),
    )
    changes = {
        "mounts": mounts,
        "seccomp": seccomp_program("", DEFAULT_CAPABILITIES),
        "seccomp_rules": seccomp_rules("", DEFAULT_CAPABILITIES),
        "ulimits": {"nproc": (100, 200)},
    }
    ours = await world.say("own", LOOK, **changes)
    theirs = await world.say("other", LOOK, **changes, runtime=program)
    assert _sections(theirs, name) == _sections(ours, name)


def _sections(lines: list[str], name: str) -> list[list[str]]:
    """What was seen, each part in an order of its own; runc makes no link to the kernel's memory, which is masked."""
    parts = "\n".join(lines).split("--\n")
    seen = [sorted(set(part.splitlines())) for part in parts]
    return [[line for line in part if name != "runc" or line != "core"] for part in seen]
