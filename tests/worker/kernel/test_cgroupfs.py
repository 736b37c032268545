from pathlib import Path

import pytest
from typing_extensions import override

from worker.kernel.cgroup_v1 import CgroupsV1, v1_settings
from worker.kernel.cgroup_v2 import CgroupsV2, enable_controllers, missing_controllers, v2_settings
from worker.kernel.cgroupfs import (
    Hierarchies,
    Limits,
    find_hierarchies,
    keyed_numbers,
)
from worker.kernel.cgroups import open_cgroups

HYBRID = """\
24 1 0:21 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
25 24 0:22 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
26 24 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
27 24 0:24 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
28 24 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_finds_hybrid_hierarchies() -> None:
    found = find_hierarchies(HYBRID)
    assert found.unified == "/sys/fs/cgroup/unified"
    assert found.controllers["cpu"] == found.controllers["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.controllers["memory"] == "/sys/fs/cgroup/memory"


def test_finds_a_unified_hierarchy_alone() -> None:
    found = find_hierarchies(UNIFIED)
    assert (found.controllers, found.unified) == ({}, "/sys/fs/cgroup")
    assert isinstance(open_cgroups("/swarmd", UNIFIED), CgroupsV2)
    assert isinstance(open_cgroups("/swarmd", HYBRID), CgroupsV1)


@pytest.mark.parametrize("parent", ["", "/", "/a/../..", ".."])
def test_a_parent_must_be_a_group_of_its_own(parent: str) -> None:
    with pytest.raises(OSError, match="cgroup parent"):
        open_cgroups(parent, UNIFIED)


def test_a_machine_without_cgroups_is_told() -> None:
    with pytest.raises(OSError, match="no cgroup file system"):
        open_cgroups("/swarmd", "1 1 0:1 / / rw - ext4 /dev/x rw\n")


MIB = 1 << 20
SETTINGS = {
    "nothing": ({}, [], []),
    "cpu": (
        {"cpu_quota_us": 50_000, "cpu_period_us": 100_000},
        [("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "50000")],
        [("cpu.max", "50000 100000")],
    ),
    "memory, with as much swap again": (
        {"memory_bytes": 64 * MIB},
        [
            ("memory", "memory.limit_in_bytes", str(64 * MIB)),
            ("memory", "memory.memsw.limit_in_bytes", str(128 * MIB)),
        ],
        [("memory.max", str(64 * MIB)), ("memory.swap.max", str(64 * MIB))],
    ),
    "memory without swap": (
        {"memory_bytes": MIB, "memory_swap_bytes": MIB},
        [
            ("memory", "memory.limit_in_bytes", str(MIB)),
            ("memory", "memory.memsw.limit_in_bytes", str(MIB)),
        ],
        [("memory.max", str(MIB)), ("memory.swap.max", "0")],
    ),
    "memory with any swap": (
        {"memory_bytes": MIB, "memory_swap_bytes": -1},
        [("memory", "memory.limit_in_bytes", str(MIB))],
        [("memory.max", str(MIB))],
    ),
    "reservation": (
        {"memory_reservation_bytes": MIB},
        [("memory", "memory.soft_limit_in_bytes", str(MIB))],
        [("memory.low", str(MIB))],
    ),
    "pids": ({"pids": 9}, [("pids", "pids.max", "9")], [("pids.max", "9")]),
    "unlimited pids, as Docker says -1": ({"pids": -1}, [], []),
}


@pytest.mark.parametrize(("limits", "v1", "v2"), SETTINGS.values(), ids=SETTINGS)
def test_settings(
    limits: dict[str, int], v1: list[tuple[str, str, str]], v2: list[tuple[str, str]]
) -> None:
    written = v1_settings(Limits(limits))
    devices = written.index(("devices", "devices.deny", "a"))
    assert written[:devices] == v1
    assert ("devices", "devices.allow", "c 1:3 rwm") in written[devices:]
    assert v2_settings(Limits(limits)) == v2


def test_missing_controllers_are_those_we_use_and_do_not_have_yet() -> None:
    assert missing_controllers("cpuset cpu io memory pids", "cpu") == ["memory", "pids"]
    assert missing_controllers("io", "") == []


def test_keyed_numbers_skip_what_is_none() -> None:
    assert keyed_numbers("low 0\noom_kill 3\nodd x\n\n") == {"low": 0, "oom_kill": 3}


class Tree(CgroupsV2):
    """A fake v2 tree of plain files: no kernel fills new directories, and no eBPF."""

    devices: list[str]

    @override
    def _attach_devices(self, directory: str) -> None:
        self.devices = [*getattr(self, "devices", []), Path(directory).name]
        for name in ("memory.swap.max", "cgroup.kill", "memory.max", "cpu.max", "pids.max"):
            (Path(directory) / name).write_text("")


@pytest.fixture
def v2_root(tmp_path: Path) -> Path:
    for level in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        level.mkdir(exist_ok=True)
        (level / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (level / "cgroup.subtree_control").write_text("cpu\n" if level == tmp_path else "")
    return tmp_path


def test_v2_enables_every_level_and_makes_the_group(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({"memory_bytes": MIB, "cpu_quota_us": 1000}))
    # write_text overwrites from the start, as the kernel takes each write by itself
    assert (v2_root / "cgroup.subtree_control").read_text().startswith("+memory +pids")
    assert (v2_root / "a/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (v2_root / "a/b/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    group = v2_root / "a/b/c"
    assert (group / "memory.max").read_text() == str(MIB)
    assert (group / "cpu.max").read_text() == "1000 100000"
    assert groups.devices == ["c"]
    groups.create("c", Limits({"memory_bytes": 2 * MIB}))
    assert groups.devices == ["c"]
    assert (group / "memory.max").read_text() == str(2 * MIB)


def test_v2_a_limit_without_its_controller_is_refused(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    with pytest.raises(OSError, match="a/b has no memory controller"):
        groups.create("c", Limits({"memory_reservation_bytes": MIB}))


def test_v2_reads_and_kills(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({}))
    group = v2_root / "a/b/c"
    (group / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (group / "memory.current").write_text("4096\n")
    (group / "memory.max").write_text("max\n")
    (group / "pids.current").write_text("3\n")
    (group / "memory.events").write_text("oom 1\noom_kill 2\n")
    (group / "cgroup.procs").write_text("11\n12\n0\n")
    (group / "inner").mkdir()
    (group / "inner/cgroup.procs").write_text("13\n")
    stats = groups.stats("c")
    assert (stats.cpu_ns, stats.memory_bytes) == (1_500_000, 4096)
    assert (stats.memory_limit_bytes, stats.pids) == (0, 3)
    assert groups.oom_kills("c") == 2
    assert groups.oom_kills("gone") == 0
    assert groups.processes("c") == [11, 12, 13]
    assert groups.processes("gone") == []
    groups.kill("c")
    assert (group / "cgroup.kill").read_text() == "1"


def test_v2_is_entered_by_birth(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({}))
    entrance = groups.entrance("c")
    assert entrance.to_join == []
    assert Path(f"/proc/self/fd/{entrance.born_in}").readlink() == v2_root / "a/b/c"
    entrance.close()


def test_v2_is_removed_with_what_is_below_it_and_busy_ones_stay(tmp_path: Path) -> None:
    groups = CgroupsV2(str(tmp_path), "a")
    (tmp_path / "a/c/inner").mkdir(parents=True)
    assert groups.remove("c")
    assert groups.remove("c")
    (tmp_path / "a/c/inner").mkdir(parents=True)
    (tmp_path / "a/c/inner/busy").write_text("")
    assert not groups.remove("c")
    groups.remove_parent()
    assert (tmp_path / "a").exists()


def test_v2_a_level_that_is_not_there_says_which(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        enable_controllers(str(tmp_path))


def fake_v1(tmp_path: Path) -> CgroupsV1:
    places = {name: str(tmp_path / name) for name in ("memory", "pids", "devices", "freezer")}
    places |= {"cpu": str(tmp_path / "cpu,cpuacct"), "cpuacct": str(tmp_path / "cpu,cpuacct")}
    for place in places.values():
        group = Path(place) / "swarmd/c"
        group.mkdir(parents=True, exist_ok=True)
        for file in ("cgroup.procs", "devices.deny", "devices.allow", "freezer.state", "pids.max"):
            (group / file).write_text("")
    (tmp_path / "memory/swarmd/c/memory.limit_in_bytes").write_text("")
    return CgroupsV1(Hierarchies(places, ""), "swarmd")


def test_v1_writes_limits_and_skips_swap_that_is_not_accounted(tmp_path: Path) -> None:
    groups = fake_v1(tmp_path)
    groups.create("c", Limits({"memory_bytes": MIB, "pids": 5}))
    assert (tmp_path / "memory/swarmd/c/memory.limit_in_bytes").read_text() == str(MIB)
    assert (tmp_path / "pids/swarmd/c/pids.max").read_text() == "5"
    assert (tmp_path / "devices/swarmd/c/devices.deny").read_text() == "a"


def test_v1_shows_controllers_that_are_mounted_together_as_one(tmp_path: Path) -> None:
    groups = fake_v1(tmp_path)
    assert sorted(groups.shown) == ["cpu,cpuacct", "devices", "freezer", "memory", "pids"]
    entrance = groups.entrance("c")
    assert (len(entrance.to_join), entrance.born_in) == (5, -1)
    entrance.close()


def test_v1_a_limit_without_its_controller_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    groups = CgroupsV1(Hierarchies({"memory": str(tmp_path / "memory")}, ""), "swarmd")
    with pytest.raises(OSError, match="no pids cgroup controller"):
        groups.create("c", Limits({"pids": 5}))


def test_v1_kill_of_an_empty_group_leaves_it_thawed(tmp_path: Path) -> None:
    groups = fake_v1(tmp_path)
    groups.kill("c")
    assert (tmp_path / "freezer/swarmd/c/freezer.state").read_text() == "THAWED"


def test_v1_counts_processes_that_the_kernel_killed(tmp_path: Path) -> None:
    groups = fake_v1(tmp_path)
    control = tmp_path / "memory/swarmd/c/memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    assert groups.oom_kills("c") == 4
    assert groups.oom_kills("gone") == 0
