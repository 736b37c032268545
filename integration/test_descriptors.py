"""How many files may be open: many in swarmd, and in containers as many as swarmd was started with."""

import resource
from pathlib import Path

from integration.host import Host


def soft_limit(pid: int) -> int:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Max open files")).split()[3])


def test_swarmd_takes_many_descriptors_and_containers_do_not_notice(host: Host) -> None:
    host.stop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, hard))
        host.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    host.create_hello()
    assert host.process is not None
    assert soft_limit(host.process.pid) == min(hard, 1 << 20)
    container = host.api("GET", "/containers/json")[0]["Id"]
    pid = host.api("GET", f"/containers/{container}/json")["State"]["Pid"]
    assert soft_limit(pid) == 1000
