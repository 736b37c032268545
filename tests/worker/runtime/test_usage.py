from pathlib import Path

import pytest

from worker.kernel.cgroup_v1 import CgroupsV1
from worker.kernel.cgroup_v2 import CgroupsV2
from worker.kernel.cgroupfs import Hierarchies
from worker.runtime.bundle import Usage
from worker.runtime.usage import read_usage

V1 = {
    "cpu": {"cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 5000\n"},
    "cpuacct": {
        "cpuacct.usage": "123456789\n",
        "cpuacct.usage_percpu": "100000000 23456789 \n",
        "cpuacct.stat": "user 3\nsystem 2\n",
    },
    "memory": {
        "memory.usage_in_bytes": "4096\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.stat": "cache 1\nrss 2\ntotal_inactive_file 3\n",
    },
    "pids": {"pids.current": "3\n", "pids.max": "max\n", "cgroup.procs": "1\n"},
    "blkio": {
        "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
    },
}
V2 = {
    "cgroup.procs": "1\n",
    "cgroup.controllers": "cpu io memory pids\n",
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 1\nnr_throttled 1\nthrottled_usec 7\n",
    "memory.current": "4096\n",
    "memory.max": "8192\n",
    "memory.stat": "anon 1\ninactive_file 3\n",
    "pids.current": "3\n",
    "pids.max": "20\n",
    "io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n",
}


def test_v1(tmp_path: Path) -> None:
    for controller, files in V1.items():
        directory = tmp_path / controller / "parent/c"
        directory.mkdir(parents=True)
        for name, text in files.items():
            (directory / name).write_text(text)
    places = {name: str(tmp_path / name) for name in V1}
    assert read_usage(CgroupsV1(Hierarchies(places, ""), "parent"), "c") == Usage(
        cpu_ns=123456789,
        cpu_user_ns=30_000_000,
        cpu_system_ns=20_000_000,
        periods=10,
        throttled_periods=4,
        throttled_ns=5000,
        memory_bytes=4096,
        memory_detail={"cache": 1, "rss": 2, "total_inactive_file": 3},
        pids=3,
        block_io=((8, 0, "read", 4096), (8, 0, "write", 512)),
        per_cpu_ns=(100000000, 23456789),
    )


def test_v2(tmp_path: Path) -> None:
    directory = tmp_path / "parent/c"
    directory.mkdir(parents=True)
    for name, text in V2.items():
        (directory / name).write_text(text)
    assert read_usage(CgroupsV2(str(tmp_path), "parent"), "c") == Usage(
        cpu_ns=1_500_000,
        cpu_user_ns=1_000_000,
        cpu_system_ns=500_000,
        periods=1,
        throttled_periods=1,
        throttled_ns=7000,
        memory_bytes=4096,
        memory_limit_bytes=8192,
        memory_detail={"anon": 1, "inactive_file": 3},
        pids=3,
        pids_limit=20,
        block_io=((8, 0, "read", 4096), (8, 0, "write", 512)),
    )


def test_a_group_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no control group c"):
        read_usage(CgroupsV2(str(tmp_path), "parent"), "c")
