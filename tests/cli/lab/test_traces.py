from pathlib import Path

from cli.lab import traces

TABLE = """\
/dev/vda / ext4 rw 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
overlay /var/lib/swarmd-lab/lab/m1/data/a/merged overlay rw 0 0
overlay /var/lib/swarmd-lab/lab/m10/data/a/merged overlay rw 0 0
disk /var/lib/swarmd-lab/lab/m1/data tmpfs rw 0 0
nsfs /run/swarmd-lab/lab/m1/netns/a nsfs rw 0 0
tmpfs /run/swarmd-lab/lab/m1/netns/a/b tmpfs rw 0 0
"""
ROOTS = (Path("/var/lib/swarmd-lab/lab/m1/data"), Path("/run/swarmd-lab/lab/m1"))


def test_finds_mounts_of_one_host_the_last_one_first() -> None:
    assert traces.mounts_below(TABLE, ROOTS) == [
        "/run/swarmd-lab/lab/m1/netns/a/b",
        "/run/swarmd-lab/lab/m1/netns/a",
        "/var/lib/swarmd-lab/lab/m1/data/a/merged",
    ]


def test_finds_control_groups_of_either_kind() -> None:
    assert traces.hierarchies(TABLE) == [
        Path("/sys/fs/cgroup/pids"),
        Path("/sys/fs/cgroup/unified"),
    ]


def test_a_group_that_is_not_there_has_left_nothing() -> None:
    assert traces.cgroups("/swarmd-lab-there-is-none-m1") == []
    traces.remove_groups("/swarmd-lab-there-is-none-m1")


def test_kills_what_is_below_a_group_of_version_2_at_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for directory in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        (directory / "cgroup.procs").write_text("")
    (tmp_path / "cgroup.kill").write_text("")
    traces.kill_group(tmp_path, "/x")
    assert (tmp_path / "cgroup.kill").read_text() == "1"


def test_never_kills_a_process_that_is_not_in_the_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("1\n")  # a stale answer: the process is in another one
    traces.kill_group(tmp_path, "/swarmd-lab-there-is-none-m1")
