"""The terminal of the user: raw while a container has it, as before afterwards, and its size."""

import fcntl
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_SIZE = struct.Struct("HHHH")


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Keys reach the container as they are typed, ctrl-C too; afterwards the terminal is as it was.

    Nothing that is typed ahead is lost.
    """
    before = termios.tcgetattr(descriptor)
    termios.tcsetattr(descriptor, termios.TCSANOW, _raw_mode(before))
    try:
        yield
    finally:
        _restore(descriptor, before)


def _restore(descriptor: int, mode: list[Any]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, mode)
    except termios.error:
        return  # the terminal is gone: its window was closed


def _raw_mode(mode: list[Any]) -> list[Any]:
    """As ``cfmakeraw`` of the C library."""
    made = [*mode[:_CC], list(mode[_CC])]
    made[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    made[_OFLAG] &= ~termios.OPOST
    made[_LFLAG] &= ~(
        termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
    )
    made[_CFLAG] = made[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    made[_CC][termios.VMIN], made[_CC][termios.VTIME] = 1, 0
    return made


def size(descriptor: int) -> tuple[int, int] | None:
    """Rows and columns; None where there is no terminal, or one that does not know."""
    try:
        packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(_SIZE.size))
    except OSError:
        return None
    rows, columns, _, _ = _SIZE.unpack(packed)
    return (rows, columns) if rows and columns else None
