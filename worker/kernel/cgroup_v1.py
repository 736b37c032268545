"""Control groups of version 1: one hierarchy per controller, and the unified one beside them when it is mounted."""

import os

from worker.kernel.cgroupfs import (
    KILL_ROUNDS_MAX,
    MEMORY_UNLIMITED,
    Entrance,
    Hierarchies,
    Limits,
    Stats,
    keyed_numbers,
    pause,
    read_processes,
    read_text,
    remove_directory,
    write_text,
)
from worker.kernel.device_rules import v1_lines

USED_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "devices", "freezer")
_SIGKILL = 9
_UNLIMITED_FROM = 1 << 60
"""The kernel shows "no limit" as the largest multiple of a page."""


def v1_settings(limits: Limits) -> list[tuple[str, str, str]]:
    """Controller, file and value of what to write into a new group, in order."""
    settings = []
    if limits.cpu_quota_us:
        settings.append(("cpu", "cpu.cfs_period_us", str(limits.cpu_period_us)))
        settings.append(("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_us)))
    if limits.memory_bytes:
        settings.append(("memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
    if limits.memory_and_swap_bytes != MEMORY_UNLIMITED:
        both = str(limits.memory_and_swap_bytes)
        settings.append(("memory", "memory.memsw.limit_in_bytes", both))
    if limits.memory_reservation_bytes:
        reservation = str(limits.memory_reservation_bytes)
        settings.append(("memory", "memory.soft_limit_in_bytes", reservation))
    if limits.pids > 0:
        settings.append(("pids", "pids.max", str(limits.pids)))
    settings.append(("devices", "devices.deny", "a"))
    settings += [("devices", "devices.allow", line) for line in v1_lines()]
    return settings


class CgroupsV1:
    """One directory per controller for each group."""

    def __init__(self, hierarchies: Hierarchies, parent: str) -> None:
        self._places = {
            controller: f"{hierarchies.controllers[controller]}/{parent}"
            for controller in USED_CONTROLLERS
            if controller in hierarchies.controllers
        }
        self._unified = f"{hierarchies.unified}/{parent}" if hierarchies.unified else ""
        if not self._unified or not _is_writable(hierarchies.unified):
            self._unified = ""
        together: dict[str, list[str]] = {}
        for controller, place in self._places.items():
            together.setdefault(place, []).append(controller)
        self.shown = tuple(",".join(controllers) for controllers in together.values())

    def _parents(self) -> list[str]:
        """Each directory once: some machines mount two controllers together."""
        unified = [self._unified] if self._unified else []
        return list(dict.fromkeys([*self._places.values(), *unified]))

    def create(self, name: str, limits: Limits) -> None:
        """Makes the group in every hierarchy and sets its limits."""
        for parent in self._parents():
            _make_group(f"{parent}/{name}")
        for controller, file, value in v1_settings(limits):
            place = self._places.get(controller)
            if place is None:
                raise OSError(2, f"the kernel has no {controller} cgroup controller here")
            if "memsw" in file and not os.path.exists(f"{place}/{name}/{file}"):
                continue  # The kernel does not account for swap.
            write_text(f"{place}/{name}/{file}", value)

    def entrance(self, name: str) -> Entrance:
        """A ``cgroup.procs`` per controller; the unified group is where the process is born."""
        fds: list[int] = []
        born_in = -1
        try:
            fds += (
                os.open(f"{parent}/{name}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                for parent in dict.fromkeys(self._places.values())
            )
            if self._unified:
                born_in = os.open(f"{self._unified}/{name}", os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            Entrance(fds, born_in).close()
            raise
        return Entrance(fds, born_in)

    def processes(self, name: str) -> list[int]:
        """Pids by the one hierarchy that every process of the group is in."""
        return read_processes(f"{self._any_parent()}/{name}")

    def _any_parent(self) -> str:
        return self._places.get("pids") or next(iter(self._places.values()))

    def kill(self, name: str) -> None:
        """By the unified group when it can; else frozen, so that nothing forks away, killed and thawed."""
        if self._unified:
            try:
                write_text(f"{self._unified}/{name}/cgroup.kill", "1")
            except OSError:
                self._kill_each(name)
                return
            self._set_frozen(name, "THAWED")
            return
        self._kill_each(name)

    def _kill_each(self, name: str) -> None:
        for _ in range(KILL_ROUNDS_MAX):
            self._set_frozen(name, "FROZEN")
            pids = self.processes(name)
            for pid in pids:
                _kill(pid)
            self._set_frozen(name, "THAWED")
            if not pids:
                return
            pause()

    def _set_frozen(self, name: str, state: str) -> None:
        place = self._places.get("freezer")
        if place and os.path.exists(f"{place}/{name}/freezer.state"):
            write_text(f"{place}/{name}/freezer.state", state)

    def stats(self, name: str) -> Stats:
        """Reads one file of each controller."""
        limit = self._number("memory", name, "memory.limit_in_bytes")
        return Stats(
            cpu_ns=self._number("cpuacct", name, "cpuacct.usage"),
            memory_bytes=self._number("memory", name, "memory.usage_in_bytes"),
            memory_limit_bytes=0 if limit >= _UNLIMITED_FROM else limit,
            pids=self._number("pids", name, "pids.current"),
        )

    def _number(self, controller: str, name: str, file: str) -> int:
        place = self._places.get(controller)
        return int(read_text(f"{place}/{name}/{file}")) if place else 0

    def oom_kills(self, name: str) -> int:
        """The ``oom_kill`` counter of ``memory.oom_control``."""
        place = self._places.get("memory")
        try:
            text = read_text(f"{place}/{name}/memory.oom_control") if place else ""
        except FileNotFoundError:
            return 0
        return keyed_numbers(text).get("oom_kill", 0)

    def remove(self, name: str) -> bool:
        """Removes the group from every hierarchy."""
        outcomes = [remove_directory(f"{parent}/{name}") for parent in self._parents()]
        return all(outcomes)

    def remove_parent(self) -> None:
        """Removes the parent from every hierarchy where it is empty."""
        for parent in self._parents():
            try:
                os.rmdir(parent)
            except OSError:
                continue


def _is_writable(directory: str) -> bool:
    return os.access(directory, os.W_OK)


def _make_group(directory: str) -> None:
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        os.makedirs(directory, 0o755, exist_ok=True)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return
