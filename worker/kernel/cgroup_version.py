"""Which version of control groups limits containers on this machine."""

from pathlib import Path

from worker.kernel.cgroupfs import find_hierarchies


def cgroup_version() -> str:
    """Either "1" or "2"."""
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    return "1" if {"memory", "pids"} & found.controllers.keys() else "2"
