"""Whose namespaces a first process has: its own, the host's, or those of a container that runs."""

import fcntl
import os
import select
import socket
import struct

from worker.kernel import syscalls
from worker.runtime.plumbing import CONTAINER
from worker.runtime.refusal import CONFLICT, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.runtime.orders import StartOrder
    from worker.runtime.plumbing import Plumbing

HOST = "host"
NONE = "none"
"""Of ipc: one of its own, without shared memory."""
_SHARED_MEMORY = "dev/shm"
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_LOOPBACK_UP = struct.pack("16sh22x", b"lo", _IFF_UP)
_FILES = {"network": "net"}
_HAS_ENDED = "the container that was to be joined has ended"
_KINDS = {
    "pid": syscalls.CLONE_NEWPID,
    "ipc": syscalls.CLONE_NEWIPC,
    "uts": syscalls.CLONE_NEWUTS,
    "network": syscalls.CLONE_NEWNET,
}


def modes_of(order: "StartOrder") -> dict[str, str]:
    """What is asked for, by kind."""
    own = order["namespaces"]
    modes = {"pid": own["pid"], "ipc": own["ipc"], "uts": own["uts"]}
    return {**modes, "network": order["network_namespace"]}


def joined_containers(order: "StartOrder") -> list[str]:
    """Ids of the containers whose namespaces it is to share."""
    modes = modes_of(order).values()
    return sorted({mode.removeprefix(CONTAINER) for mode in modes if mode.startswith(CONTAINER)})


class Spaces:
    """What the fork, and the child after it, are to do about namespaces."""

    __slots__ = ("born_in", "doors", "joins", "kinds", "memory_of")

    def __init__(self, order: "StartOrder", pids: dict[str, int], plumbing: "Plumbing") -> None:
        """``pids`` are those of the first processes of the containers that it joins."""
        self.kinds = syscalls.CLONE_NEWNS
        """For clone: those of its own."""
        self.born_in = -1
        """A pidfd whose pid namespace it is born in, or -1."""
        self.joins: list[tuple[int, int]] = []
        """Pidfds, and which of their namespaces it enters."""
        self.memory_of = -1
        """A pidfd of the container whose /dev/shm it has, too; or -1."""
        doors = {container_id: plumbing.take(open_door(pid)) for container_id, pid in pids.items()}
        self.doors = doors
        """A pidfd for each container that it joins."""
        for kind, mode in modes_of(order).items():
            if kind not in _KINDS or mode == HOST:
                continue
            if mode in ("", NONE):
                self.kinds |= _KINDS[kind]
            elif mode.startswith(CONTAINER):
                self._join(kind, doors[mode.removeprefix(CONTAINER)])

    def _join(self, kind: str, door: int) -> None:
        if kind == "pid":
            self.born_in = door
            return
        self.joins.append((door, _KINDS[kind]))
        if kind == "ipc":
            self.memory_of = door


def open_door(pid: int) -> int:
    """A pidfd of a container's first process.

    Raises:
        Refusal: it has just ended.
    """
    try:
        return syscalls.pidfd_open(pid)
    except ProcessLookupError as error:
        raise Refusal(CONFLICT, _HAS_ENDED) from error


def join_others(spaces: Spaces) -> None:
    """Enters the namespaces of others. Called by the child.

    Raises:
        Refusal: that container has just ended.
    """
    for door, kind in spaces.joins:
        try:
            syscalls.setns(door, kind)
        except ProcessLookupError as error:
            raise Refusal(CONFLICT, _HAS_ENDED) from error


def raise_loopback(spaces: Spaces) -> None:
    """127.0.0.1 in a network of its own, as Docker has it with ``--network none``. Called by the child."""
    if spaces.kinds & syscalls.CLONE_NEWNET:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _LOOPBACK_UP)


def open_joined(order: "StartOrder", pids: dict[str, int], spaces: Spaces) -> dict[str, int]:
    """Files of the namespaces of others, by kind: for an OCI runtime, which takes no pidfds.

    Raises:
        Refusal: one of those containers has just ended.
    """
    found = {}
    for kind, mode in modes_of(order).items():
        if mode.startswith(CONTAINER):
            other = mode.removeprefix(CONTAINER)
            found[kind] = _open_space(pids[other], spaces.doors[other], kind)
    return found


def _open_space(pid: int, door: int, kind: str) -> int:
    """The number means that process as long as the process lives: it is looked up first, and asked for after that."""
    try:
        path = f"/proc/{pid}/ns/{_FILES.get(kind, kind)}"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Refusal(CONFLICT, _HAS_ENDED) from error
    if select.select([door], [], [], 0)[0]:
        raise Refusal(CONFLICT, _HAS_ENDED)
    return fd


def shared_memory(order: "StartOrder", spaces: Spaces) -> int:
    """The /dev/shm of another or of the host as a detached mount; -1 when it has one of its own, or none."""
    mode = order["namespaces"]["ipc"]
    if mode == HOST:
        return syscalls.open_tree(f"/{_SHARED_MEMORY}", recursive=False)
    return _memory_seen_by(spaces.memory_of) if spaces.memory_of >= 0 else -1


def _memory_seen_by(door: int) -> int:
    """Looked up in that container's own tree, by a path without links: what its image did leads nowhere else."""
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.setns(door, syscalls.CLONE_NEWNS)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
    found = syscalls.openat2(root, _SHARED_MEMORY, os.O_PATH | os.O_DIRECTORY, resolve)
    tree = syscalls.open_tree_of(found, recursive=False)
    strict = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC
    syscalls.set_mount(tree, attributes=strict, propagation=syscalls.MS_PRIVATE, recursive=False)
    syscalls.setns(home, syscalls.CLONE_NEWNS)
    for fd in (home, root, found):
        os.close(fd)
    return tree
