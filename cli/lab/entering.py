"""Runs a command on a host in place of this one: in the host's network, under its name, talking to its swarmd."""

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.lab.host import Host
from common.errors import UnavailableError

CLONE_NEWUTS, CLONE_NEWNET = 0x04000000, 0x40000000
NOT_FOUND_STATUS, NOT_EXECUTABLE_STATUS = 127, 126
_OTHER_WAYS = (
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_TLS",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
)
"""What would have docker's client ask somebody else, or in another way."""


def environment(host: Host, given: Mapping[str, str], programs: Path) -> dict[str, str]:
    """For a command on a host: ``docker`` and ``swarmctl`` talk to its swarmd, and ``swarmctl`` is found."""
    result = {name: value for name, value in given.items() if name not in _OTHER_WAYS}
    result |= {"DOCKER_HOST": host.socket, "SWARM_HOST": host.socket, "HOSTNAME": host.hostname}
    path = given.get("PATH", os.defpath)
    if (programs / "swarmctl").is_file() and str(programs) not in path.split(os.pathsep):
        result["PATH"] = f"{programs}{os.pathsep}{path}"
    return result


def enter(host: Host, command: Sequence[str]) -> int:
    """Becomes the command: its input, output, terminal, signals and exit code are this process's own.

    Returns an exit code only when the command cannot be run, after it has said why, as a shell does.

    Raises:
        UnavailableError: the host is off.
    """
    _visit(host)
    settings = environment(host, os.environ, Path(sys.executable).parent)
    program = shutil.which(command[0], path=settings.get("PATH"))
    if program is None:
        return _refuse(command[0], "not found", NOT_FOUND_STATUS)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, [*command], settings)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        return _refuse(command[0], str(error.strerror), NOT_EXECUTABLE_STATUS)


def _refuse(program: str, reason: str, status: int) -> int:
    sys.stderr.write(f"swarmctl: {program}: {reason}\n")
    return status


def _visit(host: Host) -> None:
    """Enters the host's network, and a namespace for its name. The file systems stay: /sys/fs/cgroup is visible."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(host.namespace, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnavailableError(
            f"{host.hostname} is off", hint=f"swarmctl lab start {host.hostname}"
        ) from None
    try:
        _check(libc.setns(descriptor, CLONE_NEWNET), "setns")
    finally:
        os.close(descriptor)
    _check(libc.unshare(CLONE_NEWUTS), "unshare")
    name = host.hostname.encode()
    _check(libc.sethostname(name, ctypes.c_size_t(len(name))), "sethostname")


def _check(result: int, call: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
