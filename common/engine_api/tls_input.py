"""Reads what a client sends over TLS without having the connection closed because the client has no more to say.

asyncio and uvloop answer the end of a client's input with their own end, and there is no way to have them wait. But
they look for it only while their protocol reads. So the protocol is paused for good, what has come is taken out of the
TLS object here, and when something comes is told by a second descriptor of the same socket.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from typing import Any, Final

READ_BYTES: Final = 64 * 1024
HELD_BYTES_MAX: Final = 256 * 1024
"""Of encrypted input that the transport holds before it lets the rest wait at the client."""


class TlsInput:
    """The input of one connection."""

    def __init__(
        self,
        transport: asyncio.Transport,
        take: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        """``take`` is given each piece; ``ended`` is called once, when the client has no more to say."""
        self._transport: Any = transport
        self._take, self._ended = take, ended
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        self._fd = os.dup(transport.get_extra_info("socket").fileno())
        self._is_reading = self._is_due = self._is_over = False
        transport.pause_reading()

    def resume(self) -> None:
        """Reads, from now on."""
        if self._is_over or self._is_reading:
            return
        self._is_reading = True
        self._loop.add_reader(self._fd, self._look_soon)
        self._look_soon()

    def pause(self) -> None:
        """Lets what comes wait; may be called by ``take``."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def stop(self) -> None:
        """Reads no more."""
        if not self._is_over:
            self.pause()
            self._is_over = True
            os.close(self._fd)

    def drained(self) -> None:
        """Takes what has come before the connection's end: there will be no more."""
        if self._is_reading:
            self._look()
        if self._is_reading:  # it has ended without a word
            self._end()

    def _look_soon(self) -> None:
        """In the next turn of the loop: in this one the transport itself takes what has come."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_due = False
        while self._is_reading:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                data = b""
            if not data:
                self._end()
                return
            self._take(data)
        if not self._is_over:  # has the transport go on if it held too much
            self._transport.set_read_buffer_limits(high=HELD_BYTES_MAX)

    def _end(self) -> None:
        self.stop()
        self._ended()
