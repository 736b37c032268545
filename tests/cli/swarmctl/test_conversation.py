"""A conversation with a process, over a pair of sockets."""

import os
import pty
import signal
import socket
import termios
import threading
from collections.abc import Callable, Iterator

import pytest

from cli.swarmctl.caught_signals import SignalledError
from cli.swarmctl.conversation import End, Manner, converse, prepared
from cli.swarmctl.log_stream import StreamError
from common.engine_client import LostConnectionError
from common.engine_duplex import Duplex

MEGABYTE = 1024 * 1024


class FakeFar:
    def __init__(self, *, refuses: int = 0) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.signals: list[str] = []
        self.refusals = refuses
        self.on_signal: Callable[[], None] = lambda: None

    def resize(self, rows: int, columns: int) -> bool:
        self.sizes.append((rows, columns))
        self.refusals -= 1
        return self.refusals < 0

    def kill(self, name: str) -> bool:
        self.signals.append(name)
        self.on_signal()
        return True


@pytest.fixture
def ends() -> Iterator[tuple[Duplex, socket.socket]]:
    """Our end of a connection, and swarmd's."""
    ours, far = socket.socketpair()
    duplex = Duplex(ours)
    yield duplex, far
    duplex.close()
    far.close()


def frame(channel: int, payload: bytes) -> bytes:
    return bytes([channel, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def in_thread(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_output_goes_where_it_belongs(
    ends: tuple[Duplex, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    duplex, far = ends
    far.sendall(frame(1, b"out\n") + frame(2, b"err\n") + frame(1, b"more"))
    far.close()
    assert converse(duplex, Manner(tty=False), FakeFar()) is End.ENDED
    assert capfdbinary.readouterr() == (b"out\nmore", b"err\n")


def test_a_terminals_output_is_as_it_comes(
    ends: tuple[Duplex, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    duplex, far = ends
    far.sendall(b"\x01\x00\x00raw")
    far.close()
    assert converse(duplex, Manner(tty=True), FakeFar()) is End.ENDED
    assert capfdbinary.readouterr().out == b"\x01\x00\x00raw"


def test_more_input_than_any_buffer_holds_arrives_whole_and_its_end_is_told(
    ends: tuple[Duplex, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    duplex, far = ends
    read, write = os.pipe()
    sent = os.urandom(3 * MEGABYTE)
    got = bytearray()

    def feed() -> None:
        with os.fdopen(write, "wb") as file:
            file.write(sent)

    def echo() -> None:
        while chunk := far.recv(MEGABYTE):
            got.extend(chunk)
        far.sendall(frame(1, b"%d" % len(got)))
        far.close()

    threads = [in_thread(feed), in_thread(echo)]
    assert converse(duplex, Manner(tty=False, stdin=read), FakeFar()) is End.ENDED
    for thread in threads:
        thread.join()
    os.close(read)
    assert bytes(got) == sent
    assert capfdbinary.readouterr().out == b"%d" % len(sent)


def test_it_ends_with_the_process_though_there_is_more_to_type(
    ends: tuple[Duplex, socket.socket],
) -> None:
    duplex, far = ends
    read, write = os.pipe()
    far.close()
    assert converse(duplex, Manner(tty=False, stdin=read), FakeFar()) is End.ENDED
    os.close(read)
    os.close(write)


def test_a_process_that_reads_no_more_may_still_write(
    ends: tuple[Duplex, socket.socket], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    duplex, far = ends
    read, write = os.pipe()
    os.write(write, b"unheard")
    os.close(write)
    far.shutdown(socket.SHUT_RD)
    far.sendall(frame(1, b"said"))
    far.close()
    assert converse(duplex, Manner(tty=False, stdin=read), FakeFar()) is End.ENDED
    os.close(read)
    assert capfdbinary.readouterr().out == b"said"


def test_a_stream_that_is_cut_off_says_so(ends: tuple[Duplex, socket.socket]) -> None:
    duplex, far = ends
    far.sendall(frame(1, b"whole")[:10])
    far.close()
    with pytest.raises(StreamError, match="in the middle"):
        converse(duplex, Manner(tty=False), FakeFar())


def test_a_connection_that_breaks_is_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    linger = b"\x01\0\0\0\0\0\0\0"
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    far.close()  # a reset
    duplex = Duplex(ours)
    with pytest.raises(LostConnectionError, match="broke"):
        converse(duplex, Manner(tty=True), FakeFar())
    duplex.close()


def test_the_keys_detach_on_a_terminal_only(ends: tuple[Duplex, socket.socket]) -> None:
    duplex, far = ends
    window, program = pty.openpty()
    manner = Manner(tty=True, stdin=program, keys=b"\x10\x11")
    with prepared(manner):
        os.write(window, b"ls\x10\x11")
        assert converse(duplex, manner, FakeFar()) is End.DETACHED
    assert far.recv(10) == b"ls"
    os.close(window)
    os.close(program)


def test_piped_input_may_hold_the_keys(ends: tuple[Duplex, socket.socket]) -> None:
    duplex, far = ends
    read, write = os.pipe()
    os.write(write, b"ls\x10\x11")
    os.close(write)

    def answer() -> None:
        while far.recv(10):
            pass
        far.close()

    thread = in_thread(answer)
    manner = Manner(tty=False, stdin=read, keys=b"\x10\x11")
    assert converse(duplex, manner, FakeFar()) is End.ENDED
    thread.join()
    os.close(read)


def test_signals_are_sent_on_but_the_third_interrupt_ends_us(
    ends: tuple[Duplex, socket.socket],
) -> None:
    duplex, _ = ends
    far = FakeFar()

    def again() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    far.on_signal = again
    before = signal.getsignal(signal.SIGINT)
    started = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    started.start()
    with pytest.raises(SignalledError) as raised:
        converse(duplex, Manner(tty=False, sig_proxy=True), far)
    assert (far.signals, raised.value.exit_code) == (["USR1", "INT", "INT"], 130)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_ends_us_on_a_terminal_that_is_in_order_again(
    ends: tuple[Duplex, socket.socket],
) -> None:
    duplex, _ = ends
    window, program = pty.openpty()
    before = termios.tcgetattr(program)
    manner = Manner(tty=True, stdin=program)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(SignalledError) as raised, prepared(manner):
        converse(duplex, manner, FakeFar())
    assert raised.value.exit_code == 143
    assert termios.tcgetattr(program) == before
    os.close(window)
    os.close(program)


def test_its_size_is_told_again_until_it_is_taken(
    ends: tuple[Duplex, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.swarmctl.conversation._size", lambda: (24, 80))
    monkeypatch.setattr("cli.swarmctl.conversation.RESIZE_PAUSE_SECONDS", 0.001)
    duplex, far = ends
    process = FakeFar(refuses=2)
    taken = threading.Timer(0.2, far.close)
    taken.start()
    converse(duplex, Manner(tty=True), process)
    assert process.sizes == [(24, 80)] * 3
