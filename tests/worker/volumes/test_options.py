"""What the local driver's options mount, and what they cannot be."""

import pytest

from common.errors import InvalidInputError
from worker.kernel.syscalls import MS_BIND, MS_NOSUID, MS_RDONLY, MS_REC, MS_SHARED, MS_SLAVE
from worker.volumes.options import MountPlan, check_options, plan_of

PLANS: dict[str, tuple[dict[str, str], MountPlan | None]] = {
    "none": ({}, None),
    "memory": (
        {"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"},
        MountPlan(kind="tmpfs", device="tmpfs", data="size=100m,uid=1000"),
    ),
    "a directory of the host": (
        {"type": "none", "device": "/srv/data", "o": "bind,ro"},
        MountPlan(kind="none", device="/srv/data", flags=MS_BIND | MS_RDONLY),
    ),
    "with all below it, seeing the host's mounts": (
        {"type": "none", "device": "/srv", "o": "rbind,rslave"},
        MountPlan(
            kind="none", device="/srv", flags=MS_BIND | MS_REC, propagation=MS_SLAVE | MS_REC
        ),
    ),
    "a server": (
        {"type": "nfs", "device": ":/export", "o": "addr=files.example,rw,nosuid,nfsvers=4"},
        MountPlan(
            kind="nfs", device=":/export", flags=MS_NOSUID, data="addr=files.example,nfsvers=4"
        ),
    ),
    "the last word counts": (
        {"type": "ext4", "device": "/dev/x", "o": "ro,rw,,private,shared"},
        MountPlan(kind="ext4", device="/dev/x", propagation=MS_SHARED),
    ),
    "without o": (
        {"type": "ext4", "device": "/dev/x"},
        MountPlan(kind="ext4", device="/dev/x"),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_plan_of(name: str) -> None:
    options, expected = PLANS[name]

    check_options(options)

    assert plan_of(options) == expected


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "an unknown one": ({"color": "red"}, 'invalid option: "color"'),
    "a device alone": ({"device": "/x"}, 'missing required option: "type"'),
    "a type alone": ({"type": "tmpfs"}, 'missing required option: "device"'),
    "an empty device": ({"type": "tmpfs", "device": ""}, 'missing required option: "device"'),
    "o alone": ({"o": "bind"}, 'missing required option: "device"'),
    "a quota": ({"size": "10g"}, "quota size requested but no quota support"),
    "remount": ({"type": "none", "device": "/", "o": "remount,ro"}, 'invalid option: "remount"'),
    "a relative bind": ({"type": "none", "device": "x", "o": "bind"}, "is not an absolute path"),
    "a null byte": ({"type": "none", "device": "/x\0"}, "null byte"),
    "a page of options": ({"type": "tmpfs", "device": "x", "o": "a" * 4096}, "too long"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_check_options_refuses(name: str) -> None:
    options, reason = REFUSED[name]

    with pytest.raises(InvalidInputError, match=reason):
        check_options(options)


def test_only_network_file_systems_have_an_address() -> None:
    data = "vers=3,addr=host.example"

    assert MountPlan(kind="nfs", device=":/", data=data).address == "host.example"
    assert MountPlan(kind="tmpfs", device=":/", data=data).address == ""
