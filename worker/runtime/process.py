"""The last steps of every process in a container: who it is, what it may, and its program."""

import os
import resource
import stat

from worker.kernel import syscalls
from worker.runtime.image_files import read_image_file
from worker.runtime.programs import environment, exec_refusal, find_program
from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.users import User, resolve_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from worker.runtime.orders import ProcessOrder

PASSWD_MAX_BYTES = 1 << 20
CAPABILITIES_MAX = 64
UMASK = 0o022
CAP_SYS_ADMIN = 1 << 21
_NULL = os.makedev(1, 3)
READY = b"!"
"""Written just before the program is executed: what comes after it is the program's own."""
REPORT_FD = 3
_SIGKILL = 9


def close_descriptors(report_fd: int) -> int:
    """Closes all but the standard three and the report, which becomes descriptor 3.

    From here on the process holds nothing of the host's; a working directory of "/proc/self/fd/7" leads nowhere.
    """
    if report_fd != REPORT_FD:
        os.dup2(report_fd, REPORT_FD, inheritable=False)
    syscalls.close_range(REPORT_FD + 1)
    return REPORT_FD


class Program:
    """A program that can be executed, and what it is confined by from then on."""

    __slots__ = ("argv", "capabilities", "needs_admin", "path", "seccomp", "variables")

    def __init__(
        self, path: str, variables: dict[str, str], capabilities: int, order: "ProcessOrder"
    ) -> None:
        self.path = path
        self.argv = order["argv"]
        self.variables = variables
        self.capabilities = capabilities
        """What it may at this moment: a user other than root has none."""
        self.seccomp = order["seccomp"]
        self.needs_admin = needs_admin(order)
        """CAP_SYS_ADMIN is at hand, to load the filter with."""


def take_on(order: "ProcessOrder") -> Program:
    """Takes on user, limits and capabilities, and finds the program with the rights that are left.

    Raises:
        Refusal: it cannot; the reason is for the user.
        OSError: the kernel refused.
    """
    user = find_user(order)
    variables = environment(order["env"], user.home)
    set_limits(order)
    _take_own_null()
    syscalls.join_new_keyring()
    os.umask(UMASK)
    _go_to(order["cwd"])
    if order["no_new_privileges"]:
        syscalls.set_no_new_privileges()
    kept = CAP_SYS_ADMIN if needs_admin(order) else 0
    capabilities = take_identity(user, order["capabilities"], kept=kept)
    syscalls.make_undumpable()  # Becoming a user has undone this, and what comes next.
    syscalls.die_with_parent(_SIGKILL)
    path = find_program(order["argv"][0], variables["PATH"])
    return Program(path, variables, capabilities, order)


def execute(program: Program, report_fd: int) -> "Never":
    """Becomes the program, under its filter.

    The filter is loaded at the last moment, so that it need not allow what comes before. That takes CAP_SYS_ADMIN or
    no_new_privs; the capability ends with the execution, for it is not in the bounding set.

    Raises:
        Refusal: the kernel did not execute it.
    """
    os.write(report_fd, READY)
    if program.needs_admin:
        kept = program.capabilities | CAP_SYS_ADMIN
        syscalls.set_capabilities(effective=kept, permitted=kept, inheritable=0)
    if program.seccomp:
        syscalls.load_filter(program.seccomp)
    try:
        os.execve(program.path, program.argv, program.variables)  # noqa: S606 - our whole purpose
    except OSError as error:
        raise exec_refusal(program.argv[0], error) from error


def confine_self(program: Program) -> None:
    """This process goes on as it is, and may no more than the program: the first one with ``--init``."""
    allowed = program.capabilities
    syscalls.set_capabilities(effective=allowed, permitted=allowed, inheritable=0)
    if program.seccomp:
        syscalls.set_no_new_privileges()  # It executes nothing.
        syscalls.load_filter(program.seccomp)


def needs_admin(order: "ProcessOrder") -> bool:
    """Whether loading the filter takes CAP_SYS_ADMIN."""
    return bool(order["seccomp"]) and not order["no_new_privileges"]


def find_user(order: "ProcessOrder") -> User:
    """Resolves the order's user in the tree that is now the root."""
    passwd = read_image_file("/etc/passwd", PASSWD_MAX_BYTES)
    group = read_image_file("/etc/group", PASSWD_MAX_BYTES)
    return resolve_user(order["user"], order["groups"], passwd, group)


def take_identity(user: User, capabilities: int, *, kept: int = 0) -> int:
    """Becomes the user with no more than these capabilities; a user other than root has none, as in Docker.

    Those of ``kept`` stay at hand, though not in force, until a program is executed. Gives what is in force.
    """
    allowed = 0
    for number in range(CAPABILITIES_MAX):
        if not syscalls.bounding_has(number):
            continue
        if capabilities >> number & 1:
            allowed |= 1 << number
        else:
            syscalls.bounding_drop(number)
    for fd in (0, 1, 2):
        give_away(fd, user.uid)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    if kept:
        syscalls.keep_capabilities_over_setuid()
    os.setresuid(user.uid, user.uid, user.uid)
    in_force = allowed if user.uid == 0 else 0
    syscalls.set_capabilities(effective=in_force, permitted=in_force | kept, inheritable=0)
    return in_force


def _take_own_null() -> None:
    """Standard streams that are the supervisor's /dev/null become the container's, if it has one."""
    ours = [fd for fd in (0, 1, 2) if _is_null(fd)]
    if not ours:
        return
    try:
        fd = os.open("/dev/null", os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return  # What it has is read-only as a node, and as good.
    if _is_null(fd):
        os.set_blocking(fd, True)
        for number in ours:
            os.dup2(fd, number)
    os.close(fd)


def _is_null(fd: int) -> bool:
    status = os.fstat(fd)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL


def give_away(fd: int, uid: int, gid: int = -1) -> None:
    """So that a program which is not root's can open /dev/stdout: pipes and terminals, nothing else.

    A terminal stays its group's.
    """
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.fchown(fd, uid, gid)
    elif os.isatty(fd):
        os.fchown(fd, uid, -1)


def set_limits(order: "ProcessOrder") -> None:
    """Its resource limits; the same again is fine also for one who may raise none."""
    for number, soft, hard in order["ulimits"]:
        _set_limit(number, soft, hard)


def _set_limit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except (OSError, ValueError) as error:
        message = f"error setting rlimit {number} to {soft}:{hard}: {error}"
        raise Refusal(SYSTEM, message) from error


def _go_to(directory: str) -> None:
    try:
        os.chdir(directory)
        here = os.getcwd()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Refusal(INVALID, f"working directory {directory}: {reason}") from error
    if not here.startswith("/"):
        raise Refusal(INVALID, f"working directory {directory} is outside the container")
