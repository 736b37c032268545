"""Attempts to get out of a container, run inside of one by ``test_escapes.py``; every payload is harmless.

Stands alone: it runs with the container's Python and nothing of swarmd. It says a line for each attempt: its name, a
tab, and "refused" with the reason, or "ESCAPED".
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
FACTS = json.loads(os.environ.get("FACTS", "{}"))
"""What an attacker could have guessed of the host: numbers of its disk, a pid, a socket's name."""

MOUNT, UMOUNT2, PIVOT_ROOT, SETNS, UNSHARE, CLONE = 165, 166, 155, 308, 272, 56
OPEN_TREE, MOVE_MOUNT, FSOPEN, MOUNT_SETATTR = 428, 429, 430, 442
PTRACE, PROCESS_VM_READV, PIDFD_OPEN, PIDFD_GETFD = 101, 310, 434, 438
NAME_TO_HANDLE_AT, OPEN_BY_HANDLE_AT = 303, 304
ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250
INIT_MODULE, FINIT_MODULE, KEXEC_LOAD, KEXEC_FILE_LOAD, BPF = 175, 313, 246, 320, 321
PERF_EVENT_OPEN, USERFAULTFD, IO_URING_SETUP, FANOTIFY_INIT = 298, 323, 425, 300
SETTIMEOFDAY, CLOCK_SETTIME, SETHOSTNAME, REBOOT, SWAPON, ACCT = 164, 227, 170, 169, 167, 163
IOPL, SYSLOG, PERSONALITY, CAPSET = 172, 103, 135, 126
NEW_USER, NEW_NS, NEW_CGROUP = 0x10000000, 0x20000, 0x02000000
MS_BIND, MS_REMOUNT, MNT_DETACH = 4096, 32, 2
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
CAP_SYS_ADMIN = 21


def open_descriptors() -> list[str]:
    """Besides the standard three."""
    found = []
    for fd in range(3, 1024):
        with contextlib.suppress(OSError):
            found.append(f"{fd} {Path(f'/proc/self/fd/{fd}').readlink()}")
    return found


LEFT_OPEN = open_descriptors()
Attempt = Callable[[], object]
ATTEMPTS: dict[str, Attempt] = {}
BY_FILTER: set[str] = set()
"""What the kernel allows everybody, so that only a filter can refuse it."""


class Refused(Exception):  # noqa: N818 - what should happen
    """Nothing was gained."""


def attempt(name: str, *, by_filter: bool = False) -> Callable[[Attempt], Attempt]:
    def register(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        if by_filter:
            BY_FILTER.add(name)
        return function

    return register


def call(number: int, *arguments: object) -> int:
    """A system call that must fail."""
    plain = [
        ctypes.c_char_p(one.encode()) if isinstance(one, str)
        else ctypes.c_long(one) if isinstance(one, int)
        else one
        for one in arguments
    ]  # fmt: skip
    result = LIBC.syscall(ctypes.c_long(number), *plain)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def write(path: str, text: str) -> None:
    """Writes into a file of the kernel's; what it says is what it said before."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_back(path: str) -> None:
    try:
        text = Path(path).read_text()
    except FileNotFoundError as error:
        raise Refused("not there") from error
    write(path, text)


def in_child(function: Attempt) -> None:
    """In a process of its own, so that success changes nothing for the attempts after it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os.write(writing, b"!")
        except (OSError, Refused) as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 4096).decode()
    os.close(reading)
    os.waitpid(pid, 0)
    if said != "!":
        raise Refused(said or "killed")


# -- devices ---------------------------------------------------------------------------------------


def read_device(kind: int, major: int, minor: int) -> None:
    path = f"/tmp/device-{major}-{minor}"
    with contextlib.suppress(FileExistsError):
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.read(fd, 1)


@attempt("read the host's disk by a node of one's own")
def _() -> None:
    read_device(stat.S_IFBLK, *FACTS["disk"])


@attempt("write the host's disk by a node of one's own")
def _() -> None:
    major, minor = FACTS["disk"]
    path = "/tmp/disk-w"
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(major, minor))
    os.open(path, os.O_WRONLY)


@attempt("read the machine's memory")
def _() -> None:
    read_device(stat.S_IFCHR, 1, 1)


@attempt("read the kernel's log by a device")
def _() -> None:
    read_device(stat.S_IFCHR, 1, 11)


@attempt("use a loop device's control")
def _() -> None:
    read_device(stat.S_IFCHR, 10, 237)


@attempt("use the tunnel device")
def _() -> None:
    read_device(stat.S_IFCHR, 10, 200)


@attempt("read the kernel's memory by /proc/kcore")
def _() -> None:
    if not Path("/proc/kcore").read_bytes()[:1]:
        raise Refused("empty")


@attempt("change the host's /dev/null through a standard stream")
def _() -> None:
    for fd in (0, 1, 2):
        if stat.S_ISCHR(os.fstat(fd).st_mode) and os.fstat(fd).st_dev != Path("/dev").stat().st_dev:
            os.fchmod(fd, 0o600)
            return
    raise Refused("no stream is the host's")


# -- mounts ----------------------------------------------------------------------------------------


@attempt("mount a tmpfs")
def _() -> None:
    call(MOUNT, "none", "/tmp", "tmpfs", 0, None)


@attempt("mount a proc without masks")
def _() -> None:
    call(MOUNT, "proc", "/tmp", "proc", 0, None)


@attempt("mount the host's disk")
def _() -> None:
    call(MOUNT, "/tmp/device-disk", "/tmp", "ext4", 1, None)


@attempt("bind /proc elsewhere")
def _() -> None:
    call(MOUNT, "/proc", "/tmp", None, MS_BIND, None)


@attempt("make /proc/sys writable again")
def _() -> None:
    call(MOUNT, None, "/proc/sys", None, MS_BIND | MS_REMOUNT, None)


@attempt("make /proc/sys writable by its attributes")
def _() -> None:
    call(MOUNT_SETATTR, -100, "/proc/sys", 0, struct.pack("<4Q", 0, 1, 0, 0), 32)


@attempt("make a read-only volume writable")
def _() -> None:
    call(MOUNT, None, "/read-only", None, MS_BIND | MS_REMOUNT, None)


@attempt("take a mask away")
def _() -> None:
    masked = [
        path for path in ("/proc/kcore", "/proc/keys", "/sys/firmware") if Path(path).exists()
    ]
    call(UMOUNT2, masked[0], MNT_DETACH)


@attempt("make a file system by descriptors")
def _() -> None:
    call(FSOPEN, "tmpfs", 0)


@attempt("copy a mount by descriptors")
def _() -> None:
    call(OPEN_TREE, -100, "/proc", 1)


@attempt("change the root")
def _() -> None:
    call(PIVOT_ROOT, "/", "/tmp")


@attempt("climb out of a root of one's own")
def _() -> None:
    def climb() -> None:
        Path("/tmp/inner").mkdir(exist_ok=True)
        before = Path("/").stat()
        top = os.open("/", os.O_DIRECTORY)
        os.chroot("/tmp/inner")
        os.fchdir(top)
        for _ in range(100):
            os.chdir("..")
        os.chroot(".")
        after = Path("/").stat()
        if (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino):
            raise Refused("the container's own root")

    in_child(climb)


@attempt("open the host's root by a guessed handle")
def _() -> None:
    handle = struct.pack("<IiII", 8, 1, 2, 0)
    call(OPEN_BY_HANDLE_AT, os.open("/attempts.py", os.O_RDONLY), handle, 0)


@attempt("leave by the root of another process")
def _() -> None:
    for pid in ("1", str(os.getpid()), "self"):
        if FACTS["marker"] and Path(f"/proc/{pid}/root{FACTS['marker']}").exists():
            return
    raise Refused("all have the container's")


# -- the kernel's files ----------------------------------------------------------------------------

WRITTEN = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
)
for _path in WRITTEN:
    ATTEMPTS[f"write {_path}"] = lambda path=_path: write_back(path)  # type: ignore[misc]


@attempt("ask the kernel for help by sysrq-trigger")
def _() -> None:
    write("/proc/sysrq-trigger", "h")


@attempt("register an interpreter of programs")
def _() -> None:
    write("/proc/sys/fs/binfmt_misc/register", ":swarmd-test:M::swarmd-test::/bin/true:")


@attempt("lower one's chance of being killed for memory")
def _() -> None:
    write("/proc/self/oom_score_adj", "-1000")


# -- control groups --------------------------------------------------------------------------------


def groups() -> list[Path]:
    base = Path("/sys/fs/cgroup")
    return [path for path in (base, *base.iterdir()) if (path / "cgroup.procs").exists()]


def on_each_group(file: str, text: str) -> None:
    reasons = []
    for group in groups():
        if (group / file).exists():
            try:
                write(str(group / file), text)
            except OSError as error:
                reasons.append(str(error))
            else:
                return
    raise Refused(reasons[0] if reasons else "not there")


@attempt("have the host run a program when a group is empty")
def _() -> None:
    on_each_group("release_agent", "")


@attempt("ask for a notice when a group is empty")
def _() -> None:
    on_each_group("notify_on_release", "1")


@attempt("allow oneself all devices")
def _() -> None:
    on_each_group("devices.allow", "a")


@attempt("raise one's memory limit")
def _() -> None:
    on_each_group("memory.limit_in_bytes", "-1")


@attempt("raise one's memory limit, v2")
def _() -> None:
    on_each_group("memory.max", "max")


@attempt("move oneself into the group that one sees as root")
def _() -> None:
    on_each_group("cgroup.procs", "0")


@attempt("make a group of one's own")
def _() -> None:
    for group in groups():
        (group / "mine").mkdir()


@attempt("mount control groups anew")
def _() -> None:
    call(MOUNT, "cgroup", "/tmp", "cgroup", 0, "devices")


@attempt("mount the unified control groups anew")
def _() -> None:
    call(MOUNT, "cgroup2", "/tmp", "cgroup2", 0, None)


@attempt("see the groups of others")
def _() -> None:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    if all(line.split(":", 2)[2].strip("/") == "" for line in lines):
        raise Refused("its own is all it sees")


# -- processes of the host -------------------------------------------------------------------------


@attempt("trace a process of the host")
def _() -> None:
    call(PTRACE, PTRACE_SEIZE, FACTS["pid"], 0, 0)


@attempt("read the memory of a process of the host")
def _() -> None:
    here = ctypes.create_string_buffer(8)
    vector = struct.pack("<QQ", ctypes.addressof(here), 8)
    call(PROCESS_VM_READV, FACTS["pid"], vector, 1, vector, 1, 0)


@attempt("end a process of the host")
def _() -> None:
    os.kill(FACTS["pid"], 0)


@attempt("hold a process of the host")
def _() -> None:
    call(PIDFD_OPEN, FACTS["pid"], 0)


@attempt("see a process of the host in /proc")
def _() -> None:
    Path(f"/proc/{FACTS['pid']}/status").read_text()


@attempt("see more processes than one's own")
def _() -> None:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    if max(pids) < 1000 and 1 in pids:
        raise Refused(f"{len(pids)} are seen")


@attempt("talk to a socket of the host's without a name in files")
def _() -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect("\0" + FACTS["socket"])


@attempt("reach a port of the host's loopback")
def _() -> None:
    with socket.socket() as link:
        link.settimeout(1)
        link.connect(("127.0.0.1", FACTS["port"]))


# -- namespaces ------------------------------------------------------------------------------------


@attempt("enter the mounts of pid 1")
def _() -> None:
    call(SETNS, os.open("/proc/1/ns/mnt", os.O_RDONLY), NEW_NS)


@attempt("enter the control groups of pid 1")
def _() -> None:
    call(SETNS, os.open("/proc/1/ns/cgroup", os.O_RDONLY), NEW_CGROUP)


@attempt("leave the mounts for new ones")
def _() -> None:
    in_child(lambda: call(UNSHARE, NEW_NS))


@attempt("become root of a new user namespace", by_filter=True)
def _() -> None:
    in_child(lambda: call(UNSHARE, NEW_USER))


@attempt("fork into a new user namespace", by_filter=True)
def _() -> None:
    pid = call(CLONE, NEW_USER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)


@attempt("name the host")
def _() -> None:
    call(SETHOSTNAME, "escaped", 7)


# -- rights ----------------------------------------------------------------------------------------


@attempt("take a capability")
def _() -> None:
    header = struct.pack("<Ii", 0x20080522, 0)
    low = 1 << CAP_SYS_ADMIN
    in_child(lambda: call(CAPSET, header, struct.pack("<6I", low, low, 0, 0, 0, 0)))


@attempt("take a capability from a file")
def _() -> None:
    path = "/tmp/capable"
    Path(path).write_bytes(Path("/bin/busybox").read_bytes())
    Path(path).chmod(0o755)
    mask = 1 << CAP_SYS_ADMIN
    os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, mask, 0, 0, 0))

    def become() -> None:
        os.execv(path, [path, "true"])

    in_child_that_executes(become)


def in_child_that_executes(function: Attempt) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except OSError as error:
            os._exit(error.errno or 1)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise Refused(os.strerror(code))


@attempt("raise a limit")
def _() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))


@attempt("become more urgent than others")
def _() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -10)


@attempt("run in real time")
def _() -> None:
    in_child(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


@attempt("change an address of the network")
def _() -> None:
    interface = struct.pack("16sh14x", b"lo", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        import fcntl  # noqa: PLC0415 - the one place that wants it

        fcntl.ioctl(link, 0x8914, interface)


# -- the kernel itself -----------------------------------------------------------------------------


@attempt("set the clock")
def _() -> None:
    call(CLOCK_SETTIME, 0, struct.pack("<qq", *divmod(time.time_ns(), 10**9)))


CALLS: dict[str, tuple[object, ...]] = {
    "load a module": (INIT_MODULE, "", 0, ""),
    "load a module from a file": (FINIT_MODULE, 0, "", 0),
    "load another kernel": (KEXEC_LOAD, 0, 0, None, 0),
    "load another kernel from a file": (KEXEC_FILE_LOAD, 0, 0, 0, None, 4),
    "load a program into the kernel": (BPF, 5, bytes(128), 128),
    "count events of the whole machine": (PERF_EVENT_OPEN, bytes(128), -1, 0, -1, 0),
    "watch all files": (FANOTIFY_INIT, 4, 0),
    "set the time of day": (SETTIMEOFDAY, None, bytes(8)),
    "restart the machine": (REBOOT, 0xFEE1DEAD, 672274793, 0, None),
    "swap to a file": (SWAPON, "/etc/passwd", 0),
    "account for processes": (ACCT, "/tmp/accounts"),
    "use all ports of the machine": (IOPL, 3),
    "read the kernel's log": (SYSLOG, 3, bytes(64), 64),
}
for _name, _arguments in CALLS.items():
    ATTEMPTS[_name] = lambda arguments=_arguments: call(*arguments)  # type: ignore[misc]

OPEN_TO_ALL: dict[str, tuple[object, ...]] = {
    "catch page faults": (USERFAULTFD, 0),
    "hand calls over to the kernel in a ring": (IO_URING_SETUP, 1, bytes(256)),
    "add a key": (ADD_KEY, "user", "swarmd-test", "x", 1, -3),
    "ask for a key": (REQUEST_KEY, "user", "swarmd-test", None, -3),
    "read one's keyring": (KEYCTL, 0, -3, 0),
    "switch address randomization off": (PERSONALITY, 0x0040000),
}
for _name, _arguments in OPEN_TO_ALL.items():
    ATTEMPTS[_name] = lambda arguments=_arguments: in_child(lambda: call(*arguments))  # type: ignore[misc]
    BY_FILTER.add(_name)


@attempt("use the kernel's cryptography", by_filter=True)
def _() -> None:
    socket.socket(38, socket.SOCK_SEQPACKET).close()


@attempt("talk to the hypervisor", by_filter=True)
def _() -> None:
    socket.socket(40, socket.SOCK_STREAM).close()


@attempt("mount by way of 32 bits' calls")
def _() -> None:
    """x32's number for mount: a filter that looks only at x86-64's would miss it."""
    call(0x40000000 | MOUNT, "none", "/tmp", "tmpfs", 0, None)


# -- what was left open ----------------------------------------------------------------------------


@attempt("find a descriptor that was left open")
def _() -> None:
    if not LEFT_OPEN:
        raise Refused("none")
    print(LEFT_OPEN, file=sys.stderr)


@attempt("find a key of the host's in one's keyring")
def _() -> None:
    number = call(KEYCTL, 10, -3, "user", FACTS["key"], 0)
    print(number, file=sys.stderr)


@attempt("find something of the host's in the environment")
def _() -> None:
    if not {*os.environ} - {"PATH", "HOME", "FACTS", "LC_CTYPE", "SKIP_FILTERED"}:
        raise Refused("nothing")


def main() -> None:
    """Tries all of them."""
    skipped = BY_FILTER if "SKIP_FILTERED" in os.environ else set()
    for name, function in ATTEMPTS.items():
        if name in skipped:
            continue
        try:
            function()
        except (OSError, Refused, ValueError) as error:
            print(f"{name}\trefused: {error}", flush=True)
        else:
            print(f"{name}\tESCAPED", flush=True)


if __name__ == "__main__":
    main()
