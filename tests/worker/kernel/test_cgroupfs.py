from pathlib import Path

import pytest
from typing_extensions import override

from worker.kernel.cgroup_v1 import CgroupsV1
from worker.kernel.cgroup_v1_settings import v1_changes, v1_settings
from worker.kernel.cgroup_v2 import (
    CgroupsV2,
    cpu_weight,
    enable_controllers,
    io_weight,
    missing_controllers,
    v2_changes,
    v2_settings,
)
from worker.kernel.cgroupfs import (
    Hierarchies,
    Limits,
    find_hierarchies,
    keyed_numbers,
    write_texts,
)
from worker.kernel.cgroups import open_cgroups
from worker.kernel.device_rules import Rule

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
MEMORY, BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
SETTINGS = {
    "nothing": ({}, [], []),
    "cpu quota": (
        {"cpu_quota_us": 50_000, "cpu_period_us": 100_000},
        [("cpu", "cpu.cfs_period_us", "100000"), ("cpu", "cpu.cfs_quota_us", "50000")],
        [("cpu.max", "50000 100000")],
    ),
    "cpu period alone": (
        {"cpu_period_us": 50_000},
        [("cpu", "cpu.cfs_period_us", "50000")],
        [("cpu.max", "max 50000")],
    ),
    "cpu shares": ({"cpu_shares": 1024}, [("cpu", "cpu.shares", "1024")], [("cpu.weight", "39")]),
    "processors and memory nodes": (
        {"cpuset_cpus": "0-1,3", "cpuset_mems": "0"},
        [("cpuset", "cpuset.cpus", "0-1,3"), ("cpuset", "cpuset.mems", "0")],
        [("cpuset.cpus", "0-1,3"), ("cpuset.mems", "0")],
    ),
    "memory, with as much swap again": (
        {"memory_bytes": 64 * MIB},
        [("memory", MEMORY, str(64 * MIB)), ("memory", BOTH, str(128 * MIB))],
        [("memory.max", str(64 * MIB)), ("memory.swap.max", str(64 * MIB))],
    ),
    "memory without swap": (
        {"memory_bytes": MIB, "memory_swap_bytes": MIB},
        [("memory", MEMORY, str(MIB)), ("memory", BOTH, str(MIB))],
        [("memory.max", str(MIB)), ("memory.swap.max", "0")],
    ),
    "memory with any swap": (
        {"memory_bytes": MIB, "memory_swap_bytes": -1},
        [("memory", MEMORY, str(MIB))],
        [("memory.max", str(MIB))],
    ),
    "reservation": (
        {"memory_reservation_bytes": MIB},
        [("memory", "memory.soft_limit_in_bytes", str(MIB))],
        [("memory.low", str(MIB))],
    ),
    "swappiness and no killing, which v2 does not have": (
        {"memory_swappiness": 0, "oom_kill_disable": True},
        [("memory", "memory.swappiness", "0"), ("memory", "memory.oom_control", "1")],
        [],
    ),
    "pids": ({"pids": 9}, [("pids", "pids.max", "9")], [("pids.max", "9")]),
    "unlimited pids, as Docker says -1": ({"pids": -1}, [], []),
    "weight of block I/O": (
        {"blkio_weight": 300},
        [("blkio", "blkio.weight", "300")],
        [("io.bfq.weight", "300")],
    ),
}


@pytest.mark.parametrize(("limits", "v1", "v2"), SETTINGS.values(), ids=SETTINGS)
def test_settings(
    limits: dict[str, int], v1: list[tuple[str, str, str]], v2: list[tuple[str, str]]
) -> None:
    assert v1_settings(Limits(limits)) == v1
    assert v2_settings(Limits(limits)) == v2


ORDERS = {
    "more memory than there was with swap: both first": (100, 50, [BOTH, MEMORY]),
    "less memory: memory first": (20, 50, [MEMORY, BOTH]),
    "no limit any more: both first": (0, 50, [BOTH, MEMORY]),
}


@pytest.mark.parametrize(("memory", "both_now", "order"), ORDERS.values(), ids=ORDERS)
def test_memory_is_at_no_moment_more_than_with_swap(
    memory: int, both_now: int, order: list[str]
) -> None:
    changes = v1_changes(Limits({"memory_bytes": memory}), both_now)
    assert [file for _, file, _ in changes][:2] == order


def test_changes_lift_what_is_not_limited() -> None:
    v1 = {file: value for _, file, value in v1_changes(Limits({"pids": 7}), 1 << 62)}
    assert (v1["pids.max"], v1["cpu.cfs_quota_us"], v1[MEMORY]) == ("7", "-1", "-1")
    v2 = dict(v2_changes(Limits({"pids": 7})))
    assert (v2["pids.max"], v2["cpu.max"], v2["memory.max"]) == ("7", "max 100000", "max")


WEIGHTS = {2: 1, 1024: 39, 262144: 10000}


@pytest.mark.parametrize(("shares", "weight"), WEIGHTS.items())
def test_shares_become_weights(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


def test_weights_of_block_io_are_stretched() -> None:
    assert [io_weight(weight) for weight in (10, 500, 1000)] == [1, 4950, 10000]


def test_writes_are_taken_back_when_one_is_refused(tmp_path: Path) -> None:
    first, several = tmp_path / "first", tmp_path / "several"
    first.write_text("max\n")
    several.write_text("oom_kill_disable 0\nunder_oom 0\n")
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError):
        write_texts([(str(first), "5"), (str(several), "1"), (str(missing), "1")])
    assert first.read_text().startswith("max")
    assert several.read_text().startswith("0")


def test_missing_controllers_are_those_we_use_and_do_not_have_yet() -> None:
    assert missing_controllers("cpuset cpu hugetlb memory pids", "cpu") == [
        "cpuset",
        "memory",
        "pids",
    ]
    assert missing_controllers("hugetlb", "") == []


def test_keyed_numbers_skip_what_is_none() -> None:
    assert keyed_numbers("low 0\noom_kill 3\nodd x\n\n") == {"low": 0, "oom_kill": 3}


class Tree(CgroupsV2):
    """A fake v2 tree of plain files: no kernel fills new directories, and no eBPF."""

    devices: list[str]

    @override
    def _attach_devices(self, directory: str, devices: tuple[Rule, ...], *, is_new: bool) -> None:
        self.devices = [*getattr(self, "devices", []), Path(directory).name]
        files = ("memory.swap.max", "cgroup.kill", "memory.max", "cpu.max", "pids.max")
        for name in (*files, "cgroup.freeze", "cgroup.events", "io.weight", "cpuset.cpus"):
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
    assert (v2_root / "cgroup.subtree_control").read_text().startswith("+cpuset +io +memory +pids")
    assert (v2_root / "a/cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    assert (v2_root / "a/b/cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    group = v2_root / "a/b/c"
    assert (group / "memory.max").read_text() == str(MIB)
    assert (group / "cpu.max").read_text() == "1000 100000"
    assert groups.devices == ["c"]
    groups.create("c", Limits({"memory_bytes": 2 * MIB}))
    assert groups.devices == ["c", "c"]  # whoever made it may not have come so far
    assert (group / "memory.max").read_text() == str(2 * MIB)


def test_v2_a_limit_without_its_controller_is_refused(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    with pytest.raises(OSError, match="a/b has no memory controller"):
        groups.create("c", Limits({"memory_reservation_bytes": MIB}))


def test_v2_reads_and_kills(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({}))
    group = v2_root / "a/b/c"
    (group / "memory.events").write_text("oom 1\noom_kill 2\n")
    (group / "cgroup.procs").write_text("11\n12\n0\n")
    (group / "inner").mkdir()
    (group / "inner/cgroup.procs").write_text("13\n")
    assert groups.oom_kills("c") == 2
    assert groups.oom_kills("gone") == 0
    assert groups.processes("c") == [11, 12, 13]
    assert groups.processes("gone") == []
    groups.kill("c")
    assert (group / "cgroup.kill").read_text() == "1"


def test_v2_stands_still_and_goes_on(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({}))
    group = v2_root / "a/b/c"
    assert not groups.freeze("c")
    assert groups.is_frozen("c")
    (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert groups.freeze("c")
    groups.thaw("c")
    assert not groups.is_frozen("c")
    assert not groups.is_frozen("gone")


def test_v2_limits_change_all_or_none(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({"pids": 5, "blkio_weight": 1000}))
    group = v2_root / "a/b/c"
    assert (group / "io.weight").read_text() == "10000"
    (group / "memory.current").write_text("4096\n")
    groups.update("c", Limits({"memory_bytes": MIB, "pids": 9, "cpuset_cpus": "0"}))
    assert [(group / file).read_text() for file in ("pids.max", "memory.max", "cpuset.cpus")] == [
        "9",
        str(MIB),
        "0",
    ]
    with pytest.raises(OSError, match="less than the 4096 bytes in use"):
        groups.update("c", Limits({"memory_bytes": 100, "pids": 3}))
    assert (group / "pids.max").read_text() == "9"
    with pytest.raises(FileNotFoundError):
        groups.update("gone", Limits({}))


def test_v2_weights_without_a_scheduler_that_weighs_are_refused(v2_root: Path) -> None:
    groups = Tree(str(v2_root), "a/b")
    groups.create("c", Limits({}))
    (v2_root / "a/b/c/io.weight").unlink()
    with pytest.raises(OSError, match="no weights of block I/O"):
        groups.update("c", Limits({"blkio_weight": 10}))


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
        for file in ("tasks", "devices.deny", "devices.allow", "freezer.state", "pids.max"):
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


def test_v1_a_container_of_0_1_0_has_no_group_for_block_devices_and_is_entered_all_the_same(
    tmp_path: Path,
) -> None:
    """But without any other of its groups it would be entered unconfined: that is refused."""
    for name in ("pids", "blkio"):
        (tmp_path / name).mkdir()
    (tmp_path / "pids/p/c").mkdir(parents=True)
    (tmp_path / "pids/p/c/tasks").touch()
    places = {name: str(tmp_path / name) for name in ("pids", "blkio")}
    entrance = CgroupsV1(Hierarchies(places, ""), "p").entrance("c")
    assert len(entrance.to_join) == 1
    entrance.close()
    (tmp_path / "pids/p/c/tasks").unlink()
    with pytest.raises(FileNotFoundError):
        CgroupsV1(Hierarchies(places, ""), "p").entrance("c")


def test_v1_a_limit_without_its_controller_is_refused(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    groups = CgroupsV1(Hierarchies({"memory": str(tmp_path / "memory")}, ""), "swarmd")
    with pytest.raises(OSError, match="no pids cgroup controller"):
        groups.create("c", Limits({"pids": 5}))


def test_v1_is_bound_to_processors_in_a_group_made_for_it(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("pids", "cpuset", "devices")}
    groups = CgroupsV1(Hierarchies(places, ""), "a/b")
    for group in (
        "pids/a/b/c",
        "cpuset",
        "cpuset/a",
        "cpuset/a/b",
        "cpuset/a/b/c",
        "devices/a/b/c",
    ):
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        for file in ("tasks", "cpuset.cpus", "cpuset.mems", "devices.deny", "devices.allow"):
            has = "0-7\n" if group == "cpuset" and file.startswith("cpuset") else ""
            (tmp_path / group / file).write_text(has)
    assert "cpuset" not in groups.shown
    groups.create("c", Limits({"cpuset_cpus": "2"}))
    assert (tmp_path / "cpuset/a/b/c/cpuset.cpus").read_text() == "2"
    entrance = groups.entrance("c")
    assert entrance.shown == (*groups.shown, "cpuset")
    entrance.close()


def test_v1_weights_without_a_scheduler_that_weighs_are_refused(tmp_path: Path) -> None:
    places = {name: str(tmp_path / name) for name in ("pids", "blkio", "devices")}
    with pytest.raises(OSError, match="no weights of block I/O"):
        CgroupsV1(Hierarchies(places, ""), "a").create("c", Limits({"blkio_weight": 10}))


def test_v1_stands_still_and_goes_on(tmp_path: Path) -> None:
    groups = fake_v1(tmp_path)
    assert groups.freeze("c")
    assert groups.is_frozen("c")
    groups.thaw("c")
    assert not groups.is_frozen("c")
    assert not groups.is_frozen("gone")


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
