"""What Docker documents of a container's confinement, as configurations of the OCI runtime specification.

Written out here once more, apart from what swarmd has of it: tests compare the two. Only the rules of the seccomp
profile come from swarmd; ``tests/worker/runtime/test_seccomp.py`` compares them with Docker's.
"""

from dataclasses import dataclass
from typing import Any

from worker.kernel.libseccomp import ALLOW
from worker.runtime.seccomp import Rule
from worker.runtime.seccomp_default import DEFAULT_PROFILE

CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL"
    " AUDIT_WRITE"
)
MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi"
    " /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware"
)
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"
DEVICES = "1:3 1:5 1:7 1:8 1:9 5:0 5:1 5:2 136:*"
STRICT = ["nosuid", "noexec", "nodev"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Options of ``docker run``."""

    add: str = ""
    drop: str = ""
    user: tuple[int, int] = (0, 0)
    no_new_privileges: bool = False
    read_only: bool = False
    privileged: bool = False
    unconfined: bool = False
    devices: tuple[tuple[str, str, int, int, str], ...] = ()
    """Path, kind, major, minor, access."""
    system_paths_unconfined: bool = False


def capabilities_of(asked: Asked, known: frozenset[str]) -> list[str]:
    """By Docker's rules for --cap-add and --cap-drop."""
    if asked.privileged:
        return sorted(known)
    names = {f"CAP_{name}" for name in CAPABILITIES.split()}
    dropped = {f"CAP_{name}" for name in asked.drop.split()}
    if "CAP_ALL" in dropped:
        names = set()
    return sorted((names - dropped) | {f"CAP_{name}" for name in asked.add.split()})


def config(
    asked: Asked, *, root: str, argv: list[str], cgroup: str, known: frozenset[str]
) -> dict[str, Any]:
    """The whole configuration."""
    capabilities = capabilities_of(asked, known)
    of_user = capabilities if asked.user[0] == 0 else []
    hidden = not (asked.privileged or asked.system_paths_unconfined)
    uid, gid = asked.user
    seccomp = {} if asked.privileged or asked.unconfined else {"seccomp": _seccomp(capabilities)}
    return {
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": asked.read_only},
        "hostname": "probe",
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": argv,
            "cwd": "/",
            "env": ["PATH=/bin"],
            "capabilities": {
                "bounding": capabilities,
                "effective": of_user,
                "permitted": of_user,
            },
            "noNewPrivileges": asked.no_new_privileges,
            "oomScoreAdj": 0,
            "rlimits": [],
        },
        "mounts": _mounts(asked),
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                {"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc", "cgroup")
            ],
            "maskedPaths": MASKED.split() if hidden else [],
            "readonlyPaths": READ_ONLY.split() if hidden else [],
            "devices": [
                {"path": path, "type": kind, "major": major, "minor": minor, "fileMode": 0o666}
                for path, kind, major, minor, _ in asked.devices
            ],
            "resources": {"devices": _device_rules(asked)},
            **seccomp,
        },
    }


def _mounts(asked: Asked) -> list[dict[str, Any]]:
    sys_options = STRICT if asked.privileged else [*STRICT, "ro"]
    return [
        _mount("/proc", "proc", STRICT),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/sys", "sysfs", sys_options),
        _mount("/sys/fs/cgroup", "cgroup", sys_options),
        _mount("/dev/mqueue", "mqueue", STRICT),
        _mount("/dev/shm", "tmpfs", [*STRICT, "mode=1777", "size=67108864"]),
    ]


def _mount(target: str, kind: str, options: list[str]) -> dict[str, Any]:
    source = {"/dev/shm": "shm"}.get(target, kind)
    return {"destination": target, "type": kind, "source": source, "options": options}


def _device_rules(asked: Asked) -> list[dict[str, Any]]:
    if asked.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    for numbers in DEVICES.split():
        major, minor = numbers.split(":")
        rule: dict[str, Any] = {"allow": True, "type": "c", "major": int(major), "access": "rwm"}
        rules.append(rule if minor == "*" else {**rule, "minor": int(minor)})
    rules += [
        {"allow": True, "type": kind, "major": major, "minor": minor, "access": access}
        for _, kind, major, minor, access in asked.devices
    ]
    return rules


def _seccomp(capabilities: list[str]) -> dict[str, Any]:
    has = frozenset(capabilities)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            _seccomp_rule(rule) for rule in DEFAULT_PROFILE.rules if _does_apply(rule, has)
        ],
    }


def _does_apply(rule: Rule, has: frozenset[str]) -> bool:
    applies = rule.applies
    return (
        applies.capabilities <= has
        and not applies.without_capabilities & has
        and (not applies.architectures or "amd64" in applies.architectures)
    )


def _seccomp_rule(rule: Rule) -> dict[str, Any]:
    said: dict[str, Any] = {"names": list(rule.names), "action": "SCMP_ACT_ALLOW"}
    if rule.action != ALLOW:
        said |= {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.action & 0xFFFF}
    if rule.conditions:
        said["args"] = [
            {
                "index": condition.index,
                "value": condition.value,
                "valueTwo": condition.masked_value,
                "op": f"SCMP_CMP_{condition.comparison.name}",
            }
            for condition in rule.conditions
        ]
    return said
