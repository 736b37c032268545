"""Which file a command means, and what to say when it means none: in the words of Docker's runtime."""

import errno
import os
import stat

from worker.runtime.refusal import INVALID, Refusal

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FOUND_CODE = 127
NOT_EXECUTABLE_CODE = 126


def environment(env: list[str], home: str) -> dict[str, str]:
    """The variables, with PATH and HOME when nobody set them."""
    variables = {}
    for item in env:
        name, _, value = item.partition("=")
        if name:
            variables[name] = value
    variables.setdefault("PATH", DEFAULT_PATH)
    variables.setdefault("HOME", home)
    return variables


def find_program(name: str, path: str) -> str:
    """Looks a command up as the shell does, with the rights that this process has now.

    Raises:
        Refusal: there is no such program, or it cannot be executed.
    """
    if "/" in name:
        _check_executable(name, name)
        return name
    denied = False
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_executable(name, candidate)
        except Refusal as refusal:
            denied = denied or refusal.message.endswith("permission denied")
        else:
            return candidate
    if denied:
        raise Refusal(INVALID, f'exec: "{name}": permission denied')
    raise Refusal(INVALID, f'exec: "{name}": executable file not found in $PATH')


def _check_executable(name: str, path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        reason = _lower(error)
        raise Refusal(INVALID, f'exec: "{name}": stat {path}: {reason}') from error
    if stat.S_ISDIR(mode):
        raise Refusal(INVALID, f'exec: "{name}": is a directory')
    if not os.access(path, os.X_OK, effective_ids=True):
        raise Refusal(INVALID, f'exec: "{name}": permission denied')


def exec_refusal(name: str, error: OSError) -> Refusal:
    """What to say when the kernel did not execute a program that is there."""
    if error.errno == errno.ENOENT:  # The program is there, so it is its interpreter that is not.
        return Refusal(INVALID, f"exec {name}: no such file or directory")
    return Refusal(INVALID, f"exec {name}: {_lower(error)}")


def failure_code(message: str) -> int:
    """The exit code that a shell and Docker give for such a refusal."""
    missing = ("executable file not found in $PATH", "no such file or directory")
    return NOT_FOUND_CODE if message.endswith(missing) else NOT_EXECUTABLE_CODE


def _lower(error: OSError) -> str:
    text = os.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]
