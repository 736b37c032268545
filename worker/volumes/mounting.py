"""Mounts what a volume's options ask for, and takes it away again.

A file system of the network may keep whoever mounts it waiting for as long as it likes. So a process of its own does
it, which can be killed.
"""

import errno
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from common.errors import SystemFailureError
from worker.kernel.syscalls import MNT_DETACH, umount
from worker.volumes.options import BIND, MountPlan, plan_of

MOUNT_SECONDS_MAX = 60.0
MOUNT_ERROR_BYTES_MAX = 4096
_PROGRAM = Path(__file__).with_name("mount_main.py")
_FLAGS = ("-S", "-E", "-P")
_SECRET_WORDS = ("password=", "pass=")


class MountOptions:
    """Implements ``worker.volumes.local.Mounting`` in the calling thread's mount namespace. Its methods block."""

    def mount(self, options: Mapping[str, str], directory: str) -> None:
        """Mounts it there; nothing for a volume without options.

        Raises:
            SystemFailureError: the kernel or a server refuses, or takes too long.
        """
        plan = plan_of(options)
        if plan is None or is_mounted(directory):
            return
        reason = _try(_resolved(plan), directory)
        if reason:
            raise SystemFailureError(
                f"failed to mount local volume: mount {plan.device}:{directory}, "
                f"data: {_without_secrets(plan.data)}: {reason}",
                hint=_hint(plan),
            )

    def unmount(self, directory: str) -> None:
        """Takes it away; nothing when nothing is mounted there.

        Raises:
            OSError: the kernel refused.
        """
        while is_mounted(directory):
            try:
                umount(directory, MNT_DETACH)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
                return


def is_mounted(directory: str) -> bool:
    """Whether something is mounted there, in the calling thread's mount namespace."""
    wanted = _escaped(directory)
    with Path("/proc/thread-self/mountinfo").open(
        encoding="utf-8", errors="surrogateescape"
    ) as lines:
        return any(line.split(" ", 5)[4] == wanted for line in lines)


def _escaped(path: str) -> str:
    for character in "\\ \t\n":
        path = path.replace(character, f"\\{ord(character):03o}")
    return path


def _resolved(plan: MountPlan) -> MountPlan:
    """The plan with the server's address for its name: the kernel takes no names."""
    name = plan.address
    if not name:
        return plan
    try:
        address = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0]
    except (OSError, UnicodeError) as error:
        raise SystemFailureError(
            f"error resolving passed in network volume address: lookup {name}: {error}"
        ) from error
    words = (f"addr={address}" if word == f"addr={name}" else word for word in plan.data.split(","))
    return replace(plan, data=",".join(words))


def _try(plan: MountPlan, directory: str) -> str:
    """Mounts; says why not, or ""."""
    order = json.dumps({**asdict(plan), "directory": directory})
    command = [sys.executable, *_FLAGS, str(_PROGRAM)]
    try:
        done = subprocess.run(
            command,
            input=order.encode(),
            capture_output=True,
            timeout=MOUNT_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {MOUNT_SECONDS_MAX:.0f} seconds"
    if done.returncode == 0:
        return ""
    said = done.stderr[:MOUNT_ERROR_BYTES_MAX].decode(errors="replace").strip()
    return said.splitlines()[-1] if said else f"the mounting process ended with {done.returncode}"


def _without_secrets(data: str) -> str:
    return ",".join(
        f"{word.partition('=')[0]}=********" if word.startswith(_SECRET_WORDS) else word
        for word in data.split(",")
    )


def _hint(plan: MountPlan) -> str | None:
    known = Path("/proc/filesystems").read_text().split()
    if not plan.flags & BIND and plan.kind not in known:
        return f'the kernel of this machine has no file system "{plan.kind}"'
    return None
