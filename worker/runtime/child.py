"""What a forked child does until it is a container's program. Nothing here returns to the supervisor's code."""

import os
import resource

from worker.kernel import syscalls
from worker.kernel.user_namespaces import enter_user_namespace, make_files_as
from worker.runtime.process import (
    REPORT_FD,
    close_descriptors,
    confine_self,
    execute,
    give_away,
    set_limits,
    take_on,
)
from worker.runtime.refusal import SYSTEM, Refusal, describe
from worker.runtime.rootfs import enter_rootfs
from worker.runtime.sharing import join_others, raise_loopback, shared_memory
from worker.runtime.terminal import open_console, take_foreground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Never

    from worker.kernel.cgroupfs import Entrance
    from worker.runtime.orders import ProcessOrder, StartOrder
    from worker.runtime.plumbing import Stdio
    from worker.runtime.process import Program
    from worker.runtime.sharing import Spaces

FAILURE_CODE = 127
SIGNALLED = 128
_SIGKILL = 9
_SIGCHLD = 17
_SIGHUP = 1
_SIGINT = 2
_SIGPIPE = 13
_SIGTERM = 15
_SIGTTIN = 21
_SIGTTOU = 22
_SIGXFSZ = 25
IGNORED_BY_SUPERVISOR = (_SIGHUP, _SIGINT, _SIGPIPE, _SIGXFSZ)
"""An ignored signal stays ignored over exec, so a child must put these back."""
_FORWARDED = tuple(
    number for number in range(1, syscalls.SIGNALS_MAX + 1) if number not in (9, 19, 32, 33)
)


class Surroundings:
    """What a child is given besides its order: descriptors, all closed once they have served."""

    __slots__ = (
        "entrance",
        "namespace_fd",
        "nofile",
        "report_fd",
        "spaces",
        "stdio",
        "user_namespace_fd",
    )

    def __init__(
        self,
        *,
        entrance: "Entrance",
        namespace_fd: int,
        stdio: "Stdio",
        report_fd: int,
        nofile: tuple[int, int],
        spaces: "Spaces | None" = None,
    ) -> None:
        self.entrance = entrance
        self.namespace_fd = namespace_fd
        """A network namespace to join, or -1; for a further process, a pidfd of the first."""
        self.stdio = stdio
        self.report_fd = report_fd
        self.nofile = nofile
        """RLIMIT_NOFILE as it was before the supervisor raised its own."""
        self.spaces = spaces
        """Whose namespaces a first process has."""
        self.user_namespace_fd = -1
        """A user namespace for a first process, or -1."""


def become_first_process(order: "StartOrder", around: Surroundings) -> "Never":
    """Runs as pid 1 of new namespaces."""

    def steps() -> None:
        leave_supervisor(order["process"], around)
        memory_fd = _enter_namespaces(order, around)
        enter_rootfs(order, around, memory_fd)
        _become_mapped(order["process"], around.user_namespace_fd)
        report_fd = close_descriptors(around.report_fd)
        program = take_on(order["process"])
        if order["init"]:
            if order["process"]["shares_processes"]:
                syscalls.become_subreaper()
            _watch_over(program, report_fd)
        execute(program, report_fd)

    or_report(steps, around.report_fd)


def _enter_namespaces(order: "StartOrder", around: Surroundings) -> int:
    """Enters those that it was not born in; gives the /dev/shm that it shares with others, or -1."""
    if around.namespace_fd >= 0:
        syscalls.setns(around.namespace_fd, syscalls.CLONE_NEWNET)
    memory_fd = -1
    if around.spaces is not None:
        raise_loopback(around.spaces)
        memory_fd = shared_memory(order, around.spaces)
        join_others(around.spaces)
    if not order["namespaces"]["cgroup"]:
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    if order["hostname"] and not order["namespaces"]["uts"]:
        syscalls.sethostname(order["hostname"].encode())
    if order["domainname"] and not order["namespaces"]["uts"]:
        syscalls.setdomainname(order["domainname"].encode())
    return memory_fd


def _become_mapped(process: "ProcessOrder", fd: int) -> None:
    """Enters the user namespace, if there is one, as its root, with what is beyond that root's rights done before."""
    if fd < 0:
        return
    set_limits(process)
    for stream in range(3):
        give_away(stream, process["root_uid"], process["root_gid"])
    enter_user_namespace(fd)


def become_further_process(order: "ProcessOrder", around: Surroundings) -> "Never":
    """Runs in the namespaces of a container that runs; it is born in its pid namespace already."""

    def steps() -> None:
        leave_supervisor(order, around)
        kinds = (
            syscalls.CLONE_NEWNS
            | syscalls.CLONE_NEWUTS
            | syscalls.CLONE_NEWIPC
            | syscalls.CLONE_NEWNET
            | syscalls.CLONE_NEWCGROUP
        )
        syscalls.setns(around.namespace_fd, kinds)
        if order["root_uid"]:
            make_files_as(order["root_uid"], order["root_gid"])
        if around.stdio.console_fd >= 0:
            open_console(around.stdio.console_fd, order["rows"], order["columns"])
        _become_mapped(order, around.namespace_fd if order["root_uid"] else -1)
        report_fd = close_descriptors(around.report_fd)
        execute(take_on(order), report_fd)

    or_report(steps, around.report_fd)


def become_foreign_maker(
    order: "ProcessOrder", around: Surroundings, supervisor: int, work: "Callable[[], bytes]"
) -> "Never":
    """Has an OCI runtime make a process, reports what came of it, and ends.

    It may be in no group of the container's, in which the next supervisor would find it: so it does not go on
    without the one that it was forked by (``supervisor``).
    """

    def steps() -> None:
        leave_supervisor(order, around, joins_groups=False)
        if os.getppid() != supervisor:
            os._exit(FAILURE_CODE)
        os.write(around.report_fd, work())
        os._exit(0)

    or_report(steps, around.report_fd)


def end_as_foreign_forgetter(work: "Callable[[], None]") -> "Never":
    """Has an OCI runtime forget a container, and ends; says on standard error, which is the log, what went wrong."""
    try:
        os.setsid()
        for number in (*IGNORED_BY_SUPERVISOR, _SIGTERM):
            syscalls.default_signal(number)
        syscalls.unblock_all_signals()
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a child must never run on as its parent
        os.write(2, f"{describe(error)}\n".encode(errors="replace"))
    finally:
        os._exit(FAILURE_CODE)


def or_report(steps: "Callable[[], None]", report_fd: int) -> "Never":
    """Does the steps; when they fail, says why and ends."""
    try:
        steps()
    except Refusal as refusal:
        _report(report_fd, refusal)
    except BaseException as error:  # noqa: BLE001 - a child must never run on as its parent
        _report(report_fd, Refusal(SYSTEM, describe(error)))
    finally:
        os._exit(FAILURE_CODE)


def _report(report_fd: int, refusal: Refusal) -> None:
    for fd in (report_fd, REPORT_FD):
        try:
            os.write(fd, refusal.encode())
        except OSError:
            continue
        else:
            return


def leave_supervisor(
    process: "ProcessOrder", around: Surroundings, *, joins_groups: bool = True
) -> None:
    """Into its groups and its session, with standard streams, signals and limits of its own."""
    syscalls.make_undumpable()
    syscalls.die_with_parent(_SIGKILL)
    if joins_groups:
        around.entrance.join()
    os.setsid()
    for number, fd in enumerate(around.stdio.streams):
        os.dup2(fd, number)
    for number in (*IGNORED_BY_SUPERVISOR, _SIGTERM):
        syscalls.default_signal(number)
    syscalls.unblock_all_signals()
    resource.setrlimit(resource.RLIMIT_NOFILE, around.nofile)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, str(process["oom_score_adj"]).encode())
    os.close(fd)


# -- --init ----------------------------------------------------------------------------------------


def _watch_over(program: "Program", report_fd: int) -> "Never":
    """As pid 1: runs the program as a child, hands on signals, buries orphans, and ends as the program does."""
    syscalls.make_undumpable()
    syscalls.set_process_name(b"init")
    syscalls.set_command_line(b"init")  # Else the supervisor's, with paths of the host.
    syscalls.block_signals(_FORWARDED)
    pid = syscalls.clone(0)
    if pid == 0:
        take_foreground()
        syscalls.unblock_all_signals()
        or_report(lambda: execute(program, report_fd), report_fd)
    confine_self(program)
    os.close(report_fd)
    while True:
        number = syscalls.wait_for_signal(_FORWARDED)
        if number == _SIGCHLD:
            _bury(pid)
        elif number not in (_SIGTTIN, _SIGTTOU):
            _hand_on(pid, number)


def _bury(first: int) -> None:
    """Reaps all that ended; ends when the program did."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            os._exit(0)
        if pid == 0:
            return
        if pid == first:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else SIGNALLED - code)


def _hand_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
