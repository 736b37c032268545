"""Terminals: made inside the container, in its own devpts, and sent out to whoever writes and reads there."""

import _socket  # ``socket`` adds a megabyte of enum and selectors
import errno
import fcntl
import os
import stat
import struct

from worker.kernel import syscalls
from worker.runtime.refusal import SYSTEM, Refusal

NOBODY_HAS_IT = errno.EIO
"""What reading a terminal's master gives once no process has the terminal open."""
SIDE_MAX = 65535
TERMINAL_VARIABLE = "TERM=xterm"
"""As Docker has it for a process with a terminal, unless image or user say otherwise."""
_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431
_MULTIPLEXER = "/dev/pts/ptmx"
_MULTIPLEXER_DEVICE = os.makedev(5, 2)
_CONSOLE = "/dev/console"
_FD_BYTES = struct.calcsize("i")


def read_piece(fd: int, size: int) -> bytes | None:
    """What a pipe or a terminal's master has: b"" at its end, None when nothing is there yet.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno != NOBODY_HAS_IT:
            raise
        return b""


def open_console(console_fd: int, rows: int, columns: int) -> None:
    """Makes a terminal, makes it the controlling one and the standard streams, and sends its master away.

    This process leads a session without a terminal, and its root is the container's.

    Raises:
        Refusal: the container's /dev/pts is not what it must be.
        OSError: the kernel refused.
    """
    master = syscalls.openat2(
        syscalls.AT_FDCWD,
        _MULTIPLEXER,
        os.O_RDWR | os.O_NOCTTY,
        syscalls.RESOLVE_NO_SYMLINKS,
    )
    found = os.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _MULTIPLEXER_DEVICE:
        raise Refusal(SYSTEM, f"{_MULTIPLEXER} in the container is not the terminals' multiplexer")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    # By descriptor, not by name: nobody can put another device in its place.
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    set_size(master, rows, columns)
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(slave, number)
    os.close(slave)
    send(console_fd, master)
    os.close(master)
    os.close(console_fd)


def bind_console() -> None:
    """Shows the terminal that is standard input as /dev/console, too; while nobody else can change /dev."""
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(_CONSOLE, flags, 0o620))
    target = os.open(_CONSOLE, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    tree = syscalls.open_tree("/proc/self/fd/0", recursive=False)
    syscalls.move_mount(tree, target)
    os.close(tree)
    os.close(target)


def take_foreground() -> None:
    """Leads a process group of its own in front of the terminal, if there is one: ctrl-C is for it alone.

    SIGTTOU must be blocked.
    """
    if os.isatty(0):
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())


def set_size(fd: int, rows: int, columns: int) -> None:
    """Sets the size of a terminal; its foreground group is sent SIGWINCH when it is another one."""
    if rows > 0 and columns > 0:
        size = struct.pack("4H", min(rows, SIDE_MAX), min(columns, SIDE_MAX), 0, 0)
        fcntl.ioctl(fd, _TIOCSWINSZ, size)


def send(console_fd: int, fd: int) -> None:
    """Sends a master over a socket."""
    peer = _socket.socket(fileno=console_fd)
    try:
        content = struct.pack("i", fd)
        peer.sendmsg([b"t"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, content)])
    finally:
        peer.detach()


def receive(console_fd: int) -> int:
    """The master that came over a socket, or -1 when none comes any more.

    Raises:
        BlockingIOError: it has not come yet.
    """
    peer = _socket.socket(fileno=console_fd)
    try:
        _, ancillary, _, _ = peer.recvmsg(
            4096, _socket.CMSG_SPACE(_FD_BYTES), _socket.MSG_CMSG_CLOEXEC
        )
    finally:
        peer.detach()
    for _level, kind, content in ancillary:
        if kind == _socket.SCM_RIGHTS:
            return int(struct.unpack("i", content[:_FD_BYTES])[0])
    return -1
