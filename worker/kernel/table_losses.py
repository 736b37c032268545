"""Tells when our nftables table was deleted: a reload of the host's firewall flushes everybody's rules."""

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator

from worker.kernel.netfilter import TABLE
from worker.kernel.netlink_socket import attributes, messages

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_GROUP_OF_RULES = 7
_TABLE_DELETED = (10 << 8) | 2
_GENERIC = struct.Struct("=BBH")
_NAME = 1
_RECEIVE_BYTES = 65536


async def table_losses() -> AsyncIterator[None]:
    """Yields at once when it listens, then whenever our table may have been deleted, by whomever."""
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER) as kernel:
        kernel.bind((0, 0))
        kernel.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_OF_RULES)
        yield
        while True:
            try:
                news = await loop.sock_recv(kernel, _RECEIVE_BYTES)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield  # More happened than fits: our table may be part of it.
                continue
            if any(map(_is_our_loss, messages(news))):
                yield


def _is_our_loss(message: tuple[int, bytes]) -> bool:
    kind, body = message
    name = attributes(body, _GENERIC.size).get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
    return kind == _TABLE_DELETED and f"inet {name}" == TABLE
