import os
import pty
import termios
from collections.abc import Iterator

import pytest

from cli.swarmctl import terminal


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the window's and the program's."""
    window, program = pty.openpty()
    try:
        yield window, program
    finally:
        for descriptor in (window, program):
            try:
                os.close(descriptor)
            except OSError:
                continue  # the test has closed it


def test_raw_bytes_pass_and_the_mode_is_restored(ends: tuple[int, int]) -> None:
    window, program = ends
    before = termios.tcgetattr(program)
    with terminal.raw(program):
        os.write(window, b"\x03\x11\r")
        assert os.read(program, 10) == b"\x03\x11\r"
        os.write(program, b"\n")
        assert os.read(window, 10) == b"\n"
    assert termios.tcgetattr(program) == before


def test_the_mode_is_restored_after_an_error(ends: tuple[int, int]) -> None:
    before = termios.tcgetattr(ends[1])
    with pytest.raises(ZeroDivisionError), terminal.raw(ends[1]):
        raise ZeroDivisionError
    assert termios.tcgetattr(ends[1]) == before


def test_nothing_that_was_typed_ahead_is_lost(ends: tuple[int, int]) -> None:
    os.write(ends[0], b"ahead\n")
    with terminal.raw(ends[1]):
        assert os.read(ends[1], 10) == b"ahead\n"


def test_a_window_that_was_closed_is_no_error(ends: tuple[int, int]) -> None:
    with terminal.raw(ends[1]):
        os.close(ends[0])


def test_its_size(ends: tuple[int, int]) -> None:
    assert terminal.size(ends[1]) is None
    termios.tcsetwinsize(ends[1], (24, 80))
    assert terminal.size(ends[1]) == (24, 80)


def test_a_pipe_has_no_size() -> None:
    read, write = os.pipe()
    assert terminal.size(read) is None
    os.close(read)
    os.close(write)
