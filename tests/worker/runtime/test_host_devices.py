"""With this machine's /dev/null and /dev/zero: making nodes needs root."""

from pathlib import Path

import pytest

from common.errors import InvalidInputError
from worker.runtime.bundle import DeviceNode
from worker.runtime.host_devices import all_devices, devices_from_path


def test_a_device_is_what_its_path_stands_for(tmp_path: Path) -> None:
    status = Path("/dev/null").stat()
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    assert devices_from_path(str(link), "/dev/nothing", "rw") == (
        DeviceNode(
            path="/dev/nothing", kind="c", major=1, minor=3, mode=status.st_mode & 0o7777,
            uid=status.st_uid, gid=status.st_gid, access="rw",
        ),
    )  # fmt: skip


def test_a_directory_stands_for_the_devices_below_it() -> None:
    found = devices_from_path("/dev", "/host", "r")
    assert {"/host/null", "/host/zero"} <= {node.path for node in found}
    assert {node.access for node in found} == {"r"}


def test_all_devices_are_without_what_a_container_has_of_its_own() -> None:
    paths = {node.path for node in all_devices()}
    assert {"/dev/null", "/dev/zero", "/dev/random"} <= paths
    assert not [path for path in paths if path.startswith(("/dev/pts", "/dev/shm", "/dev/fd"))]
    assert not {"/dev/console", "/dev/ptmx"} & paths


REFUSED = {
    "nothing there": ("/dev/no-such", "/dev/x", "rwm", "no such file or directory"),
    "a file": ("/etc/passwd", "/dev/x", "rwm", "not a device node"),
    "a directory without any": ("/etc", "/dev/x", "rwm", "no device nodes"),
    "an unknown permission": ("/dev/null", "/dev/x", "rx", "invalid device mode: rx"),
    "no permission": ("/dev/null", "/dev/x", "", "invalid device mode"),
    "a relative path": ("/dev/null", "dev/x", "r", "not an absolute path"),
}


@pytest.mark.parametrize(
    ("on_host", "in_container", "access", "reason"), REFUSED.values(), ids=REFUSED
)
def test_refused_is(on_host: str, in_container: str, access: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        devices_from_path(on_host, in_container, access)
