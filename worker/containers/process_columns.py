"""The columns of a table of processes, as arguments of ``ps`` ask for them, and what stands in them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import localtime, strftime

from common.errors import InvalidInputError
from worker.containers.process_entry import Entry

NAME_CHARACTERS_MAX = 8
"""ps cuts longer names of users."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024
_PERCENT = 100
_PERCENT_MAX = 99
_PSEUDO_TERMINALS = range(136, 144)
_CONSOLES = 4
_VIRTUAL_CONSOLES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What shares and times are reckoned with."""

    now: float
    memory_bytes: int


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
