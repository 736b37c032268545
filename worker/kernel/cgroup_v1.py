"""Control groups of version 1: one hierarchy per controller, and the unified one beside them when it is mounted."""

import os

from worker.kernel.cgroup_v1_settings import (
    BLKIO_WEIGHT_FILES,
    CPUSET,
    MEMORY_AND_SWAP,
    Setting,
    is_no_limit,
    v1_changes,
    v1_settings,
)
from worker.kernel.cgroupfs import (
    KILL_ROUNDS_MAX,
    Entrance,
    Hierarchies,
    Limits,
    keyed_numbers,
    pause,
    read_processes,
    read_text,
    remove_directory,
    write_text,
    write_texts,
)
from worker.kernel.device_rules import DEFAULT_DEVICE_RULES, Rule, v1_lines

USED_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "devices", "freezer", "blkio")
_FREEZER_STATE = "freezer.state"
_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_UNLIMITED = 1 << 63
MOVE_ROUNDS_MAX = 50
"""Of moving processes into a new group while they fork."""
_SIGKILL = 9


_OWN_THREAD = "tasks"
"""What a process of one thread writes "0" to. The kernel (from 5.16 on) moves the writer alone at once; for
``cgroup.procs`` it first stops all forks and exits of the machine, which takes 15 ms unless it was just done.
"""


class CgroupsV1:
    """One directory per controller for each group."""

    def __init__(self, hierarchies: Hierarchies, parent: str) -> None:
        self._parent = parent
        self._places = {
            controller: f"{hierarchies.controllers[controller]}/{parent}"
            for controller in USED_CONTROLLERS
            if controller in hierarchies.controllers
        }
        self._unified = f"{hierarchies.unified}/{parent}" if hierarchies.unified else ""
        if not self._unified or not _is_writable(hierarchies.unified):
            self._unified = ""
        self._cpuset = ""
        if CPUSET in hierarchies.controllers:
            self._cpuset = f"{hierarchies.controllers[CPUSET]}/{parent}"
        together: dict[str, list[str]] = {}
        for controller, place in self._places.items():
            together.setdefault(place, []).append(controller)
        self.shown = tuple(",".join(controllers) for controllers in together.values())

    def _parents(self) -> list[str]:
        """Each directory once: some machines mount two controllers together."""
        unified = [self._unified] if self._unified else []
        return list(dict.fromkeys([*self._places.values(), *unified]))

    def create(
        self, name: str, limits: Limits, devices: tuple[Rule, ...] = DEFAULT_DEVICE_RULES
    ) -> None:
        """Makes the group in every hierarchy and sets its limits."""
        for parent in self._parents():
            _make_group(f"{parent}/{name}")
        if limits.cpuset_cpus or limits.cpuset_mems:
            self._make_cpuset(name)
        for path, value in self._paths(name, v1_settings(limits)):
            write_text(path, value)
        self._allow_devices(name, devices)

    def _allow_devices(self, name: str, devices: tuple[Rule, ...]) -> None:
        directory = self._directory("devices", name)
        write_text(f"{directory}/devices.deny", "a")
        for line in v1_lines(devices):
            write_text(f"{directory}/devices.allow", line)

    def update(self, name: str, limits: Limits) -> None:
        """Sets all limits, in an order that the kernel takes; one that is refused leaves all as they were."""
        memory = self.place("memory", name)
        if not os.path.isdir(f"{self._any_parent()}/{name}"):
            raise FileNotFoundError(2, f"no control group {name}")
        now = _UNLIMITED
        if memory and os.path.exists(f"{memory}/{MEMORY_AND_SWAP}"):
            now = int(read_text(f"{memory}/{MEMORY_AND_SWAP}"))
        if limits.cpuset_cpus or limits.cpuset_mems:
            self._make_cpuset(name)
        changes = v1_changes(limits, now)
        if self._has_cpuset(name):
            given = {file for controller, file, _ in changes if controller == CPUSET}
            free = [name for name in _CPUSET_FILES if name not in given]
            changes += [
                (CPUSET, file, read_text(f"{self._cpuset}/{file}").strip()) for file in free
            ]
        write_texts(self._paths(name, [one for one in changes if self._has(one)]))

    def _has(self, change: Setting) -> bool:
        """Whether there is a controller for it; without one, what becomes unlimited is so already."""
        controller = change[0]
        return controller in self._places or controller == CPUSET or not is_no_limit(change)

    def _paths(self, name: str, settings: list[Setting]) -> list[tuple[str, str]]:
        paths = []
        for controller, file, value in settings:
            directory = self._directory(controller, name)
            path = f"{directory}/{file}"
            if file == MEMORY_AND_SWAP and not os.path.exists(path):
                continue  # The kernel does not account for swap.
            if file == BLKIO_WEIGHT_FILES[0]:
                path = _weight_file(directory)
            paths.append((path, value))
        return paths

    def _directory(self, controller: str, name: str) -> str:
        place = self._cpuset if controller == CPUSET else self._places.get(controller)
        if not place:
            raise OSError(2, f"the kernel has no {controller} cgroup controller here")
        return f"{place}/{name}"

    def place(self, controller: str, name: str) -> str:
        """The group's directory in the controller's hierarchy."""
        parent = self._places.get(controller)
        return f"{parent}/{name}" if parent else ""

    # -- processors --------------------------------------------------------------------------------

    def _has_cpuset(self, name: str) -> bool:
        return bool(self._cpuset) and os.path.isdir(f"{self._cpuset}/{name}")

    def _make_cpuset(self, name: str) -> None:
        """Makes the group there, with all that the machine has, and moves into it who is in the others."""
        directory = self._directory(CPUSET, name)
        if self._has_cpuset(name):
            return
        root = self._cpuset.removesuffix(f"/{self._parent}")
        above = root
        for part in [*self._parent.split("/"), name]:
            below = f"{above}/{part}"
            _make_group(below)
            for file in _CPUSET_FILES:
                if not read_text(f"{below}/{file}").strip():
                    write_text(f"{below}/{file}", read_text(f"{above}/{file}").strip())
            above = below
        for _ in range(MOVE_ROUNDS_MAX):
            outside = set(self.processes(name)) - set(read_processes(directory))
            if not outside:
                return
            for pid in outside:
                _move(pid, directory)
        raise OSError(16, f"processes of {name} are born faster than they can be moved")

    def entrance(self, name: str) -> Entrance:
        """A ``tasks`` file per controller; the unified group is where the process is born."""
        fds: list[int] = []
        born_in = -1
        try:
            fds += (
                os.open(f"{parent}/{name}/{_OWN_THREAD}", os.O_WRONLY | os.O_CLOEXEC)
                for parent in dict.fromkeys(self._places.values())
                if self._has_group(parent, name)
            )
            shown = self.shown
            if self._has_cpuset(name):
                path = f"{self._cpuset}/{name}/{_OWN_THREAD}"
                fds.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
                shown = (*shown, CPUSET)
            if self._unified:
                born_in = os.open(f"{self._unified}/{name}", os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            Entrance(fds, born_in, ()).close()
            raise
        return Entrance(fds, born_in, shown)

    def _has_group(self, parent: str, name: str) -> bool:
        """Whether its group is there; a container that 0.1.0 has started has none for block devices."""
        return parent != self._places.get("blkio") or os.path.isdir(f"{parent}/{name}")

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
            self.thaw(name)
            return
        self._kill_each(name)

    def _kill_each(self, name: str) -> None:
        for _ in range(KILL_ROUNDS_MAX):
            self.freeze(name)
            pids = self.processes(name)
            for pid in pids:
                _kill(pid)
            self.thaw(name)
            if not pids:
                return
            pause()

    def freeze(self, name: str) -> bool:
        """Says so to the freezer; the state is "FREEZING" until the last one stands still."""
        self._set_frozen(name, "FROZEN")
        state = self._freezer_state(name)
        return bool(state) and read_text(state).strip() == "FROZEN"

    def thaw(self, name: str) -> None:
        """Says so to the freezer."""
        self._set_frozen(name, "THAWED")

    def is_frozen(self, name: str) -> bool:
        """Whether they stand still, or are about to."""
        state = self._freezer_state(name)
        return bool(state) and read_text(state).strip() != "THAWED"

    def _freezer_state(self, name: str) -> str:
        """The file; "" without a freezer, or once the group is gone."""
        place = self._places.get("freezer")
        path = f"{place}/{name}/{_FREEZER_STATE}"
        return path if place and os.path.exists(path) else ""

    def _set_frozen(self, name: str, state: str) -> None:
        path = self._freezer_state(name)
        if path:
            write_text(path, state)

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
        if self._has_cpuset(name):
            outcomes.append(remove_directory(f"{self._cpuset}/{name}"))
        return all(outcomes)

    def remove_parent(self) -> None:
        """Removes the parent from every hierarchy where it is empty."""
        for parent in (*self._parents(), *([self._cpuset] if self._cpuset else [])):
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


def _weight_file(directory: str) -> str:
    for file in BLKIO_WEIGHT_FILES:
        if os.path.exists(f"{directory}/{file}"):
            return f"{directory}/{file}"
    raise OSError(2, "the kernel has no weights of block I/O (its I/O scheduler cannot weigh)")


def _move(pid: int, directory: str) -> None:
    try:
        write_text(f"{directory}/cgroup.procs", str(pid))
    except ProcessLookupError:
        return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _SIGKILL)
    except ProcessLookupError:
        return
