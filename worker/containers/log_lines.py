"""What readers of a container's log ask for and get."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which lines. ``tail`` -1 is all; ``since`` and ``until`` 0.0 are unbounded."""

    stdout: bool = True
    stderr: bool = True
    since: float = 0.0
    until: float = 0.0
    tail: int = -1
    follow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line that a container wrote, its newline included when it had one."""

    stream: str
    """"stdout" or "stderr"."""
    at: float
    data: bytes
