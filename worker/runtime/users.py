"""Who runs: "name", "uid", "name:group" and so on, looked up in the container's own passwd and group files.

Those files come with an image and may hold anything: lines that make no sense are skipped, numbers are bounded.
"""

from worker.runtime.refusal import INVALID, Refusal

ID_MAX = 2**31 - 1
GROUPS_MAX = 1024
ROOT_HOME = "/root"


class User:
    """A resolved user."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        """Supplementary groups."""
        self.home = home


def resolve_user(user: str, more_groups: list[str], passwd: str, group: str) -> User:
    """Finds user and groups by Docker's rules.

    A group that is named in ``user`` replaces the user's own and the supplementary ones of the group file.

    Raises:
        Refusal: a name is in neither file, or a number out of range.
    """
    wanted_user, _, wanted_group = user.partition(":")
    uid, gid, home, name = _find_user(wanted_user or "0", passwd)
    groups: list[int] = []
    if wanted_group:
        gid = _find_group(wanted_group, group)
    elif name:
        groups = [number for number, members in _groups(group) if name in members]
    groups += [_find_group(wanted, group) for wanted in more_groups]
    return User(uid, gid, list(dict.fromkeys(groups))[:GROUPS_MAX], home or "/")


def _find_user(wanted: str, passwd: str) -> tuple[int, int, str, str]:
    """Uid, gid, home and name ("" for a number that the file does not have)."""
    number = _number(wanted)
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) < 6:  # noqa: PLR2004 - name, password, uid, gid, comment, home
            continue
        uid, gid = _number(fields[2]), _number(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == wanted or (number is not None and uid == number):
            return uid, gid, fields[5], fields[0]
    if number is None:
        if wanted.isdigit():
            raise Refusal(INVALID, f"uids and gids must be in range 0-{ID_MAX}")
        raise Refusal(INVALID, f"unable to find user {wanted}: no matching entries in passwd file")
    return number, 0, ROOT_HOME if number == 0 else "/", ""


def _find_group(wanted: str, group: str) -> int:
    number = _number(wanted)
    for line in group.splitlines():
        fields = line.split(":")
        gid = _number(fields[2]) if len(fields) > 2 else None  # noqa: PLR2004 - name, password, gid
        if gid is not None and fields[0] == wanted:
            return gid
    if number is None:
        raise Refusal(INVALID, f"unable to find group {wanted}: no matching entries in group file")
    return number


def _groups(group: str) -> list[tuple[int, list[str]]]:
    found = []
    for line in group.splitlines():
        fields = line.split(":")
        gid = _number(fields[2]) if len(fields) > 3 else None  # noqa: PLR2004 - and its members
        if gid is not None:
            found.append((gid, fields[3].strip().split(",")))
    return found


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(ID_MAX)):
        return None
    number = int(text)
    return number if number <= ID_MAX else None
