"""The machine's control groups: version 1 or version 2, behind one interface."""

from worker.kernel.cgroup_v1 import CgroupsV1
from worker.kernel.cgroup_v2 import CgroupsV2
from worker.kernel.cgroupfs import find_hierarchies, read_text

TYPE_CHECKING = False  # as in cgroupfs: the supervisor does not load typing
if TYPE_CHECKING:
    from worker.kernel.cgroupfs import Cgroups

_MOUNTINFO = "/proc/self/mountinfo"


def open_cgroups(parent: str, mountinfo: str = "") -> "Cgroups":
    """The machine's control groups below ``parent`` (as "/swarmd").

    Raises:
        OSError: there are none.
    """
    found = find_hierarchies(mountinfo or read_text(_MOUNTINFO))
    relative = parent.strip("/")
    if not relative or ".." in relative.split("/"):
        raise OSError(22, f"the cgroup parent {parent!r} is not the path of a group")
    if found.controllers.get("memory") or found.controllers.get("pids"):
        return CgroupsV1(found, relative)
    if found.unified:
        return CgroupsV2(found.unified, relative)
    raise OSError(2, "no cgroup file system is mounted on /sys/fs/cgroup")
