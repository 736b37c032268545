"""Containers that an OCI runtime makes are those that our own makes; needs root, crun and runc."""

import shutil
from pathlib import Path

import pytest

from integration.runtime_world import World
from worker.kernel.syscalls import MS_NODEV, MS_NOSUID
from worker.runtime.bundle import BundleMount, FileContent
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
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


MOUNTED = "cat /proc/self/mountinfo"
NOT_TO_BE_COMPARED = ("lowerdir", "upperdir", "workdir", "inode64", "gid", "size", "mode")
"""Where the layers are, how the kernel shows a tmpfs: sizes and modes are compared by what a program sees."""
SIZES = """
    stat -c '%n %a %u %g' /dev /dev/shm /dev/pts /dev/mqueue /data /small
    df -k /dev /dev/shm /small | sed 's/  */ /g'
"""


@pytest.mark.parametrize("name", ["crun", "runc"])
@pytest.mark.parametrize("kind", ["default", "privileged"])
async def test_mounts_have_the_same_flags_and_options(
    world: World, tmp_path: Path, name: str, kind: str
) -> None:
    program = shutil.which(name) or pytest.skip(f"{name} is not here")
    (tmp_path / "file").write_text("x")
    (tmp_path / "tree").mkdir()
    flags = MS_NOSUID | MS_NODEV
    mounts = (
        BundleMount(target="/data", tmpfs_mode=0o700),
        BundleMount(target="/small", tmpfs_size_bytes=1 << 20, tmpfs_flags=flags, read_only=True),
        BundleMount(target="/run/file", source=str(tmp_path / "file"), read_only=True),
        BundleMount(target="/tree", source=str(tmp_path / "tree")),
        BundleMount(target="/slave", source=str(tmp_path / "tree"), propagation="rslave"),
        BundleMount(target="/alone", source=str(tmp_path / "tree"), recursive=False),
        BundleMount(target="/part", source=str(tmp_path), subpath="tree"),
        BundleMount(target="/run/secrets/s", read_only=True, content=FileContent(data=b"s")),
    )
    privileged = {"privileged": True, "masked_paths": (), "read_only_paths": ()}
    changes = {"mounts": mounts, **(privileged if kind == "privileged" else {})}
    script = f"{MOUNTED}; echo --; {SIZES}"
    ours = await world.say("own", script, **changes)
    theirs = await world.say("other", script, **changes, runtime=program)
    assert _mounts(theirs, name) == _mounts(ours, name)
    assert theirs[theirs.index("--") :] == ours[ours.index("--") :]


def _mounts(lines: list[str], name: str) -> dict[str, list[tuple[str, ...]]]:
    """Of each place, what is mounted there: flags, propagation, file system and its own options.

    What a masked path is covered with is the runtime's choice. crun lets read-only paths of /proc be no more than that,
    and leaves it to the mount that /sys is read-only.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in lines[: lines.index("--")]:
        before, _, after = line.partition(" - ")
        place, flags, *shared = before.split()[4:]
        kind, _source, options = after.split()
        wanted = [one for one in options.split(",") if one.split("=")[0] not in NOT_TO_BE_COMPARED]
        peers = [one.partition(":")[0] for one in shared]
        if place in MASKED_PATHS:
            flags, kind, wanted = "", "", []
        elif name == "crun" and place in READ_ONLY_PATHS:
            flags, wanted = flags.partition(",")[0], []
        elif place == "/sys":
            wanted = []
        found.setdefault(place, []).append((flags, *peers, kind, *wanted))
    return found


def _sections(lines: list[str], name: str) -> list[list[str]]:
    """What was seen, each part in an order of its own; runc makes no link to the kernel's memory, which is masked."""
    parts = "\n".join(lines).split("--\n")
    seen = [sorted(set(part.splitlines())) for part in parts]
    return [[line for line in part if name != "runc" or line != "core"] for part in seen]
