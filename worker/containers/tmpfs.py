"""The options of a tmpfs mount, as of mount(8), into what mount(2) takes. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from common.errors import InvalidInputError
from worker.runtime.bundle import DEFAULT_TMPFS_FLAGS

NOSUID, NODEV, NOEXEC = 2, 4, 8
_SETS: Final[Mapping[str, int]] = {
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "noatime": 1 << 10,
    "nodiratime": 1 << 11,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
}
_CLEARS: Final[Mapping[str, int]] = {
    "suid": NOSUID,
    "dev": NODEV,
    "exec": NOEXEC,
    "atime": 1 << 10,
    "diratime": 1 << 11,
    "norelatime": 1 << 21,
    "nostrictatime": 1 << 24,
}
_NOTHING: Final = frozenset({"", "rw", "defaults"})
_NUMBER: Final = re.compile(r"\d{1,15}[kmgKMG]?")
_VALUES: Final = {
    "uid": re.compile(r"\d{1,10}"),
    "gid": re.compile(r"\d{1,10}"),
    "nr_inodes": _NUMBER,
    "nr_blocks": _NUMBER,
    "huge": re.compile(r"never|always|within_size|advise"),
    "mpol": re.compile(r"[a-z]+(=[a-z]+)?(:[0-9-]+)?"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsPlan:
    """Besides size, mode and read-only."""

    flags: int = DEFAULT_TMPFS_FLAGS
    data: str = ""


def tmpfs_plan(words: Iterable[str]) -> TmpfsPlan:
    """What options come to; the last word on a thing counts.

    Raises:
        InvalidInputError: one that a tmpfs does not have.
    """
    flags, data = DEFAULT_TMPFS_FLAGS, {}
    for word in words:
        name, sign, value = word.partition("=")
        if word in _NOTHING:
            continue
        if word in _SETS:
            flags |= _SETS[word]
        elif word in _CLEARS:
            flags &= ~_CLEARS[word]
        elif sign and name in _VALUES and _VALUES[name].fullmatch(value):
            data[name] = word
        else:
            raise InvalidInputError(f'invalid tmpfs option ["{word}"]')
    return TmpfsPlan(flags=flags, data=",".join(data.values()))
