"""What a forked child does to have an OCI runtime make a process: it prepares, runs the runtime, and says the pid.

The child ends when the runtime has; the container's process, an orphan then, becomes the supervisor's own child, for
that is the subreaper. So nothing of ours or of the runtime's stays beside a container.
"""

import errno
import os
import select
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as unix_socket

from worker.kernel import syscalls
from worker.kernel.cgroupfs import pause
from worker.runtime import terminal
from worker.runtime.oci_config import Surroundings as Config
from worker.runtime.oci_config import oci_config, oci_process
from worker.runtime.oci_json import to_json
from worker.runtime.oci_tree import inside, make_tree, show_hierarchies
from worker.runtime.process import READY, find_user
from worker.runtime.programs import DEFAULT_PATH, environment, find_program
from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.sharing import open_joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from worker.runtime.child import Surroundings
    from worker.runtime.orders import ProcessOrder, StartOrder
    from worker.runtime.users import User

OCI = "oci"
"""Directory of a directory per container that an OCI runtime made, below the exec root."""
_STATE = "state"
"""What the runtime itself keeps."""
_CONFIG = "config.json"
_LOG = "log"
_PROGRAM = "program"
"""Names the runtime, so that it can be told to forget the container also by another supervisor."""
_VIEW = "view"
LOG_BYTES_MAX = 65536
REMOVE_TRIES_MAX = 500
"""Each after 2 ms: for the directory of a container whose runtime was killed."""
_SIGKILL = 9
_CANNOT_EXECUTE = 126
_ABOUT_THE_PROGRAM = ("exec", "permission denied", "no such file", "is a directory")
"""Words of a runtime that could not execute the program."""


class Runtime:
    """An OCI runtime, and where it keeps one container."""

    __slots__ = ("_name", "directory", "program", "shown")

    def __init__(self, program: str, exec_root: str, name: str, shown: tuple[str, ...]) -> None:
        self.program = program
        self._name = name
        self.directory = f"{exec_root}/{OCI}/{name}"
        self.shown = shown
        """v1: the hierarchies that it may see."""

    def path(self, name: str) -> str:
        """A file of the container's."""
        return f"{self.directory}/{name}"

    def run(self, *arguments: str) -> int:
        """One command of the runtime's, on the container; its exit code. What it complains of is in its log."""
        return _exit_code(self._begin(arguments))

    def run_with_console(self, console_fd: int, *arguments: str) -> int:
        """The same for a process with a terminal, whose master is handed on over a socket.

        Sockets are named by their last part, in the directory that is the current one then: paths of sockets may not
        be long. A runtime looks from there, too, which for a new container is its bundle.
        """
        os.chdir(self.directory)
        name = f"console-{os.getpid()}"
        listener = unix_socket(AF_UNIX, SOCK_STREAM)
        listener.bind(name)
        listener.listen(1)
        try:
            pid = self._begin((arguments[0], f"--console-socket={name}", *arguments[1:]))
            if _comes_before_its_end(listener.fileno(), pid):
                _hand_on(listener, console_fd)
        finally:
            os.unlink(name)
            listener.close()
        return _exit_code(pid)

    def _begin(self, arguments: tuple[str, ...]) -> int:
        command = [
            self.program,
            f"--root={self.path(_STATE)}",
            f"--log={self.path(_LOG)}",
            "--log-format=json",
            *arguments,
            self._name,
        ]
        maker = os.getpid()
        pid = syscalls.clone(0)
        if pid == 0:
            _become(command, maker)
        return pid

    def refusal(self, code: int, process: "ProcessOrder", root: str) -> Refusal:
        """Why it failed: in our own runtime's words where the program is at fault."""
        said = self._complaint()
        if any(words in said.lower() for words in _ABOUT_THE_PROGRAM):
            path = environment(process["env"], "/")["PATH"]
            try:
                inside(root, lambda: find_program(process["argv"][0], path))
            except Refusal as refusal:
                return refusal
        name = os.path.basename(self.program)
        return Refusal(SYSTEM, f"{name}: {said or f'ended with code {code}'}")

    def _complaint(self) -> str:
        """The last error that it logged."""
        import json  # noqa: PLC0415 - a megabyte, needed where something went wrong

        said = ""
        for line in _read(self.path(_LOG)).splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"level": "error", "msg": line.decode(errors="replace")}
            if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
                said = str(entry.get("msg", ""))
        return said


def start_container(
    order: "StartOrder",
    runtime: Runtime,
    cgroup_path: str,
    around: "Surroundings",
    pids: dict[str, int],
) -> bytes:
    """Has the runtime make and start a container: a report with the pid of its first process.

    Raises:
        Refusal: it could not.
        OSError: the kernel refused.
    """
    os.makedirs(runtime.path(_VIEW), 0o700)
    _write_text(runtime.path(_PROGRAM), runtime.program)
    tree = make_tree(order, runtime.path(_VIEW), cgroup_path, around)
    config = Config(
        root=order["merged"],
        user=tree.user,
        cgroup_path=cgroup_path,
        cgroup_bind=tree.cgroup_bind,
        mounts=tree.mounts,
        nofile=around.nofile,
    )
    config.memory_bind = tree.memory_bind
    if around.spaces is not None:
        found = open_joined(order, pids, around.spaces)
        config.joined = {kind: f"/proc/{os.getpid()}/fd/{fd}" for kind, fd in found.items()}
    _write_text(runtime.path(_CONFIG), to_json(oci_config(order, config)))
    pid_file = runtime.path("pid")
    code = _run(
        runtime,
        around.stdio.console_fd,
        ("run", "--detach", f"--bundle={runtime.directory}", f"--pid-file={pid_file}"),
    )
    if code != 0:
        raise runtime.refusal(code, order["process"], order["merged"])
    return READY + _read(pid_file)


def start_further(
    order: "ProcessOrder", runtime: Runtime, first_pid: int, around: "Surroundings"
) -> bytes:
    """Has the runtime start a further process in a container: a report with its pid.

    Raises:
        Refusal: it could not.
        OSError: the kernel refused.
    """
    root = f"/proc/{first_pid}/root"
    user = inside(root, lambda: _find_user_and_directory(order))
    _see_our_groups(runtime)
    own = runtime.path(f"exec-{os.getpid()}")
    process_file, pid_file = f"{own}.json", f"{own}.pid"
    try:
        has_terminal = around.stdio.console_fd >= 0
        process = oci_process(order, user, around.nofile, has_terminal=has_terminal)
        _write_text(process_file, to_json(process))
        code = _run(
            runtime,
            around.stdio.console_fd,
            ("exec", "--detach", f"--process={process_file}", f"--pid-file={pid_file}"),
        )
        if code != 0:
            raise runtime.refusal(code, order, root)
        return READY + _read(pid_file)
    finally:
        for path in (process_file, pid_file):
            if os.path.exists(path):
                os.unlink(path)


def _find_user_and_directory(order: "ProcessOrder") -> "User":
    """Refuses a working directory that leads, by a link, to a descriptor of the runtime's."""
    resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    try:
        directory = syscalls.openat2(syscalls.AT_FDCWD, order["cwd"], os.O_PATH, resolve)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Refusal(INVALID, f"working directory {order['cwd']}: {reason}") from error
    os.close(directory)
    return find_user(order)


def forget_container(runtime: Runtime) -> None:
    """Has the runtime forget a container that has ended, and takes its directory away.

    Raises:
        OSError: the kernel refused.
    """
    _see_our_groups(runtime)
    if os.path.exists(runtime.path(_STATE)):
        runtime.run("delete", "--force")
    for _ in range(REMOVE_TRIES_MAX - 1):
        try:
            _remove(runtime.directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
            pause()  # A runtime that was killed is not gone yet.
        else:
            return
    _remove(runtime.directory)


def _remove(directory: str) -> None:
    for where, directories, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(f"{where}/{name}")
        for name in directories:
            os.rmdir(f"{where}/{name}")
    os.rmdir(directory)


def has_left(exec_root: str, container_id: str) -> bool:
    """Whether a runtime still knows a container, or was just about to."""
    return os.path.exists(f"{exec_root}/{OCI}/{container_id}")


def left_by_runtime(exec_root: str, container_id: str) -> str:
    """The program of the runtime that still knows a container; "" when none had begun."""
    return _read(f"{exec_root}/{OCI}/{container_id}/{_PROGRAM}").decode(errors="surrogateescape")


def _run(runtime: Runtime, console_fd: int, arguments: tuple[str, ...]) -> int:
    os.chdir("/")
    if console_fd < 0:
        return runtime.run(*arguments)
    return runtime.run_with_console(console_fd, *arguments)


def _become(command: list[str], maker: int) -> "Never":
    """Executes a runtime that does not outlive its maker."""
    try:
        syscalls.die_with_parent(_SIGKILL)
        if os.getppid() == maker:
            os.execve(command[0], command, {"PATH": DEFAULT_PATH})  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode(errors="replace"))
    finally:
        os._exit(_CANNOT_EXECUTE)


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _comes_before_its_end(fd: int, pid: int) -> bool:
    """Waits until a descriptor can be read; False when the process ended without that."""
    process = syscalls.pidfd_open(pid)
    try:
        select.select([fd, process], [], [])
        return bool(select.select([fd], [], [], 0)[0])
    finally:
        os.close(process)


def _hand_on(listener: "unix_socket", console_fd: int) -> None:
    fd, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - as ``socket`` does
    try:
        master = terminal.receive(fd)
    finally:
        os.close(fd)
    if master < 0:
        raise Refusal(SYSTEM, "the runtime sent no terminal")
    terminal.send(console_fd, master)
    os.close(master)


def _see_our_groups(runtime: Runtime) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    show_hierarchies(runtime.shown)


def _write_text(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = memoryview(text.encode(errors="surrogateescape"))
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    """A small file's beginning; nothing when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, LOG_BYTES_MAX)
    finally:
        os.close(fd)
