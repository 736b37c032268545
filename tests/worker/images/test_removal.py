"""What a request to remove an image takes away: Docker's rules."""

import pytest

from worker.images.removal import Removed, Usage, removal_of

IMAGE = "sha256:" + "a" * 64
ONE, TWO, ELSEWHERE = "docker.io/library/web:1", "docker.io/library/web:2", "docker.io/team/web:1"
RUNNING, STOPPED = (
    Usage(container_id="c" * 64, running=True),
    Usage(container_id="d" * 64, running=False),
)
UNTAGGED, DELETED = Removed(untagged="web:1"), Removed(deleted=IMAGE)

CASES: dict[str, tuple[str, list[str], list[Usage], bool, list[Removed] | str]] = {
    "the last name takes the image": (ONE, [ONE], [], False, [UNTAGGED, DELETED]),
    "a name among others only goes": (ONE, [ONE, TWO], [RUNNING], False, [UNTAGGED]),
    "the last name stays while a container uses it": (ONE, [ONE], [STOPPED], False, "must force"),
    "the last name goes by force, the image stays": (ONE, [ONE], [RUNNING], True, [UNTAGGED]),
    "an id takes its only name": ("", [ONE], [], False, [UNTAGGED, DELETED]),
    "an id takes all names of one repository": (
        "",
        [ONE, TWO],
        [],
        False,
        [UNTAGGED, Removed(untagged="web:2"), DELETED],
    ),
    "an id with names in two repositories wants force": (
        "",
        [ONE, ELSEWHERE],
        [],
        False,
        "referenced in multiple repositories",
    ),
    "and goes with it": (
        "",
        [ONE, ELSEWHERE],
        [],
        True,
        [UNTAGGED, Removed(untagged="team/web:1"), DELETED],
    ),
    "an id in use by a running container": (
        "",
        [ONE],
        [STOPPED, RUNNING],
        True,
        "used by running container cccccccccccc",
    ),
    "an id in use by a stopped container": (
        "",
        [],
        [STOPPED],
        True,
        "used by stopped container dddddddddddd",
    ),
    "a nameless image": ("", [], [], False, [DELETED]),
}


@pytest.mark.parametrize("case", CASES)
def test_removes(case: str) -> None:
    name, names, users, force, expected = CASES[case]

    found = removal_of(
        image_id=IMAGE, reference="web:1", name=name, names=names, users=users, force=force
    )

    if isinstance(expected, str):
        assert isinstance(found, str)
        assert expected in found
    else:
        assert list(found) == expected
