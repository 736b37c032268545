"""This node's own API, for connections that come from within swarmd."""

import asyncio
import socket

from aiohttp import web

from common.errors import UnavailableError

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LocalApi:
    """Connects to it, while it is served."""

    def __init__(self) -> None:
        self.server: web.Server | None = None
        """What serves each connection; None: not yet, or no more."""

    async def connect(self) -> Connection:
        """A connection as of a client on the socket.

        Raises:
            UnavailableError: the API is not served.
        """
        if self.server is None:
            raise UnavailableError("the API of this node does not answer yet")
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)  # noqa: FBT003 - the signature is Python's
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self.server, theirs)
            return await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise
