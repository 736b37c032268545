"""One process as /proc tells of it."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND_CHARACTERS_MAX = 4096
_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One process, as /proc has it."""

    pid: int
    uid: int
    user: str
    gid: int
    parent: int
    group: int
    session: int
    terminal: int
    """The device's number; 0 is none."""
    foreground_group: int
    state: str
    nice: int
    threads: int
    processor_seconds: float
    started_at: float
    """Wall clock."""
    virtual_bytes: int
    resident_bytes: int
    locked_bytes: int
    command: str
    name: str


def booted_at(stat: str) -> float:
    """When the machine came up, out of /proc/stat; wall clock."""
    line = next((line for line in stat.splitlines() if line.startswith("btime ")), "btime 0")
    return float(line.split()[1])


def read_entry(directory: Path, booted_at: float) -> Entry | None:
    """One process out of its directory in /proc; None once it has ended."""
    try:
        stat = (directory / "stat").read_text(errors="replace")
        status = (directory / "status").read_text(errors="replace")
        command = (directory / "cmdline").read_bytes()[:COMMAND_CHARACTERS_MAX]
    except OSError:
        return None
    return parse_entry(stat, status, command, booted_at=booted_at)


def parse_entry(stat: str, status: str, command: bytes, *, booted_at: float) -> Entry:
    """One process out of its files ``stat``, ``status`` and ``cmdline``; its name may hold anything."""
    ticks = os.sysconf("SC_CLK_TCK")
    left, _, right = stat.rpartition(")")
    pid, _, name = left.partition(" (")
    fields = right.split()
    kept = keyed(status)
    return Entry(
        pid=int(pid),
        uid=kept.get("Uid", 0),
        user=_user_name(kept.get("Uid", 0)),
        gid=kept.get("Gid", 0),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        terminal=int(fields[4]),
        foreground_group=int(fields[5]),
        state=fields[0],
        nice=int(fields[16]),
        threads=int(fields[17]),
        processor_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        started_at=booted_at + int(fields[19]) / ticks,
        virtual_bytes=int(fields[20]),
        resident_bytes=kept.get("VmRSS", 0) * _KIB,
        locked_bytes=kept.get("VmLck", 0) * _KIB,
        command=_printable(command.rstrip(b"\0").replace(b"\0", b" ")),
        name=_printable(name.encode()),
    )


def keyed(text: str) -> Mapping[str, int]:
    """The number of lines as "Uid: 0 0 0 0" and "VmRSS: 12 kB": of ids, the effective one."""
    found = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        numbers = [word for word in rest.split() if word.isdigit()]
        if numbers:
            found[key] = int(numbers[1] if key in ("Uid", "Gid") else numbers[0])
    return found


def _printable(text: bytes) -> str:
    decoded = text.decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in decoded)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
