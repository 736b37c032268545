"""What a host leaves in the kernel: mounts below its directories, control groups."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.lab.processes import kill
from cli.lab.programs import run
from cli.lab.waiting import Stopwatch

CGROUP_SECONDS_MAX = 5.0
"""How long the kernel may take to let go of a group whose processes were killed."""
_MOUNTS = Path("/proc/self/mounts")
_UMOUNTS_AT_ONCE = 200


def mounts_below(table: str, roots: Sequence[Path]) -> list[str]:
    """Mount points below these directories, the last one first; the directories themselves left out."""
    inside = tuple(f"{root}/" for root in roots)
    paths = [line.split()[1] for line in reversed(table.splitlines())]
    return [path for path in paths if path.startswith(inside)]


def mounts(roots: Sequence[Path]) -> list[str]:
    """The same of this machine."""
    return mounts_below(_MOUNTS.read_text(), roots)


def unmount(roots: Sequence[Path]) -> None:
    """Takes away what is mounted below these directories."""
    left = mounts(roots)
    for start in range(0, len(left), _UMOUNTS_AT_ONCE):
        run("umount", "-l", *left[start : start + _UMOUNTS_AT_ONCE], check=False)


def hierarchies(table: str) -> list[Path]:
    """Where control groups are mounted, of either kind."""
    lines = (line.split() for line in table.splitlines())
    return [Path(words[1]) for words in lines if words[2] in ("cgroup", "cgroup2")]


def cgroups(parent: str) -> list[Path]:
    """The groups of that name, in each hierarchy that has one."""
    found = (path / parent.lstrip("/") for path in hierarchies(_MOUNTS.read_text()))
    return sorted({path for path in found if path.is_dir()})


def kill_group(group: Path, parent: str) -> None:
    """SIGKILL to every process in a group and below it, also to those that stand still."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")  # v2; the loop is for v1
    for directory in _tree(group):
        for pid in _pids(directory):
            kill(pid, lambda it: _is_in(it, parent))
        freezer = directory / "freezer.state"
        if freezer.exists():  # v1: what is frozen dies once it goes on
            with contextlib.suppress(OSError):
                freezer.write_text("THAWED")


def remove_groups(parent: str, stopwatch: Stopwatch | None = None) -> None:
    """Takes empty groups away; the kernel takes its time to let go of them, so not all may be gone afterwards."""
    watch = stopwatch or Stopwatch()
    end = watch.read() + CGROUP_SECONDS_MAX
    while (left := cgroups(parent)) and watch.read() < end:
        for group in left:
            kill_group(group, parent)
            for directory in _tree(group):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        if cgroups(parent):
            watch.sleep(0.02)


def _tree(group: Path) -> list[Path]:
    """The group and those below it, the deepest first."""
    below: Iterable[Path] = ()
    with contextlib.suppress(OSError):
        below = [path for path in group.rglob("*") if path.is_dir()]
    return sorted([group, *below], reverse=True)


def _pids(directory: Path) -> list[int]:
    try:
        return [int(line) for line in (directory / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _is_in(pid: int, parent: str) -> bool:
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(f"{line.split(':', 2)[2]}/".startswith(f"{parent}/") for line in lines)
