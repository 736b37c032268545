"""What a handler returns that has answered already, over a connection that it took for itself."""

from aiohttp import web
from typing_extensions import override


class Spoken(web.StreamResponse):
    """An answer that has been given."""

    @override
    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        return None
