"""Tells when something of our nftables table was deleted by somebody else: a reload of the host's firewall, for one."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Collection

from worker.kernel.netfilter import TABLE
from worker.kernel.netlink_socket import (
    NETLINK_NETFILTER,
    SOL_NETLINK,
    Received,
    attributes,
    messages,
)

BUFFER_BYTES = 1 << 20
"""For news that come faster than we read them. More than fits counts as a loss."""
READ_MAX = 1000
"""Receptions taken together before the loss is told."""
_SO_RCVBUFFORCE = 33
_ADD_MEMBERSHIP = 1
_GROUP_OF_RULES = 7
_SUBSYSTEM = 10
_TABLE, _CHAIN, _RULE, _SET, _ELEMENT = 2, 5, 8, 11, 14
_DELETED = frozenset((_SUBSYSTEM << 8) | kind for kind in (_TABLE, _CHAIN, _RULE, _SET, _ELEMENT))
_GENERIC_BYTES = 4
_NAME = 1
"""The attribute that names the table, whatever was deleted."""
_RECEIVE_BYTES = 65536


async def table_losses(own_ports: Collection[int]) -> AsyncIterator[None]:
    """Yields at once when it listens, then whenever something of our table may be gone.

    Args:
        own_ports: of the netlink sockets by which we ourselves change it: those deletions are meant.
    """
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as kernel:
        kernel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        kernel.bind((0, 0))
        kernel.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_OF_RULES)
        yield
        while True:
            await _readable(loop, kernel)
            if _read(kernel, own_ports):
                yield


def _read(kernel: socket.socket, own_ports: Collection[int]) -> bool:
    """Whether what has come by now tells of a loss."""
    lost = False
    for _ in range(READ_MAX):
        try:
            news = kernel.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            lost = True  # More happened than fits: our table may be part of it.
        else:
            lost = lost or any(is_loss(message, own_ports) for message in messages(news))
    return lost


async def _readable(loop: asyncio.AbstractEventLoop, kernel: socket.socket) -> None:
    came = asyncio.Event()
    loop.add_reader(kernel, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(kernel)


def is_loss(message: Received, own_ports: Collection[int]) -> bool:
    """Whether the kernel tells that something of our table was deleted, and not by us."""
    if message.type not in _DELETED or message.port in own_ports:
        return False
    name = attributes(message.body, _GENERIC_BYTES).get(_NAME, b"")
    return f"inet {name.rstrip(bytes(1)).decode(errors='replace')}" == TABLE
