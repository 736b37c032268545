"""Reading a container's log: the tail without reading all of it, and what is yet to come."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import IO

from common.clock import Clock
from worker.containers.log_files import (
    BLOCK_BYTES,
    LineSplitter,
    close_all,
    lines_backwards,
    newer_files,
    open_log,
    parser_of,
    wants,
    was_rotated,
)
from worker.containers.log_lines import LogQuery, LogRecord
from worker.runtime.bundle import LogOptions

POLL_SECONDS_MIN = 0.05
POLL_SECONDS_MAX = 0.5
"""How often a follower looks for more: it slows down while nothing comes."""
LINES_AT_A_TIME = 1000
"""Lines looked at backwards before the loop gets its turn."""


class LogReader:
    """One reader of one log."""

    def __init__(
        self, options: LogOptions, query: LogQuery, clock: Clock, *, has_ended: Callable[[], bool]
    ) -> None:
        self._path, self._query, self._clock = options.path, query, clock
        self._parse = parser_of(options.driver)
        self._has_ended = has_ended

    async def read(self) -> AsyncGenerator[LogRecord, None]:
        """Yields the records that the query asks for, oldest first."""
        files = open_log(self._path)
        try:
            if self._query.tail >= 0:
                files = await self._skip_to_tail(files)
            async for record in self._forwards(files):
                yield record
        finally:
            close_all(files)

    async def _skip_to_tail(self, files: list[IO[bytes]]) -> list[IO[bytes]]:
        """Positions the files at the last ``tail`` wanted records; files before those are closed."""
        left, looked_at = self._query.tail, 0
        for place in range(len(files) - 1, -1, -1):
            file = files[place]
            start = file.seek(0, 2) if left <= 0 else 0
            for offset, line in lines_backwards(file) if left > 0 else ():
                looked_at += 1
                if looked_at % LINES_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                record = self._parse(line)
                if record is not None and wants(self._query, record):
                    left -= 1
                    if left == 0:
                        start = offset
                        break
            file.seek(start)
            if left <= 0:
                close_all(files[:place])
                return files[place:]
        return files

    async def _forwards(self, files: list[IO[bytes]]) -> AsyncGenerator[LogRecord, None]:
        wait = POLL_SECONDS_MIN
        splitter = LineSplitter()
        while True:
            is_last_round = not self._query.follow or self._has_ended() or self._is_past_until()
            while (block := self._next_block(files, splitter)) is not None:
                wait = POLL_SECONDS_MIN
                for line in splitter.split(block):
                    record = self._parse(line)
                    if record is not None and wants(self._query, record):
                        yield record
                await asyncio.sleep(0)
            if is_last_round:
                return
            await self._clock.sleep(wait)
            wait = min(wait * 2, POLL_SECONDS_MAX)
            if not files:
                files += open_log(self._path)

    def _next_block(self, files: list[IO[bytes]], splitter: LineSplitter) -> bytes | None:
        while files:
            block = files[0].read(BLOCK_BYTES)
            if block:
                return block
            if not self._go_on(files, splitter):
                break
        return None

    def _go_on(self, files: list[IO[bytes]], splitter: LineSplitter) -> bool:
        """At the end of a file: goes to the next one, if there is one."""
        current = files[0]
        if len(files) == 1:
            if current.tell() > current.seek(0, 2):  # it was truncated
                current.seek(0)
                return True
            if not was_rotated(self._path, current):
                return False
            rest = current.read(BLOCK_BYTES)  # written between our last read and the rotation
            if rest:
                current.seek(-len(rest), 1)
                return True
            files += newer_files(self._path, current)
        if len(files) == 1:
            return False
        files.pop(0).close()
        splitter.rest = b""
        return True

    def _is_past_until(self) -> bool:
        return bool(self._query.until) and self._clock.now() > self._query.until
