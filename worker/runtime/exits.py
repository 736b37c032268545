"""Exit records: one small file per container that has ended, whole or not there."""

import os

from worker.kernel.cgroupfs import read_text

EXITS = "exits"
LOST_CODE = 137
"""For a container whose end nobody saw: it was killed with its supervisor."""


def exit_path(exec_root: str, container_id: str) -> str:
    """Where a container's exit record lies."""
    return f"{exec_root}/{EXITS}/{container_id}"


def write_exit(
    exec_root: str, container_id: str, *, code: int, oom_killed: bool, at_ns: int
) -> None:
    """Writes a record so that a reader finds all of it or nothing."""
    path = exit_path(exec_root, container_id)
    seconds, rest = divmod(at_ns, 1_000_000_000)
    text = f"{code} {int(oom_killed)} {seconds}.{rest:09d}\n"
    temporary = f"{exec_root}/{EXITS}/.{container_id}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
    os.rename(temporary, path)


def read_exit(exec_root: str, container_id: str) -> tuple[int, bool, float] | None:
    """Code, whether for want of memory, and when; None while there is no record."""
    try:
        text = read_text(exit_path(exec_root, container_id))
    except FileNotFoundError:
        return None
    code, oom_killed, at = text.split()
    return int(code), oom_killed == "1", float(at)


def forget_exit(exec_root: str, container_id: str) -> None:
    """Removes a record, if there is one."""
    try:
        os.unlink(exit_path(exec_root, container_id))
    except FileNotFoundError:
        return
