"""Reads a container's entries back from the journal of systemd, by its own program."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Callable
from typing import Final

from common.errors import SystemFailureError
from worker.containers.log_lines import LogQuery, LogRecord

LINE_BYTES_MAX: Final = 1024 * 1024
"""A longer entry is skipped."""
_MICROSECONDS: Final = 10**6
_NANOSECONDS: Final = 10**9
STDOUT_PRIORITY: Final = "6"
STDERR_PRIORITY: Final = "3"
LOOK_SECONDS: Final = 0.5
"""Without a line, after which one who follows looks whether the container has ended."""


def journal_command(container_id: str, query: LogQuery, program: str = "journalctl") -> list[str]:
    """The command that prints what a query asks for, an object of JSON for each entry."""
    command = [program, "--quiet", "--output=json", "--all", "--no-pager"]
    if query.since:
        command.append(f"--since=@{query.since:.6f}")
    if query.until:
        command.append(f"--until=@{query.until:.6f}")
    if query.tail >= 0:
        command.append(f"--lines={query.tail}")
    elif query.follow:
        command.append("--lines=all")
    if query.follow:
        command.append("--follow")
    if not (query.stdout and query.stderr):
        command.append(f"PRIORITY={STDERR_PRIORITY if query.stderr else STDOUT_PRIORITY}")
    return [*command, f"CONTAINER_ID_FULL={container_id}"]


def record_of(line: bytes) -> LogRecord | None:
    """One line of the program's output, or None when it is none of a container's."""
    try:
        entry = json.loads(line)
        message = entry["MESSAGE"]
        data = bytes(message) if isinstance(message, list) else str(message).encode()
        at = entry.get("SYSLOG_TIMESTAMP")
        when = int(at) / _NANOSECONDS if at else int(entry["__REALTIME_TIMESTAMP"]) / _MICROSECONDS
    except (ValueError, KeyError, TypeError):
        return None
    is_error = entry.get("PRIORITY") == STDERR_PRIORITY
    ending = b"" if entry.get("CONTAINER_PARTIAL_MESSAGE") == "true" else b"\n"
    return LogRecord(stream="stderr" if is_error else "stdout", at=when, data=data + ending)


async def read_journal(
    container_id: str,
    query: LogQuery,
    *,
    has_ended: Callable[[], bool],
    program: str = "journalctl",
) -> AsyncGenerator[LogRecord, None]:
    """Yields the entries that a query asks for, oldest first; with ``follow`` until the container has ended.

    Raises:
        SystemFailureError: the program is not there.
    """
    command = journal_command(container_id, query, program)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, limit=LINE_BYTES_MAX
        )
    except OSError as error:
        raise SystemFailureError(f"cannot read the journal: {command[0]}: {error}") from error
    assert process.stdout is not None, "it was asked for"  # noqa: S101 - our own mistake
    try:
        async for line in _lines(process.stdout, has_ended):
            record = record_of(line)
            if record is not None:
                yield record
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _lines(
    reader: asyncio.StreamReader, has_ended: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """Lines to the end; of one who follows to the end of the container, and a look more."""
    was_over = False
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                line = await reader.readline()
        except TimeoutError:
            if was_over:
                return
            was_over = has_ended()
        except ValueError:  # too long: it was thrown away
            continue
        else:
            if not line:
                return
            yield line
