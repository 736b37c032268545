"""A start order in the words of the OCI runtime specification (config.json): pure, the same order the same words.

The groups and their limits are made by the supervisor itself (``worker.kernel.cgroups``) whoever makes the process:
the runtime is told where they are, and which devices may be used, so that it does not deny ours. What the image
decides (the user's numbers) and where this start keeps its things comes by ``Surroundings``.
"""

from worker.kernel.device_rules import ANY, DEFAULT_DEVICE_RULES
from worker.runtime.capabilities import CAPABILITIES
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
from worker.runtime.programs import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from worker.kernel.device_rules import Rule
    from worker.runtime.oci_json import Value
    from worker.runtime.orders import MountOrder, ProcessOrder, StartOrder
    from worker.runtime.users import User

VERSION = "1.0.2"
"""Of the specification: the first that has all that is said here."""
LIMIT_INFINITE = (1 << 64) - 1
HOST_NETWORK = "host"
_ALL_RIGHTS = "rwm"
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

    __slots__ = ("binds", "cgroup_bind", "cgroup_path", "namespaces", "nofile", "root", "user")

    def __init__(
        self,
        *,
        root: str,
        user: "User",
        cgroup_path: str,
        cgroup_bind: str,
        binds: list[str],
        nofile: tuple[int, int],
    ) -> None:
        self.root = root
        """Where the layers are mounted."""
        self.user = user
        self.cgroup_path = cgroup_path
        """Of the container's group, below the mount points of the hierarchies."""
        self.cgroup_bind = cgroup_bind
        """What to show at /sys/fs/cgroup; "" for the unified hierarchy."""
        self.binds = binds
        """For each mount of the order what to bind there, "" for a tmpfs."""
        self.nofile = nofile
        """RLIMIT_NOFILE where the order has none."""


def oci_config(order: "StartOrder", around: Surroundings) -> "dict[str, Value]":
    """The container."""
    config: dict[str, Value] = {
        "ociVersion": VERSION,
        "root": {"path": around.root, "readonly": order["root_read_only"]},
        "process": oci_process(order["process"], around.user, around.nofile),
        "mounts": [
            *_kernel_mounts(order["shm_bytes"], around.cgroup_bind),
            *(
                _mount(mount, source)
                for mount, source in zip(order["mounts"], around.binds, strict=True)
            ),
        ],
        "linux": {
            "namespaces": _namespaces(order["network_namespace"]),
            "cgroupsPath": around.cgroup_path,
            "resources": {"devices": _device_rules(DEFAULT_DEVICE_RULES)},
            "sysctl": dict(order["sysctls"]),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READ_ONLY_PATHS),
            "rootfsPropagation": _root_propagation(order["mounts"]),
        },
    }
    if order["hostname"]:
        config["hostname"] = order["hostname"]
    if order["domainname"]:
        config["domainname"] = order["domainname"]
    return config


def oci_process(order: "ProcessOrder", user: "User", nofile: tuple[int, int]) -> "dict[str, Value]":
    """The container's first process, or a further one (process.json of ``exec``)."""
    variables = environment(order["env"], user.home)
    limits = {number: (soft, hard) for number, soft, hard in order["ulimits"]}
    limits.setdefault(NOFILE, nofile)
    return {
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(order["argv"]),
        "env": [f"{name}={value}" for name, value in variables.items()],
        "cwd": order["cwd"],
        "capabilities": _capabilities(order["capabilities"], is_root=user.uid == 0),
        "rlimits": [_rlimit(number, *pair) for number, pair in sorted(limits.items())],
        "noNewPrivileges": order["no_new_privileges"],
        "oomScoreAdj": order["oom_score_adj"],
    }


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


def _namespaces(network: str) -> "list[Value]":
    """New ones, but for a network that is joined, or the host's, which is not named."""
    kinds: list[Value] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    if not network:
        kinds.append({"type": "network"})
    elif network != HOST_NETWORK:
        kinds.append({"type": "network", "path": network})
    return kinds


def _device_rules(rules: "tuple[Rule, ...]") -> "list[Value]":
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


def _kernel_mounts(shm_bytes: int, cgroup_bind: str) -> "list[Value]":
    """What every container has, in Docker's order."""
    pts = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return [
        _new("/proc", "proc", "proc", *_STRICT),
        _new("/sys", "sysfs", "sysfs", *_STRICT, "ro"),
        _new("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=65536k"),
        _new("/dev/pts", "devpts", "devpts", "nosuid", "noexec", *pts),
        _new("/dev/shm", "tmpfs", "shm", *_STRICT, "mode=1777", f"size={shm_bytes}"),  # noqa: S108
        _new("/dev/mqueue", "mqueue", "mqueue", *_STRICT),
        _new("/sys/fs/cgroup", "bind", cgroup_bind, "rbind", *_STRICT, "ro")
        if cgroup_bind
        else _new("/sys/fs/cgroup", "cgroup", "cgroup", *_STRICT, "ro"),
    ]


def _new(target: str, kind: str, source: str, *options: str) -> "Value":
    return {"destination": target, "type": kind, "source": source, "options": options}


def _mount(mount: "MountOrder", source: str) -> "Value":
    read_only = ("ro",) if mount["read_only"] else ()
    if source:
        propagation = () if mount["file"] else (mount["propagation"] or "rprivate",)
        strict = _STRICT if mount["file"] else ()
        kind = "rbind" if mount["recursive"] else "bind"
        return _new(mount["target"], "bind", source, kind, *strict, *read_only, *propagation)
    size = (f"size={mount['tmpfs_size_bytes']}",) if mount["tmpfs_size_bytes"] else ()
    mode = f"mode={mount['tmpfs_mode']:o}"
    flags = (word for bit, word in _FLAG_WORDS if mount["tmpfs_flags"] & bit)
    more = filter(None, mount["tmpfs_data"].split(","))
    return _new(mount["target"], "tmpfs", "tmpfs", *flags, *read_only, mode, *size, *more)


def _root_propagation(mounts: "list[MountOrder]") -> str:
    """As loose as the loosest of its mounts needs it."""
    wanted = {mount["propagation"].removeprefix("r") for mount in mounts if mount["source"]}
    return next((kind for kind in ("shared", "slave") if kind in wanted), "private")
