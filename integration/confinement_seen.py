"""What a container's confinement looks like, from within and from the host, as fields with names."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from worker.kernel.cgroupfs import find_hierarchies

PROBE = r"""
for name in Umask Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters \
    Speculation_Store_Bypass SpeculationIndirectBranch SigBlk SigIgn SigPnd ShdPnd CoreDumping THP_enabled \
    Cpus_allowed Mems_allowed NSpid; do
    grep "^$name:" /proc/self/status | sed 's/^/status./'
done
sed 's/^/limit./; s/  */ /g; s/ \([0-9u]\)/: \1/' /proc/self/limits
for path in $(find /dev ! -name ptmx -o -path /dev/pts/ptmx | sort); do
    echo "dev.$path: $(stat -c '%F %a %u %g %t:%T' $path) $(readlink $path)"
done
echo "dev./dev/ptmx: $(stat -c '%F' /dev/ptmx) $(readlink /dev/ptmx)"
for path in /proc/* /proc/sys/kernel /proc/sys/net /proc/sys/vm /sys/firmware /sys/devices/virtual/powercap /sys/fs/* \
    /sys/kernel/* /sys/module /sys/class/net; do
    case $path in /proc/[0-9]*) continue;; esac
    echo "path.$path: $(stat -c '%F %a %u %g %t:%T' $path 2>/dev/null)"
done
for path in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/drop_caches \
    /proc/irq/default_smp_affinity /proc/timer_list /proc/kcore /proc/keys /proc/kmsg \
    /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled /proc/sys/net/ipv4/ip_forward \
    /proc/sys/kernel/hostname /proc/sys/kernel/shmmax; do
    if [ -w $path ]; then writable=yes; else writable=no; fi
    echo "write.$path: $writable"
done
for name in oom_score_adj timerslack_ns personality coredump_filter setgroups sessionid loginuid cgroup; do
    echo "proc.$name: $(cat /proc/self/$name 2>/dev/null | tr '\n' ' ')"
done
echo "fds:" /proc/$$/fd/*
echo "who: $(id)"
echo "env: $(env | sort | tr '\n' ' ')"
echo "here: $(pwd) $$ $(hostname)"
echo "session: $(cut -d' ' -f5,6 /proc/self/stat)"
echo "shm: $(stat -c '%a %u %g' /dev/shm)"
echo done
exec sleep 600
"""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_SEEN_BELOW_ROOT = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})


def fields_within(said: str) -> dict[str, str]:
    """The probe's lines by their names."""
    found = {}
    for line in said.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = " ".join(value.split())
    return found


def fields_without(pid: int) -> dict[str, str]:
    """What the host sees of a process: namespaces, mounts, devices of its control group."""
    return {
        **dict(_namespaces(pid)),
        **dict(_mounts(pid)),
        "cgroup.devices": " ".join(sorted(_devices(pid))),
    }


def _namespaces(pid: int) -> Iterator[tuple[str, str]]:
    for kind in NAMESPACES:
        own, ours = (Path(f"/proc/{who}/ns/{kind}").readlink() for who in (pid, "self"))
        yield f"namespace.{kind}", "the host's" if own == ours else "its own"


def _mounts(pid: int) -> Iterator[tuple[str, str]]:
    """Options in order; sources and the root itself differ from one runtime to another."""
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, of_root, target, options, *propagation = left.split(" ")
        kind, _, of_kind = right.split(" ", 2)
        if target in _SEEN_BELOW_ROOT:
            continue
        details = f"{kind} {','.join(sorted(options.split(',')))} {' '.join(propagation)}".strip()
        if target != "/":
            details += f" {','.join(sorted(of_kind.split(',')))}"
            details += "" if target.startswith(("/sys/fs/cgroup",)) else f" {of_root}"
        else:
            details = details.removeprefix(kind).strip()
        yield f"mount.{target}", details


def _devices(pid: int) -> list[str]:
    """The list of a v1 group; nothing on other machines."""
    places = find_hierarchies(Path("/proc/self/mountinfo").read_text()).controllers
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "devices":
            return (Path(places["devices"] + path) / "devices.list").read_text().splitlines()
    return []


# -- the filter ------------------------------------------------------------------------------------

_PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH, _PTRACE_GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_WALL = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long


def filter_of(pid: int) -> bytes:
    """The program of the one filter that a process has, as the kernel has it; b"" for none."""
    _ptrace(_PTRACE_SEIZE, pid)
    try:
        _ptrace(_PTRACE_INTERRUPT, pid)
        os.waitpid(pid, _WALL)
        try:
            length = _ptrace(_PTRACE_GET_FILTER, pid)
        except FileNotFoundError:
            return b""
        buffer = ctypes.create_string_buffer(length * 8)
        _ptrace(_PTRACE_GET_FILTER, pid, data=ctypes.addressof(buffer))
        return buffer.raw
    finally:
        _ptrace(_PTRACE_DETACH, pid)


def _ptrace(what: int, pid: int, data: int = 0) -> int:
    result: int = _LIBC.ptrace(what, pid, None, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
