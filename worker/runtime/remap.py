"""Which ids of the host those of containers are (``--userns-remap``): read out of /etc/subuid and /etc/subgid."""

import grp
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidInputError
from worker.runtime.bundle import IdMapping

DEFAULT = "default"
DEFAULT_NAME = "swarmd"
"""Whose ranges "default" takes, when the host's administrator has given it some."""
SUBUID = Path("/etc/subuid")
SUBGID = Path("/etc/subgid")
RANGE_SIZE = 65536
"""Ids of a container when nobody has chosen others: all that 16 bits name."""
RANGES_MAX = 120
"""The kernel takes the lines of a user namespace in one write of less than a page."""
FIRST_FREE = 100_000
"""Where distributions begin to give ranges to users."""
_LAST_ID = (1 << 32) - 2
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Remap:
    """Users and groups of containers, as the host has them."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """One line of /etc/subuid or /etc/subgid."""

    owner: str
    """A name or a number."""
    first: int
    size: int


def remap_of(setting: str, subuid: Path = SUBUID, subgid: Path = SUBGID) -> Remap | None:
    """What a setting asks for: "" nothing, "default", or "user" or "user:group" by name or number.

    Raises:
        InvalidInputError: there is no such user, or no range is its.
    """
    if not setting:
        return None
    uids, gids = parse_ranges(_text(subuid)), parse_ranges(_text(subgid))
    if setting == DEFAULT:
        owned = mappings_of(uids, {DEFAULT_NAME}), mappings_of(gids, {DEFAULT_NAME})
        if all(owned):
            return Remap(uids=owned[0], gids=owned[1])
        free = free_range([*uids, *gids])
        return Remap(uids=free, gids=free)
    user, sign, group = setting.partition(":")
    found = Remap(
        uids=mappings_of(uids, _names_of_user(user)),
        gids=mappings_of(gids, _names_of_group(group) if sign else _names_of_user(user)),
    )
    for kind, path, mappings in (("user", subuid, found.uids), ("group", subgid, found.gids)):
        if not mappings:
            raise InvalidInputError(
                f"invalid userns-remap {setting!r}: no range of {kind} ids is its in {path}",
                hint=f"a line such as {user}:{FIRST_FREE}:{RANGE_SIZE}",
            )
    return found


def parse_ranges(text: str) -> tuple[Range, ...]:
    """Reads lines "owner:first:size"; others are left out, as by newuidmap."""
    found = []
    for line in text.splitlines():
        parts = line.strip().split(":")
        if len(parts) == _PARTS and parts[1].isdigit() and parts[2].isdigit():
            found.append(Range(owner=parts[0], first=int(parts[1]), size=int(parts[2])))
    return tuple(found)


def mappings_of(ranges: Sequence[Range], owners: set[str]) -> tuple[IdMapping, ...]:
    """A container's ids from 0 on, over all ranges of one owner, in order."""
    mappings: list[IdMapping] = []
    inside = 0
    for one in ranges:
        usable = one.size and one.first and one.first + one.size - 1 <= _LAST_ID
        if one.owner in owners and usable and len(mappings) < RANGES_MAX:
            mappings.append(IdMapping(container_id=inside, host_id=one.first, size=one.size))
            inside += one.size
    return tuple(mappings)


def free_range(taken: Sequence[Range]) -> tuple[IdMapping, ...]:
    """The first range that is nobody's. It need not be the same for ever: files of containers have ids of their own.

    Raises:
        InvalidInputError: there is none.
    """
    first = FIRST_FREE
    for one in sorted(taken, key=lambda one: one.first):
        if one.first < first + RANGE_SIZE and first < one.first + one.size:
            first = one.first + one.size
    if first + RANGE_SIZE - 1 > _LAST_ID:
        raise InvalidInputError("invalid userns-remap 'default': no range of ids is free")
    return (IdMapping(container_id=0, host_id=first, size=RANGE_SIZE),)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _names_of_user(user: str) -> set[str]:
    """Both ways that a line can call it."""
    try:
        found = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise InvalidInputError(f"invalid userns-remap: there is no user {user!r}") from None
    return {found.pw_name, str(found.pw_uid)}


def _names_of_group(group: str) -> set[str]:
    try:
        found = grp.getgrgid(int(group)) if group.isdigit() else grp.getgrnam(group)
    except KeyError:
        raise InvalidInputError(f"invalid userns-remap: there is no group {group!r}") from None
    return {found.gr_name, str(found.gr_gid)}
