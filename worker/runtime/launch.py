"""Making a child: pipes, log, group, fork. What was made for a child that could not be made is taken away again."""

import os

from worker.kernel import syscalls
from worker.kernel.cgroupfs import Limits
from worker.kernel.device_rules import DEFAULT_DEVICE_RULES
from worker.kernel.user_namespaces import make_user_namespace
from worker.runtime.child import Surroundings, become_first_process, become_further_process
from worker.runtime.held import Held, Stream
from worker.runtime.journal import open_log
from worker.runtime.oci_launch import ForeignLauncher
from worker.runtime.plumbing import Plumbing, Stdio
from worker.runtime.refusal import INVALID, NOT_FOUND, Refusal
from worker.runtime.reports import Report
from worker.runtime.sharing import Spaces
from worker.runtime.standard_input import Input
from worker.runtime.terminal import TERMINAL_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Cgroups
    from worker.runtime.executions import Execution
    from worker.runtime.orders import ProcessOrder, SpawnOrder, StartOrder

_OWN_PID_NAMESPACE = "/proc/self/ns/pid"
_ALL_CAPABILITIES = (1 << 64) - 1
_STANDARD_STREAMS = 3
_FLAGS_PLACE = 6
"""Of the words after the name in /proc/<pid>/stat."""
_PF_EXITING = 0x4
_OUTPUTS = 2
FILTERS_MAX = 32
"""Different seccomp filters that are kept once for all containers that have them."""


class Launcher:
    """What every child is made with."""

    def __init__(
        self, cgroups: "Cgroups", nofile: tuple[int, int], foreign: ForeignLauncher
    ) -> None:
        self._cgroups = cgroups
        self.foreign = foreign
        self._nofile = nofile
        self._null = _open_null()
        self._filters: dict[bytes, bytes] = {}
        self._nothing = (self._null, self._null, self._null)
        self._pid_namespace = os.open(_OWN_PID_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)

    # -- first processes ---------------------------------------------------------------------------

    def start(self, order: "StartOrder", others: dict[str, int]) -> Held:
        """Forks a container's first process; whether its program runs comes by its report.

        Args:
            order: what it is to be.
            others: the first processes of the containers whose namespaces it shares.

        Raises:
            Refusal: what was asked for cannot be.
            OSError: the kernel refused.
        """
        order["process"]["seccomp"] = self._kept_once(order["process"]["seccomp"])
        held = Held(order["id"], order["process"])
        try:
            with Plumbing() as plumbing:
                self._start(held, order, plumbing, others)
        except Exception:
            if held.log is not None:
                held.log.close()
            self._cgroups.remove(order["id"])
            raise
        return held

    def _kept_once(self, filter_program: bytes) -> bytes:
        """The same filter, some 8 KB, is most containers'."""
        if len(self._filters) >= FILTERS_MAX:
            self._filters.clear()
        return self._filters.setdefault(filter_program, filter_program)

    def _start(
        self, held: Held, order: "StartOrder", plumbing: Plumbing, others: dict[str, int]
    ) -> None:
        namespace = plumbing.open_namespace(order["network_namespace"])
        spaces = Spaces(order, others, plumbing)
        reading, report_fd = plumbing.pipe()
        held.report = Report(reading)
        if order["log_path"]:
            held.log = open_log(
                order["log_path"],
                order["log_max_bytes"],
                order["log_max_files"],
                order["log_driver"],
                order["log_attributes"],
            )
        stdio = self._connect(held, order, plumbing)
        if self.foreign.has_left(order["id"]):
            self.foreign.forget_now(order["id"])
        devices = (*DEFAULT_DEVICE_RULES, *order["device_rules"])
        self._cgroups.create(order["id"], Limits(order["limits"]), devices)
        around = Surroundings(
            entrance=plumbing.enter(self._cgroups.entrance(order["id"])),
            namespace_fd=namespace,
            stdio=stdio,
            report_fd=report_fd,
            nofile=self._nofile,
            spaces=spaces,
        )
        if order["process"]["runtime"]:
            held.pid = self.foreign.start(order, around, others)
            return
        if order["uid_mappings"]:
            owners = make_user_namespace(order["uid_mappings"], order["gid_mappings"])
            around.user_namespace_fd = plumbing.take(owners)
        held.pid = self._clone_into(spaces.born_in, around.entrance.born_in, spaces.kinds)
        if held.pid == 0:
            become_first_process(order, around)

    def _connect(self, held: Held, order: "StartOrder", plumbing: Plumbing) -> Stdio:
        """Standard streams of a first process: pipes, or a terminal of its own making."""
        once = order["stdin_once"]
        if order["tty"]:
            held.console, console_fd = plumbing.console()
            held.input = Input(
                -1, is_terminal=True, takes=order["open_stdin"], ends_with_first=once
            )
            return Stdio(self._nothing, console_fd)
        stdin = self._null
        if order["open_stdin"]:
            writing, stdin = plumbing.pipe_to_child()
            held.input = Input(writing, ends_with_first=once)
        (stdout, their_stdout), (stderr, their_stderr) = plumbing.pipe(), plumbing.pipe()
        held.streams = [Stream("stdout", stdout), Stream("stderr", stderr)]
        return Stdio((stdin, their_stdout, their_stderr))

    # -- further processes -------------------------------------------------------------------------

    def collect(self, held: Held, argv: list[str], execution: "Execution") -> None:
        """Forks a further process of a container whose output we read.

        Raises:
            Refusal: the container has ended meanwhile.
            OSError: the kernel refused.
        """
        process = held.process.copy()
        process["argv"] = argv
        with Plumbing() as plumbing:
            execution.output_fd, output = plumbing.pipe()
            self._further(held, process, Stdio((self._null, output, output)), (plumbing, execution))

    def spawn(
        self, held: Held, order: "SpawnOrder", descriptors: list[int], execution: "Execution"
    ) -> None:
        """Forks a further process with its client's descriptors.

        They are its streams (without the first, it reads /dev/null), or the socket by which it sends its terminal;
        none when nobody reads what it writes.

        Raises:
            Refusal: the container has ended meanwhile, or the descriptors make no sense.
            OSError: the kernel refused.
        """
        wanted = (0, 1) if order["tty"] else (0, _OUTPUTS, _STANDARD_STREAMS)
        count = len(descriptors)
        if count not in wanted:
            raise Refusal(INVALID, f"{count} descriptors came with a process that has {wanted}")
        process = further_process(held.process, order)
        with Plumbing() as plumbing:
            stdio = Stdio(self._nothing)
            if descriptors and not order["tty"]:
                stdin = self._null if count == _OUTPUTS else descriptors[0]
                stdio = Stdio((stdin, descriptors[-2], descriptors[-1]))
            elif descriptors:
                stdio.console_fd = descriptors[0]
            elif order["tty"]:
                execution.console, stdio.console_fd = plumbing.console()
            self._further(held, process, stdio, (plumbing, execution))

    def _further(
        self,
        held: Held,
        process: "ProcessOrder",
        stdio: Stdio,
        made: "tuple[Plumbing, Execution]",
    ) -> None:
        plumbing, execution = made
        try:
            pidfd = plumbing.take(syscalls.pidfd_open(held.pid))
            reading, report_fd = plumbing.pipe()
            execution.report = Report(reading)
            around = Surroundings(
                entrance=plumbing.enter(self._cgroups.entrance(held.id)),
                namespace_fd=pidfd,
                stdio=stdio,
                report_fd=report_fd,
                nofile=self._nofile,
            )
            if process["runtime"]:
                execution.pid = self.foreign.execute(held, process, around)
                return
            execution.pid = self._clone_into(pidfd, around.entrance.born_in)
            if execution.pid == 0:
                become_further_process(process, around)
        except OSError as error:
            if is_ending(held.pid):
                raise Refusal(NOT_FOUND, f"container {held.id} is not running") from error
            raise

    def _clone_into(self, pidfd: int, born_in: int, kinds: int = 0) -> int:
        """Forks into a pid namespace: it is the children's from here to the end of this function, so one fork does.

        Without a pidfd it is this process's own, or a new one.
        """
        if pidfd < 0:
            return syscalls.clone(kinds, cgroup_fd=born_in)
        syscalls.setns(pidfd, syscalls.CLONE_NEWPID)
        pid = -1
        try:
            pid = syscalls.clone(kinds, cgroup_fd=born_in)
        finally:
            if pid != 0:
                syscalls.setns(self._pid_namespace, syscalls.CLONE_NEWPID)
        return pid


def further_process(first: "ProcessOrder", order: "SpawnOrder") -> "ProcessOrder":
    """What a further process is made with: as the first one, but for what was asked for."""
    process = first.copy()
    process["argv"] = order["argv"]
    terminal = [TERMINAL_VARIABLE] if order["tty"] else []
    process["env"] = [*terminal, *first["env"], *order["env"]]
    process["cwd"] = order["cwd"] or first["cwd"]
    process["user"] = order["user"] or first["user"]
    process["rows"], process["columns"] = order["rows"], order["columns"]
    if order["privileged"]:
        process["capabilities"] = _ALL_CAPABILITIES
    return process


def _open_null() -> int:
    """/dev/null, by a read-only mount: root in a container can use it, but not change its mode or owner."""
    tree = syscalls.open_tree("/dev/null", recursive=False)
    syscalls.set_mount(tree, attributes=syscalls.MOUNT_ATTR_RDONLY, recursive=False)
    fd = os.open(f"/proc/self/fd/{tree}", os.O_RDWR | os.O_CLOEXEC)
    os.close(tree)
    return fd


def is_ending(pid: int) -> bool:
    """Whether a child of ours has ended, or is about to: its namespace takes no process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return True
    return bool(int(words[_FLAGS_PLACE]) & _PF_EXITING)
