"""What a supervisor hands to the one that it becomes by executing a newer program in its own place.

Its children stay its children and its descriptors stay open, so all that is needed is which is which.
"""

import marshal
import os

from worker.kernel import syscalls
from worker.runtime.held import Held, Stream
from worker.runtime.journal import open_log
from worker.runtime.standard_input import Input
from worker.runtime.wire import HANDOVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from worker.runtime.supervisor import Supervisor

_VERSION_WITHOUT_INPUT = 1
"""Of 0.1.0: containers had neither input nor terminal."""
_MARSHAL_VERSION = 2
FORMERLY_UNSAID: "dict[str, Any]" = {
    "seccomp": b"",
    "rows": 0,
    "columns": 0,
    "shares_processes": False,
    "root_uid": 0,
    "root_gid": 0,
    "runtime": "",
}
"""Fields of a process order that an older supervisor did not hand over, as it would have had them."""
_READ_BYTES = 1 << 20
_NO_LOG = ("", 0, 0)


class Kept:
    """What the supervisor itself hands on."""

    __slots__ = ("lock_fd", "nofile", "socket_fd")

    def __init__(self, lock_fd: int, socket_fd: int, nofile: tuple[int, int]) -> None:
        self.lock_fd = lock_fd
        self.socket_fd = socket_fd
        self.nofile = nofile
        """RLIMIT_NOFILE as containers get it."""


class Handover:
    """What goes on in the new program: containers, who is attached to them, and further processes."""

    __slots__ = ("attached", "containers", "kept", "spawned")

    def __init__(self, kept: Kept, containers: list[Held]) -> None:
        self.kept = kept
        self.containers = containers
        self.attached: list[tuple[str, list[Any]]] = []
        self.spawned: list[tuple[int, str, tuple[int, int], int]] = []


def write_handover(supervisor: "Supervisor", kept: Kept) -> tuple[int, list[int]]:
    """Puts everything into a nameless file in memory and lets it and all descriptors live over exec.

    The answer is the file's descriptor, and all those that live on.
    """
    own = (kept.lock_fd, kept.socket_fd)
    containers = [_container_words(one) for one in supervisor.held.values()]
    attached = [
        (name, [member.words for member in audience.members])
        for name, audience in supervisor.audiences
    ]
    spawned = supervisor.executions.words
    inherited = [*own]
    for _, _, _, streams, _, words in containers:
        inherited += [fd for _, fd, _ in streams]
        inherited += [words[0]] if words is not None else []
    for _, members in attached:
        inherited += [member[0] for member in members]
    for _, _, (fd, _), terminal_fd in spawned:
        inherited += [fd, terminal_fd]
    content = (HANDOVER, own, kept.nofile, containers, attached, spawned)
    memory = os.memfd_create("handover", 0)
    os.write(memory, marshal.dumps(content, _MARSHAL_VERSION))
    inherited = [fd for fd in inherited if fd >= 0]
    set_living_over_exec(inherited, lives=True)
    return memory, inherited


def set_living_over_exec(descriptors: list[int], *, lives: bool) -> None:
    """Says whether descriptors stay open in another program."""
    for fd in descriptors:
        if fd >= 0:
            os.set_inheritable(fd, lives)


def read_handover(memory: int) -> Handover:
    """The opposite of ``write_handover``, in the new program.

    Raises:
        OSError: it was written by a program that is not understood.
    """
    size = os.fstat(memory).st_size
    content = b""
    while len(content) < size:
        content += os.pread(memory, _READ_BYTES, len(content))
    version, own, nofile, containers, *further = marshal.loads(content)  # noqa: S302 - our own memory
    os.close(memory)
    if version == _VERSION_WITHOUT_INPUT:
        containers = [(*item, None) for item in containers]
        further = [[], []]
    elif version != HANDOVER:
        raise OSError(22, f"a handover of version {version} is not understood")
    set_living_over_exec(list(own), lives=False)
    taken = Handover(Kept(own[0], own[1], nofile), [_read_container(item) for item in containers])
    taken.attached, taken.spawned = further
    for _, members in taken.attached:
        set_living_over_exec([member[0] for member in members], lives=False)
    for _, _, (fd, _), terminal_fd in taken.spawned:
        set_living_over_exec([fd, terminal_fd], lives=False)
    return taken


def _container_words(one: Held) -> "tuple[Any, ...]":
    streams = [(stream.name, stream.fd, stream.pending) for stream in one.streams]
    rule = one.log.rule if one.log is not None else _NO_LOG
    words = _input_words(one.input) if one.input is not None else None
    return (one.id, one.pid, dict(one.process), streams, rule, words)


def _read_container(item: "Any") -> Held:  # noqa: ANN401 - from marshal
    container_id, pid, process, streams, rule, words = item
    for name, value in FORMERLY_UNSAID.items():
        process.setdefault(name, value)
    held = Held(container_id, process)
    held.pid = pid
    held.streams = [Stream(name, fd, pending) for name, fd, pending in streams]
    set_living_over_exec([stream.fd for stream in held.streams], lives=False)
    if rule[0]:
        held.log = open_log(*rule)
    if words is not None:
        held.input = _read_input(words)
    return held


def _input_words(one: Input) -> "tuple[Any, ...]":
    flags = (one.is_terminal, one.takes, one.ends_with_first, one.is_ending)
    return (one.fd, flags, bytes(one.pending))


def _read_input(words: "Any") -> Input:  # noqa: ANN401 - from marshal
    fd, (is_terminal, takes, ends_with_first, is_ending), pending = words
    set_living_over_exec([fd], lives=False)
    found = Input(fd, is_terminal=is_terminal, takes=takes, ends_with_first=ends_with_first)
    found.is_ending = is_ending
    found.pending += pending
    return found


def seal_executable(arguments: list[str]) -> None:
    """Starts this program again from a read-only mount of the interpreter that is nowhere in the file system.

    Between fork and exec a container's process is this interpreter, and "/proc/self/exe" leads to it from inside:
    through a read-only mount no container can overwrite the host's Python (as CVE-2019-5736 did to runc).
    """
    if os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY:
        return
    program = os.readlink("/proc/self/exe")
    tree = syscalls.open_tree(program, recursive=False)
    syscalls.set_mount(tree, attributes=syscalls.MOUNT_ATTR_RDONLY, recursive=False)
    os.execve(tree, arguments, dict(os.environ))  # noqa: S606 - ourselves
