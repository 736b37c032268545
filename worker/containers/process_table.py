"""The table of a container's processes (``docker top``), as ``ps`` on the host would print it.

It is made out of /proc: no ``ps`` is needed, neither in the image nor on the host. ``columns_of`` and ``table_of`` are
pure; ``look`` reads.
"""

import os
import pwd
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import localtime, strftime

from common.errors import InvalidInputError

NAME_CHARACTERS_MAX = 8
"""ps cuts longer names of users."""
COMMAND_CHARACTERS_MAX = 4096
PROC = Path("/proc")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024
_PERCENT = 100
_PERCENT_MAX = 99
_PSEUDO_TERMINALS = range(136, 144)
_CONSOLES = 4
_VIRTUAL_CONSOLES = 64


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What shares and times are reckoned with."""

    now: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTable:
    """Titles and a row per process."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the table."""

    title: str
    text: Callable[[Entry, Machine], str]


# -- what is asked for -----------------------------------------------------------------------------


def columns_of(arguments: str) -> tuple[Column, ...]:
    """The columns that arguments of ps ask for: "-ef" (also ""), "aux", or "-o pid,comm,…".

    Raises:
        InvalidInputError: other arguments, an unknown column, or none of the pid.
    """
    words = arguments.split()
    joined = "".join(word.removeprefix("-") for word in words)
    if set(joined) <= set("Aef"):
        return _FULL
    if "u" in joined and set(joined) <= set("aux"):
        return _USER
    columns = tuple(_column(name) for name in _asked_for(words))
    if not columns:
        raise InvalidInputError(
            f"ps arguments {arguments!r} are not available", hint="-ef, aux or -o pid,comm,…"
        )
    if not any(column.text is _pid for column in columns):
        raise InvalidInputError("Couldn't find PID field in ps output")
    return columns


def _asked_for(words: Sequence[str]) -> list[str]:
    """Names after each ``-o``; none when there is anything else."""
    names: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flags, sign, value = word.partition("o")
        if not sign or flags.strip("-Ae"):
            return []
        if not value:
            value = rest.pop(0) if rest else ""
        names += [name for name in value.split(",") if name]
    return names


def _column(asked: str) -> Column:
    name, sign, title = asked.partition("=")
    known = _BY_NAME.get(name.lower())
    if known is None:
        raise InvalidInputError(f"ps: unknown user-defined format specifier {name!r}")
    return Column(title=title, text=known.text) if sign else known


# -- cells -----------------------------------------------------------------------------------------


def _pid(entry: Entry, _: Machine) -> str:
    return str(entry.pid)


def _user(entry: Entry, _: Machine) -> str:
    if len(entry.user) <= NAME_CHARACTERS_MAX:
        return entry.user
    return entry.user[: NAME_CHARACTERS_MAX - 1] + "+"


def _terminal(entry: Entry, _: Machine) -> str:
    major, minor = os.major(entry.terminal), os.minor(entry.terminal)
    if major in _PSEUDO_TERMINALS:
        return f"pts/{minor + (major - _PSEUDO_TERMINALS.start) * 256}"
    if major == _CONSOLES and minor < _VIRTUAL_CONSOLES:
        return f"tty{minor}"
    return "?"


def _seconds_old(entry: Entry, machine: Machine) -> float:
    return max(machine.now - entry.started_at, 0.01)


def _processor_share(entry: Entry, machine: Machine) -> str:
    return f"{entry.processor_seconds / _seconds_old(entry, machine) * _PERCENT:.1f}"


def _whole_processor_share(entry: Entry, machine: Machine) -> str:
    return str(min(int(float(_processor_share(entry, machine))), _PERCENT_MAX))


def _memory_share(entry: Entry, machine: Machine) -> str:
    return f"{entry.resident_bytes / max(machine.memory_bytes, 1) * _PERCENT:.1f}"


def _start(entry: Entry, machine: Machine) -> str:
    pattern = "%H:%M" if machine.now - entry.started_at < _DAY else "%b%d"
    return strftime(pattern, localtime(entry.started_at))


def _hours(seconds: float) -> str:
    whole = int(seconds)
    days = f"{whole // _DAY}-" if whole >= _DAY else ""
    return f"{days}{whole // _HOUR % 24:02}:{whole // _MINUTE % 60:02}:{whole % 60:02}"


def _time(entry: Entry, _: Machine) -> str:
    return _hours(entry.processor_seconds)


def _minutes(entry: Entry, _: Machine) -> str:
    seconds = int(entry.processor_seconds)
    return f"{seconds // _MINUTE}:{seconds % _MINUTE:02}"


def _elapsed(entry: Entry, machine: Machine) -> str:
    seconds = machine.now - entry.started_at
    return _hours(seconds) if seconds >= _HOUR else _hours(seconds)[3:]


def _state(entry: Entry, _: Machine) -> str:
    """The state and what goes with it, by the letters of ps."""
    priority = "<" if entry.nice < 0 else "N" if entry.nice > 0 else ""
    return "".join(
        (
            entry.state,
            priority,
            "L" if entry.locked_bytes else "",
            "s" if entry.session == entry.pid else "",
            "l" if entry.threads > 1 else "",
            "+" if entry.foreground_group == entry.group else "",
        )
    )


def _command(entry: Entry, _: Machine) -> str:
    return entry.command or f"[{entry.name}]"


def _cell(title: str, value: Callable[[Entry], object]) -> Column:
    return Column(title=title, text=lambda entry, _: str(value(entry)))


_PID = Column(title="PID", text=_pid)
_USER_NAME = Column(title="USER", text=_user)
_COMMAND = Column(title="COMMAND", text=_command)
_PARENT = _cell("PPID", lambda entry: entry.parent)
_TTY = Column(title="TTY", text=_terminal)
_TIME = Column(title="TIME", text=_time)
_VSZ = _cell("VSZ", lambda entry: entry.virtual_bytes // _KIB)
_RSS = _cell("RSS", lambda entry: entry.resident_bytes // _KIB)
_STAT = Column(title="STAT", text=_state)
_SHARE = Column(title="%CPU", text=_processor_share)
_MEMORY = Column(title="%MEM", text=_memory_share)
_FULL = (
    Column(title="UID", text=_user),
    _PID,
    _PARENT,
    Column(title="C", text=_whole_processor_share),
    Column(title="STIME", text=_start),
    _TTY,
    _TIME,
    Column(title="CMD", text=_command),
)
_USER = (
    _USER_NAME,
    _PID,
    _SHARE,
    _MEMORY,
    _VSZ,
    _RSS,
    _TTY,
    _STAT,
    Column(title="START", text=_start),
    Column(title="TIME", text=_minutes),
    _COMMAND,
)
_BY_NAME = {
    "pid": _PID,
    "tgid": Column(title="TGID", text=_pid),
    "ppid": _PARENT,
    "pgid": _cell("PGID", lambda entry: entry.group),
    "sid": _cell("SID", lambda entry: entry.session),
    "user": _USER_NAME,
    "euser": Column(title="EUSER", text=_user),
    "uid": _cell("UID", lambda entry: entry.uid),
    "gid": _cell("GID", lambda entry: entry.gid),
    "comm": _cell("COMMAND", lambda entry: entry.name),
    "ucmd": _cell("CMD", lambda entry: entry.name),
    "args": _COMMAND,
    "command": _COMMAND,
    "cmd": Column(title="CMD", text=_command),
    "c": Column(title="C", text=_whole_processor_share),
    "pcpu": _SHARE,
    "%cpu": _SHARE,
    "pmem": _MEMORY,
    "%mem": _MEMORY,
    "vsz": _VSZ,
    "rss": _RSS,
    "stat": _STAT,
    "s": _cell("S", lambda entry: entry.state),
    "state": _cell("S", lambda entry: entry.state),
    "tty": Column(title="TT", text=_terminal),
    "time": _TIME,
    "etime": Column(title="ELAPSED", text=_elapsed),
    "stime": Column(title="STIME", text=_start),
    "start_time": Column(title="START", text=_start),
    "ni": _cell("NI", lambda entry: entry.nice),
    "nlwp": _cell("NLWP", lambda entry: entry.threads),
}


def table_of(
    columns: Sequence[Column], entries: Collection[Entry], machine: Machine
) -> ProcessTable:
    """Puts a table together, by pid."""
    rows = sorted(entries, key=lambda entry: entry.pid)
    return ProcessTable(
        titles=tuple(column.title for column in columns),
        processes=tuple(tuple(column.text(row, machine) for column in columns) for row in rows),
    )


# -- reading ---------------------------------------------------------------------------------------


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
    booted_at = _booted_at((proc / "stat").read_text())
    found = [entry for pid in pids if (entry := _entry(proc / str(pid), booted_at)) is not None]
    memory = _keyed((proc / "meminfo").read_text()).get("MemTotal", 0) * _KIB
    return table_of(columns, found, Machine(now=now, memory_bytes=memory))


def _booted_at(stat: str) -> float:
    line = next((line for line in stat.splitlines() if line.startswith("btime ")), "btime 0")
    return float(line.split()[1])


def _entry(directory: Path, booted_at: float) -> Entry | None:
    try:
        stat = (directory / "stat").read_text(errors="replace")
        status = (directory / "status").read_text(errors="replace")
        command = (directory / "cmdline").read_bytes()[:COMMAND_CHARACTERS_MAX]
    except OSError:  # it has ended
        return None
    return parse_entry(stat, status, command, booted_at=booted_at)


def parse_entry(stat: str, status: str, command: bytes, *, booted_at: float) -> Entry:
    """One process out of its files ``stat``, ``status`` and ``cmdline``; its name may hold anything."""
    ticks = os.sysconf("SC_CLK_TCK")
    left, _, right = stat.rpartition(")")
    pid, _, name = left.partition(" (")
    fields = right.split()
    kept = _keyed(status)
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


def _keyed(text: str) -> Mapping[str, int]:
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
