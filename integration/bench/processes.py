"""What processes cost: memory and processor time out of /proc."""

import os
from collections.abc import Iterable
from pathlib import Path

from integration.bench.fresh_process import pss_bytes

NANOSECONDS = 10**9
_TICKS = os.sysconf("SC_CLK_TCK")
_DOCKER = ("dockerd", "containerd", "containerd-shim", "docker-proxy")


def memory_bytes(pids: Iterable[int]) -> int:
    """The proportional shares of these processes."""
    return sum(pss_bytes(pid) for pid in pids)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of these processes' threads so far, by a clock that counts less than a tick."""
    return sum(_thread_nanoseconds(path) for pid in pids for path in _threads(pid)) / NANOSECONDS


def busy_seconds() -> float:
    """Processor time of the whole machine so far, without idling."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS


def with_words(words: Iterable[str]) -> list[int]:
    """Processes whose command line has one of these in it."""
    wanted = [word.encode() for word in words]
    return [pid for pid in _all() if any(word in _read(pid, "cmdline") for word in wanted)]


def docker_family(daemon: int) -> list[int]:
    """A dockerd with its containerd, shims and proxies: they share its mount namespace."""
    space = _mount_namespace(daemon)
    return [
        pid
        for pid in _all()
        if _read(pid, "comm").decode().strip().startswith(_DOCKER)
        and _mount_namespace(pid) == space
    ]


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _mount_namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _thread_nanoseconds(path: Path) -> int:
    try:
        return int((path / "schedstat").read_text().split()[0])
    except OSError:
        return 0
