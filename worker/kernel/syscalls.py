"""System calls that Python's standard library lacks: each a small typed function that raises OSError with a message.

The supervisor imports this, so it imports little itself. ``PyDLL`` keeps the interpreter's lock during a call: the
process has one thread, and a child of ``clone`` must find the lock held as its parent did.
"""

import ctypes
import errno
import os
import struct

_LIBC = ctypes.PyDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_LIBC.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_LIBC.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_LIBC.signal.restype = ctypes.c_void_p

# Numbers above 423 are the same on every architecture.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_PIDFD_OPEN = 434
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_SYS_BPF = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, -1)
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine, -1)

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_CLONE_INTO_CGROUP = 0x200000000
_SIGCHLD = 17

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
_MOUNT_ATTR_IDMAP = 0x00100000

AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

SIGNALS_MAX = 64
_SIG_BLOCK = 0
_SIG_SETMASK = 2
_SIGSET_BYTES = 128
_SFD_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
SIGNALFD_RECORD_BYTES = 128

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_STAT_BYTES = 4096
_ARG_START = 45
"""Of the fields behind the name in /proc/self/stat: the 48th of all."""
_PR_SET_NAME = 15
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
_FILTER_INSTRUCTION_BYTES = 8
_KEYCTL_JOIN_SESSION_KEYRING = 1

BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


# -- processes -------------------------------------------------------------------------------------


def clone(flags: int, *, cgroup_fd: int = -1) -> int:
    """Forks into new namespaces: 0 in the child, the child's pid in the parent.

    ``cgroup_fd`` is a directory of the unified hierarchy that the child is born in.
    """
    flags |= 0 if cgroup_fd < 0 else _CLONE_INTO_CGROUP
    arguments = struct.pack("<11Q", flags, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, max(cgroup_fd, 0))
    return _check(_LIBC.syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(len(arguments))), "clone3")


def pidfd_open(pid: int) -> int:
    """A descriptor that stands for a process."""
    return _check(_LIBC.syscall(_SYS_PIDFD_OPEN, pid, 0), "pidfd_open")


def setns(fd: int, kinds: int) -> None:
    """Enters namespaces: of a namespace file, or of the process that a pidfd stands for."""
    _check(_LIBC.setns(fd, kinds), "setns")


def unshare(kinds: int) -> None:
    """Leaves namespaces for new ones."""
    _check(_LIBC.unshare(kinds), "unshare")


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Closes all descriptors from ``first`` to ``last``."""
    _check(
        _LIBC.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0),
        "close_range",
    )


def sethostname(name: bytes) -> None:
    """Names this uts namespace."""
    _check(_LIBC.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")


def setdomainname(name: bytes) -> None:
    """Says to which domain (of NIS) this uts namespace belongs."""
    _check(_LIBC.setdomainname(name, ctypes.c_size_t(len(name))), "setdomainname")


def _prctl(what: str, option: int, argument: int) -> int:
    return _check(_LIBC.prctl(option, argument, 0, 0, 0), what)


def die_with_parent(signal_number: int) -> None:
    """The kernel sends this signal when the parent dies."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal_number)


def make_undumpable() -> None:
    """Closes this process's memory, executable and environment to others of the same user, until it execs."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def become_subreaper() -> None:
    """Orphans below this process become its children."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def set_process_name(name: bytes) -> None:
    """What ``ps`` calls this process (15 bytes)."""
    buffer = ctypes.create_string_buffer(name)
    _prctl("PR_SET_NAME", _PR_SET_NAME, ctypes.addressof(buffer))


def set_command_line(words: bytes) -> None:
    """What ``ps`` shows as this process's arguments, as far as there is room where the former ones are (proc(5))."""
    fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    fields = os.read(fd, _STAT_BYTES).rpartition(b")")[2].split()
    os.close(fd)
    start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
    room = end - start
    if room > 0:
        ctypes.memmove(start, words[: room - 1].ljust(room, b"\0"), room)


def set_no_new_privileges() -> None:
    """No program started from here on can gain privileges."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def load_filter(program: bytes) -> None:
    """Has the kernel ask a BPF program about each system call from here on, also in all programs started.

    Needs CAP_SYS_ADMIN or no_new_privs. A filter costs no mitigation of speculation: so has runc.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    length = len(program) // _FILTER_INSTRUCTION_BYTES
    described = struct.pack("<H6xQ", length, ctypes.addressof(buffer))
    flags = ctypes.c_uint(_SECCOMP_FILTER_FLAG_SPEC_ALLOW)
    result = _LIBC.syscall(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, flags, described)
    _check(result, "seccomp")


def join_new_keyring() -> None:
    """Leaves the session's keyring for a new, empty one; nothing on a kernel without keyrings."""
    result = _LIBC.syscall(_SYS_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None)
    if result < 0 and ctypes.get_errno() != errno.ENOSYS:
        _check(result, "keyctl")


def keep_capabilities_over_setuid() -> None:
    """A change of user keeps the permitted set."""
    _prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)


def bounding_has(capability: int) -> bool:
    """Whether a capability can still be had; False also for one that the kernel does not know."""
    return int(_LIBC.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0)) == 1


def bounding_drop(capability: int) -> None:
    """No program started from here on can have this capability."""
    _prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, capability)


def capabilities() -> tuple[int, int]:
    """This process's effective and permitted sets."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    words = ctypes.create_string_buffer(24)
    _check(_LIBC.capget(header, words), "capget")
    low_effective, low_permitted, _, effective, permitted, _ = struct.unpack("<6I", words.raw)
    return effective << 32 | low_effective, permitted << 32 | low_permitted


def set_file_owner(uid: int, gid: int) -> None:
    """Files that this process makes belong to them (setfsuid); that takes its capabilities over files away."""
    _LIBC.setfsgid(ctypes.c_uint(gid))
    _LIBC.setfsuid(ctypes.c_uint(uid))


def set_capabilities(*, effective: int, permitted: int, inheritable: int) -> None:
    """Sets this process's capability sets."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    low = [bits & 0xFFFFFFFF for bits in (effective, permitted, inheritable)]
    high = [bits >> 32 for bits in (effective, permitted, inheritable)]
    words = (*low, *high)
    _check(_LIBC.capset(header, struct.pack("<6I", *words)), "capset")


# -- signals ---------------------------------------------------------------------------------------


def _signal_set(numbers: tuple[int, ...]) -> bytes:
    bits = 0
    for number in numbers:
        bits |= 1 << (number - 1)
    return bits.to_bytes(_SIGSET_BYTES, "little")


def block_signals(numbers: tuple[int, ...]) -> None:
    """Lets signals wait until they are read."""
    _check(_LIBC.sigprocmask(_SIG_BLOCK, _signal_set(numbers), None), "sigprocmask")


def unblock_all_signals() -> None:
    """No signal waits any longer."""
    _check(_LIBC.sigprocmask(_SIG_SETMASK, _signal_set(()), None), "sigprocmask")


def signalfd(numbers: tuple[int, ...]) -> int:
    """A non-blocking descriptor from which blocked signals are read; ``signal_numbers`` decodes them."""
    return _check(_LIBC.signalfd(-1, _signal_set(numbers), _SFD_FLAGS), "signalfd")


def signal_numbers(records: bytes) -> list[int]:
    """The signals in what was read from a signalfd."""
    return [
        int.from_bytes(records[start : start + 4], "little")
        for start in range(0, len(records), SIGNALFD_RECORD_BYTES)
    ]


def wait_for_any_signal() -> None:
    """Sleeps until a signal was handled, or ends this process."""
    _LIBC.pause()


def wait_for_signal(numbers: tuple[int, ...]) -> int:
    """Waits until one of some blocked signals comes."""
    number = ctypes.c_int(0)
    _LIBC.sigwait(_signal_set(numbers), ctypes.byref(number))
    return number.value


def ignore_signal(number: int) -> None:
    """The signal does nothing from here on."""
    _LIBC.signal(number, ctypes.c_void_p(1))


def default_signal(number: int) -> None:
    """The signal does what the kernel does by default."""
    _LIBC.signal(number, ctypes.c_void_p(0))


# -- mounts ----------------------------------------------------------------------------------------


def mount(source: str, target: str, filesystem: str, flags: int = 0, options: str = "") -> None:
    """Mounts a file system, or changes one that is."""
    result = _LIBC.mount(
        os.fsencode(source), os.fsencode(target), filesystem.encode(), flags, os.fsencode(options)
    )
    _check(result, f"mount {filesystem or source} on {target}")


def umount(target: str, flags: int = 0) -> None:
    """Unmounts, as umount2(2) does."""
    _check(_LIBC.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Makes ``new`` the root and puts the former one at ``old``."""
    _check(_LIBC.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def open_tree(path: str, *, recursive: bool) -> int:
    """A detached copy of the mount at a path, with those below it when ``recursive``."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    result = _LIBC.syscall(_SYS_OPEN_TREE, AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags))
    return _check(result, f"open_tree {path}")


def open_tree_of(fd: int, *, recursive: bool) -> int:
    """The same of what a descriptor stands for."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    flags |= _AT_EMPTY_PATH
    return _check(_LIBC.syscall(_SYS_OPEN_TREE, fd, b"", ctypes.c_uint(flags)), "open_tree")


def map_owners(tree_fd: int, user_namespace_fd: int) -> None:
    """Owners of files in a detached mount are those that the user namespace maps them to."""
    wanted = struct.pack("<4Q", _MOUNT_ATTR_IDMAP, 0, 0, user_namespace_fd)
    size = ctypes.c_size_t(len(wanted))
    flags = ctypes.c_uint(_AT_EMPTY_PATH)
    result = _LIBC.syscall(_SYS_MOUNT_SETATTR, tree_fd, b"", flags, wanted, size)
    _check(result, "mount_setattr with mapped owners")


def move_mount(tree_fd: int, target_fd: int) -> None:
    """Attaches a detached mount onto what a descriptor stands for."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    result = _LIBC.syscall(_SYS_MOVE_MOUNT, tree_fd, b"", target_fd, b"", ctypes.c_uint(flags))
    _check(result, "move_mount")


def set_mount(fd: int, *, attributes: int = 0, propagation: int = 0, recursive: bool) -> None:
    """Sets attributes (MOUNT_ATTR_…) and propagation (MS_…) of the mount that a descriptor stands on."""
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    wanted = struct.pack("<4Q", attributes, 0, propagation, 0)
    result = _LIBC.syscall(
        _SYS_MOUNT_SETATTR, fd, b"", ctypes.c_uint(flags), wanted, ctypes.c_size_t(len(wanted))
    )
    _check(result, "mount_setattr")


OPENAT2_TRIES_MAX = 64


def openat2(directory_fd: int, path: str, flags: int, resolve: int) -> int:
    """open(2) with a say in how the path may be walked (RESOLVE_…).

    The kernel says EAGAIN when something was renamed or mounted anywhere while it walked a "..": it is asked again.
    """
    how = struct.pack("<3Q", flags | os.O_CLOEXEC, 0, resolve)
    number = 0
    for _ in range(OPENAT2_TRIES_MAX):
        result = _LIBC.syscall(
            _SYS_OPENAT2, directory_fd, os.fsencode(path), how, ctypes.c_size_t(len(how))
        )
        if result >= 0:
            return int(result)
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            break
    raise OSError(number, os.strerror(number), path)


# -- bpf -------------------------------------------------------------------------------------------


def bpf(command: int, attributes: bytes) -> int:
    """One command to the kernel's eBPF; the answer is often a descriptor."""
    buffer = ctypes.create_string_buffer(attributes, 128)
    return _check(_LIBC.syscall(_SYS_BPF, command, buffer, 128), "bpf")


def address_of(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    """Where a buffer lies, for structures that hold pointers."""
    return ctypes.addressof(buffer)


def text_buffer(content: bytes) -> "ctypes.Array[ctypes.c_char]":
    """A buffer of bytes that stays where it is."""
    return ctypes.create_string_buffer(content, len(content))
