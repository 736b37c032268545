"""The table of a container's processes (``docker top``), as ``ps`` on the host would print it.

It is made out of /proc: no ``ps`` is needed, neither in the image nor on the host. ``look`` reads (``process_entry``);
``columns_of`` and ``table_of`` are pure.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.containers.process_columns import Column, Machine, columns_of
from worker.containers.process_entry import Entry, booted_at, keyed, read_entry

PROC = Path("/proc")
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTable:
    """Titles and a row per process."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


def table_of(
    columns: Sequence[Column], entries: Collection[Entry], machine: Machine
) -> ProcessTable:
    """Puts a table together, by pid."""
    rows = sorted(entries, key=lambda entry: entry.pid)
    return ProcessTable(
        titles=tuple(column.title for column in columns),
        processes=tuple(tuple(column.text(row, machine) for column in columns) for row in rows),
    )


def look(pids: Collection[int], arguments: str, *, now: float, proc: Path = PROC) -> ProcessTable:
    """The table of processes that there are; one that has ended meanwhile is left out.

    Args:
        pids: on the host.
        arguments: as of ps.
        now: wall clock.
        proc: where the kernel tells of processes.

    Raises:
        InvalidInputError: the arguments are not understood.
    """
    columns = columns_of(arguments)
    booted = booted_at((proc / "stat").read_text())
    found = [entry for pid in pids if (entry := read_entry(proc / str(pid), booted)) is not None]
    memory = keyed((proc / "meminfo").read_text()).get("MemTotal", 0) * _KIB
    return table_of(columns, found, Machine(now=now, memory_bytes=memory))
