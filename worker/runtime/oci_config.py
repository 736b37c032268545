"""A start order in the words of the OCI runtime specification (config.json): pure, the same order the same words.

The groups and their limits are made by the supervisor itself (``worker.kernel.cgroups``) whoever makes the process:
the runtime is told where they are, and which devices may be used, so that it does not deny ours. What the image
decides (the user's numbers) and where this start keeps its things comes by ``Surroundings``.
"""

from binascii import b2a_base64

from worker.kernel.device_rules import ANY, DEFAULT_DEVICE_RULES
from worker.runtime.capabilities import CAPABILITIES
from worker.runtime.process import UMASK
from worker.runtime.programs import environment
from worker.runtime.sharing import HOST, NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from worker.kernel.device_rules import Rule
    from worker.runtime.oci_json import Value
    from worker.runtime.orders import DeviceOrder, MountOrder, ProcessOrder, StartOrder
    from worker.runtime.users import User

VERSION = "1.0.2"
"""Of the specification: the first that has all that is said here."""
LIMIT_INFINITE = (1 << 64) - 1
CRUN_PROGRAM = "run.oci.seccomp_bpf_data"
"""An annotation: crun loads this program instead of compiling ``linux.seccomp`` once more for each container."""
_ALL_RIGHTS = "rwm"
_NAMES: "tuple[Literal['hostname', 'domainname'], ...]" = ("hostname", "domainname")
_RLIMITS = (
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
)
"""A limit's number (setrlimit(2)) is its place here."""
NOFILE = _RLIMITS.index("NOFILE")
_STRICT = ("nosuid", "noexec", "nodev")


class Surroundings:
    """What an order does not say, since it is known only where the container is made."""

    __slots__ = (
        *("cgroup_bind", "cgroup_path", "joined", "memory_bind"),
        *("mounts", "nofile", "root", "user"),
    )

    def __init__(
        self,
        *,
        root: str,
        user: "User",
        cgroup_path: str,
        cgroup_bind: str,
        mounts: list[tuple[str, str]],
        nofile: tuple[int, int],
    ) -> None:
        self.root = root
        """Where the layers are mounted."""
        self.user = user
        self.cgroup_path = cgroup_path
        """Of the container's group, below the mount points of the hierarchies."""
        self.cgroup_bind = cgroup_bind
        """What to show at /sys/fs/cgroup; "" for the unified hierarchy."""
        self.mounts = mounts
        """For each of the order what to bind, and where: without links that the image may have there."""
        self.nofile = nofile
        """RLIMIT_NOFILE where the order has none."""
        self.memory_bind = ""
        """The /dev/shm of others that it has, too."""
        self.joined: dict[str, str] = {}
        """Files of the namespaces of others that it joins, by kind."""


def oci_config(order: "StartOrder", around: Surroundings) -> "dict[str, Value]":
    """The container."""
    linux: dict[str, Value] = {
        "namespaces": _namespaces(order, around.joined),
        "cgroupsPath": around.cgroup_path,
        "devices": [_device(device) for device in order["devices"]],
        "resources": {"devices": _device_rules([*DEFAULT_DEVICE_RULES, *order["device_rules"]])},
        "sysctl": dict(order["sysctls"]),
        "maskedPaths": [*order["masked_paths"]],
        "readonlyPaths": [*order["read_only_paths"]],
        "rootfsPropagation": _root_propagation(order["mounts"]),
    }
    config: dict[str, Value] = {
        "ociVersion": VERSION,
        "root": {"path": around.root, "readonly": order["root_read_only"]},
        "process": oci_process(
            order["process"], around.user, around.nofile, has_terminal=order["tty"]
        ),
        "mounts": [
            *_kernel_mounts(order, around),
            *(
                _mount(mount, source, target)
                for mount, (source, target) in zip(order["mounts"], around.mounts, strict=True)
            ),
        ],
        "linux": linux,
    }
    if not order["namespaces"]["uts"]:  # What others share, a runtime would rename for all of them.
        config |= {name: order[name] for name in _NAMES if order[name]}
    if order["seccomp_rules"]:
        linux["seccomp"] = order["seccomp_rules"]
        program = b2a_base64(order["process"]["seccomp"], newline=False)
        config["annotations"] = {CRUN_PROGRAM: program.decode()}
    return config


def oci_process(
    order: "ProcessOrder", user: "User", nofile: tuple[int, int], *, has_terminal: bool
) -> "dict[str, Value]":
    """The container's first process, or a further one (process.json of ``exec``)."""
    variables = environment(order["env"], user.home)
    limits = {number: (soft, hard) for number, soft, hard in order["ulimits"]}
    limits.setdefault(NOFILE, nofile)
    return {
        "terminal": has_terminal,
        **_console_size(order["rows"], order["columns"]),
        "user": {
            "uid": user.uid,
            "gid": user.gid,
            "additionalGids": list(user.groups),
            "umask": UMASK,
        },
        "args": list(order["argv"]),
        "env": [f"{name}={value}" for name, value in variables.items()],
        "cwd": order["cwd"],
        "capabilities": _capabilities(order["capabilities"], is_root=user.uid == 0),
        "rlimits": [_rlimit(number, *pair) for number, pair in sorted(limits.items())],
        "noNewPrivileges": order["no_new_privileges"],
        "oomScoreAdj": order["oom_score_adj"],
    }


def _console_size(rows: int, columns: int) -> "dict[str, Value]":
    return {"consoleSize": {"height": rows, "width": columns}} if rows and columns else {}


def _capabilities(mask: int, *, is_root: bool) -> "dict[str, Value]":
    """A user other than root has none, as in Docker; nobody has more than the mask."""
    names: list[Value] = [name for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    own = names if is_root else []
    return {
        "bounding": names,
        "effective": own,
        "permitted": own,
        "inheritable": [],
        "ambient": [],
    }


def _rlimit(number: int, soft: int, hard: int) -> "dict[str, Value]":
    return {
        "type": f"RLIMIT_{_RLIMITS[number]}",
        "soft": soft if soft >= 0 else LIMIT_INFINITE,
        "hard": hard if hard >= 0 else LIMIT_INFINITE,
    }


# -- linux -----------------------------------------------------------------------------------------


def _namespaces(order: "StartOrder", joined: dict[str, str]) -> "list[Value]":
    """New ones, but for those of others, which are joined, and the host's, which are not named."""
    own = order["namespaces"]
    modes = {"pid": own["pid"], "ipc": own["ipc"], "uts": own["uts"], "mount": ""}
    modes |= {"cgroup": own["cgroup"], "network": order["network_namespace"]}
    modes |= joined
    return [_namespace(kind, mode) for kind, mode in modes.items() if mode != HOST]


def _namespace(kind: str, mode: str) -> "Value":
    return {"type": kind} if mode in ("", NONE) else {"type": kind, "path": mode}


def _device(device: "DeviceOrder") -> "Value":
    return {
        "path": device["path"],
        "type": device["kind"],
        "major": device["major"],
        "minor": device["minor"],
        "fileMode": device["mode"],
        "uid": device["uid"],
        "gid": device["gid"],
    }


def _device_rules(rules: "list[Rule]") -> "list[Value]":
    """Nothing, but for what a rule allows."""
    return [{"allow": False, "access": _ALL_RIGHTS}, *map(_device_rule, rules)]


def _device_rule(rule: "Rule") -> "Value":
    kind, major, minor, access = rule
    found: dict[str, Value] = {"allow": True, "type": kind, "access": access}
    if major != ANY:
        found["major"] = major
    if minor != ANY:
        found["minor"] = minor
    return found


# -- mounts ----------------------------------------------------------------------------------------


_FLAG_WORDS = (
    (2, "nosuid"),
    (8, "noexec"),
    (4, "nodev"),
    (1 << 10, "noatime"),
    (1 << 11, "nodiratime"),
    (1 << 21, "relatime"),
    (1 << 24, "strictatime"),
)


def _kernel_mounts(order: "StartOrder", around: Surroundings) -> "list[Value]":
    """What every container has, in Docker's order."""
    cgroup_bind = around.cgroup_bind
    read_only = () if order["privileged"] else ("ro",)
    pts = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return [
        _new("/proc", "proc", "proc", *_STRICT),
        _new("/sys", "sysfs", "sysfs", *_STRICT, *read_only),
        _new("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _new("/dev/pts", "devpts", "devpts", "nosuid", "noexec", *pts),
        *_shared_memory(order, around.memory_bind),
        _new("/dev/mqueue", "mqueue", "mqueue", *_STRICT),
        _new("/sys/fs/cgroup", "bind", cgroup_bind, "rbind", *_STRICT, "ro")
        if cgroup_bind
        else _new("/sys/fs/cgroup", "cgroup", "cgroup", *_STRICT, *read_only),
    ]


def _shared_memory(order: "StartOrder", bind: str) -> "list[Value]":
    """Its own, that of others, or none."""
    if order["namespaces"]["ipc"] == NONE:
        return []
    if bind:
        return [_new("/dev/shm", "bind", bind, "rbind", *_STRICT, "rprivate")]  # noqa: S108
    size = f"size={order['shm_bytes']}"
    return [_new("/dev/shm", "tmpfs", "shm", *_STRICT, "mode=1777", size)]  # noqa: S108


def _new(target: str, kind: str, source: str, *options: str) -> "Value":
    return {"destination": target, "type": kind, "source": source, "options": options}


def _mount(mount: "MountOrder", source: str, target: str) -> "Value":
    """A bind in any case: a tmpfs was made before, for runtimes give it the mode of what it covers."""
    kind = "rbind" if mount["recursive"] else "bind"
    strict = _strictness(mount)
    read_only = ("ro",) if mount["read_only"] else ()
    propagation = (mount["propagation"] or "rprivate") if mount["source"] else "rprivate"
    return _new(target, "bind", source, kind, *strict, *read_only, propagation)


def _strictness(mount: "MountOrder") -> tuple[str, ...]:
    if mount["source"]:
        return ()
    if mount["file"]:
        return _STRICT
    return tuple(word for bit, word in _FLAG_WORDS if mount["tmpfs_flags"] & bit)


def _root_propagation(mounts: "list[MountOrder]") -> str:
    """As loose as the loosest of its mounts needs it."""
    wanted = {mount["propagation"].removeprefix("r") for mount in mounts if mount["source"]}
    return next((kind for kind in ("shared", "slave") if kind in wanted), "private")
