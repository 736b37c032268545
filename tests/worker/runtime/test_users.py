import pytest

from worker.runtime.refusal import Refusal
from worker.runtime.users import resolve_user

PASSWD = """\
root:x:0:0:root:/root:/bin/ash
broken
nonsense:x:minus:one:::
huge:x:99999999999:0::/:
app:x:1000:1001:App:/home/app:/bin/sh
1234:x:50:60::/numeric:/bin/sh
"""
GROUP = """\
root:x:0:root
wheel:x:10:root,app
broken
app:x:1001:
data:x:77:app
"""

CASES = {
    "nothing is root": ("", (), (0, 0, [0, 10], "/root")),
    "a name": ("app", (), (1000, 1001, [10, 77], "/home/app")),
    "a number with an entry": ("1000", (), (1000, 1001, [10, 77], "/home/app")),
    "a number without an entry": ("4242", (), (4242, 0, [], "/")),
    "a name and a group's name": ("app:data", (), (1000, 77, [], "/home/app")),
    "numbers alone": ("7:8", (), (7, 8, [], "/")),
    "a name that looks like a number": ("1234", (), (50, 60, [], "/numeric")),
    "more groups": ("app:app", ("data", "5", "data"), (1000, 1001, [77, 5], "/home/app")),
}


@pytest.mark.parametrize(("user", "more", "expected"), CASES.values(), ids=CASES)
def test_resolves_by_dockers_rules(
    user: str, more: tuple[str, ...], expected: tuple[int, int, list[int], str]
) -> None:
    found = resolve_user(user, list(more), PASSWD, GROUP)
    assert (found.uid, found.gid, found.groups, found.home) == expected


def test_an_image_without_files_has_root_and_numbers() -> None:
    found = resolve_user("", [], "", "")
    assert (found.uid, found.gid, found.groups, found.home) == (0, 0, [], "/root")


REFUSED = {
    "an unknown user": ("nobody", "unable to find user nobody: no matching entries in passwd file"),
    "an unknown group": ("app:no", "unable to find group no: no matching entries in group file"),
    "a number out of range": ("4294967295", "uids and gids must be in range 0-2147483647"),
    "a user whose entry is nonsense": (
        "nonsense",
        "unable to find user nonsense: no matching entries in passwd file",
    ),
}


@pytest.mark.parametrize(("user", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses(user: str, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        resolve_user(user, [], PASSWD, GROUP)
