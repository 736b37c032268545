"""User namespaces: made for a container, with its ids mapped to those of the host, before anything runs in one.

The supervisor imports this, so it imports little itself.
"""

import os

from worker.kernel import syscalls
from worker.kernel.cgroupfs import write_text

_SIGKILL = 9

Mappings = list[tuple[int, int, int]]
"""Id in the namespace, id on the host, how many."""


def make_user_namespace(uids: Mappings, gids: Mappings) -> int:
    """A descriptor of a new user namespace. The process that it took to make it has ended again.

    Raises:
        OSError: the kernel refused, such as for ids that overlap.
    """
    pid = syscalls.clone(syscalls.CLONE_NEWUSER)
    if pid == 0:
        _stand_still()
    try:
        write_text(f"/proc/{pid}/uid_map", _lines(uids))
        write_text(f"/proc/{pid}/gid_map", _lines(gids))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(pid, _SIGKILL)
        os.waitpid(pid, 0)


def enter_user_namespace(fd: int) -> None:
    """Enters it, by its descriptor or by a pidfd, as its root."""
    syscalls.setns(fd, syscalls.CLONE_NEWUSER)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def make_files_as(uid: int, gid: int) -> None:
    """Whatever this process makes from here on in file systems is theirs; it keeps its capabilities."""
    syscalls.set_file_owner(uid, gid)
    effective, permitted = syscalls.capabilities()
    syscalls.set_capabilities(effective=effective | permitted, permitted=permitted, inheritable=0)


def _stand_still() -> None:
    syscalls.die_with_parent(_SIGKILL)
    try:
        while True:
            syscalls.wait_for_any_signal()
    finally:
        os._exit(1)


def _lines(mappings: Mappings) -> str:
    return "\n".join(f"{inside} {outside} {size}" for inside, outside, size in mappings)
