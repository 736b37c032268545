"""Runs seccomp filters as the kernel does: an interpreter of classic BPF."""

import operator
import struct
from collections.abc import Callable

LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
CONDITIONS: dict[int, Callable[[int, int], bool]] = {
    0x15: operator.eq,
    0x25: operator.gt,
    0x35: operator.ge,
    0x45: lambda accumulator, value: bool(accumulator & value),
}


def answer(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What a filter says to a system call."""
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *six)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = place = 0
    while True:
        operation, when_true, when_false, value = code[place]
        place += 1
        if operation == LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == RETURN:
            return int(value)
        elif operation == JUMP:
            place += value
        elif operation == AND:
            accumulator &= value
        else:
            place += when_true if CONDITIONS[operation](accumulator, value) else when_false
