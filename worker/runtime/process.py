"""The last steps of every process in a container: who it is, what it may, and its program."""

import os
import resource

from worker.kernel import syscalls
from worker.runtime.programs import environment, exec_refusal, find_program
from worker.runtime.refusal import INVALID, SYSTEM, Refusal
from worker.runtime.rootfs import read_image_file
from worker.runtime.users import User, resolve_user

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from worker.runtime.orders import ProcessOrder

PASSWD_MAX_BYTES = 1 << 20
CAPABILITIES_MAX = 64
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
    """A program that can be executed."""

    __slots__ = ("argv", "path", "variables")

    def __init__(self, path: str, argv: list[str], variables: dict[str, str]) -> None:
        self.path = path
        self.argv = argv
        self.variables = variables


def take_on(order: "ProcessOrder") -> Program:
    """Takes on user, limits and capabilities, and finds the program with the rights that are left.

    Raises:
        Refusal: it cannot; the reason is for the user.
        OSError: the kernel refused.
    """
    user = find_user(order)
    variables = environment(order["env"], user.home)
    for number, soft, hard in order["ulimits"]:
        _set_limit(number, soft, hard)
    _go_to(order["cwd"])
    take_identity(user, order["capabilities"])
    if order["no_new_privileges"]:
        syscalls.set_no_new_privileges()
    syscalls.die_with_parent(_SIGKILL)  # Becoming a user has undone what was set before.
    return Program(find_program(order["argv"][0], variables["PATH"]), order["argv"], variables)


def execute(program: Program, report_fd: int) -> "Never":
    """Becomes the program.

    Raises:
        Refusal: the kernel did not execute it.
    """
    os.write(report_fd, READY)
    try:
        os.execve(program.path, program.argv, program.variables)  # noqa: S606 - our whole purpose
    except OSError as error:
        raise exec_refusal(program.argv[0], error) from error


def find_user(order: "ProcessOrder") -> User:
    """Resolves the order's user in the tree that is now the root."""
    passwd = read_image_file("/etc/passwd", PASSWD_MAX_BYTES)
    group = read_image_file("/etc/group", PASSWD_MAX_BYTES)
    return resolve_user(order["user"], order["groups"], passwd, group)


def take_identity(user: User, capabilities: int) -> None:
    """Becomes the user with no more than these capabilities; a user other than root has none, as in Docker."""
    allowed = 0
    for number in range(CAPABILITIES_MAX):
        if not syscalls.bounding_has(number):
            continue
        if capabilities >> number & 1:
            allowed |= 1 << number
        else:
            syscalls.bounding_drop(number)
    for fd in (1, 2):
        _give_away(fd, user.uid)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if user.uid == 0:
        syscalls.set_capabilities(effective=allowed, permitted=allowed, inheritable=0)


def _give_away(fd: int, uid: int) -> None:
    """So that a program which is not root's can open /dev/stdout."""
    try:
        os.fchown(fd, uid, -1)
    except OSError:
        return  # /dev/null on a read-only file system: open to all anyway.


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
