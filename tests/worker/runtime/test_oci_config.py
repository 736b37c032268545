from dataclasses import replace
from typing import Any

import pytest

from worker.kernel.device_rules import DEFAULT_DEVICE_RULES
from worker.runtime.bundle import (
    Bundle,
    BundleMount,
    DeviceNode,
    FileContent,
    Namespaces,
    RootFs,
)
from worker.runtime.capabilities import DEFAULT_CAPABILITIES
from worker.runtime.confinement import MASKED_PATHS, READ_ONLY_PATHS
from worker.runtime.oci_config import LIMIT_INFINITE, Surroundings, oci_config
from worker.runtime.order_of import start_order
from worker.runtime.users import User

BUNDLE = Bundle(
    id="abc",
    rootfs=RootFs(lower=("/l",), upper="/u", work="/w", merged="/m"),
    argv=("sh", "-c", "true"),
    capabilities=frozenset({"CAP_CHOWN", "CAP_SETUID"}),
)
ROOT = User(0, 0, [], "/root")


def config(bundle: Bundle, user: User = ROOT, **around: Any) -> dict[str, Any]:
    """What a runtime is told of a bundle; a bind's source is its place."""
    order = start_order(bundle)
    sources = [f"/view/{place}" for place in range(len(order["mounts"]))]
    default: dict[str, Any] = {
        "root": "/m",
        "user": user,
        "cgroup_path": "/swarmd/abc",
        "cgroup_bind": "",
        "mounts": [
            (source, mount["target"])
            for source, mount in zip(sources, order["mounts"], strict=True)
        ],
        "nofile": (1024, 4096),
    }
    joined = around.pop("joined", {})
    surroundings = Surroundings(**(default | around))
    surroundings.joined = joined
    return oci_config(order, surroundings)


def test_all_of_it() -> None:
    strict = ("nosuid", "noexec", "nodev")
    assert config(BUNDLE) == {
        "ociVersion": "1.0.2",
        "root": {"path": "/m", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "additionalGids": [], "umask": 18},
            "args": ["sh", "-c", "true"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_SETUID"],
                "effective": ["CAP_CHOWN", "CAP_SETUID"],
                "permitted": ["CAP_CHOWN", "CAP_SETUID"],
                "inheritable": [],
                "ambient": [],
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}],
            "noNewPrivileges": False,
            "oomScoreAdj": 0,
        },
        "mounts": [
            mount("/proc", "proc", "proc", *strict),
            mount("/sys", "sysfs", "sysfs", *strict, "ro"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount(
                "/dev/pts", "devpts", "devpts",
                "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
            ),
            mount("/dev/shm", "tmpfs", "shm", *strict, "mode=1777", "size=67108864"),
            mount("/dev/mqueue", "mqueue", "mqueue", *strict),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", *strict, "ro"),
        ],
        "linux": {
            "devices": [],
            "namespaces": [
                {"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "network")
            ],
            "cgroupsPath": "/swarmd/abc",
            "resources": {
                "devices": [
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "access": "m"},
                    {"allow": True, "type": "b", "access": "m"},
                    *(
                        {"allow": True, "type": "c", "access": "rwm", "major": 1, "minor": minor}
                        for minor in (3, 5, 7, 8, 9)
                    ),
                    *(
                        {"allow": True, "type": "c", "access": "rwm", "major": 5, "minor": minor}
                        for minor in (0, 1, 2)
                    ),
                    {"allow": True, "type": "c", "access": "rwm", "major": 136},
                ]
            },
            "sysctl": {},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READ_ONLY_PATHS),
            "rootfsPropagation": "private",
        },
    }  # fmt: skip


def mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}


def bind(target: str, *options: str) -> dict[str, Any]:
    return mount(target, "bind", "/view/0", *options)


HOST = BundleMount(target="/data", source="/host")
MOUNTS = {
    "a bind": (HOST, bind("/data", "rbind", "rprivate")),
    "a bind to be read": (
        replace(HOST, read_only=True), bind("/data", "rbind", "ro", "rprivate"),
    ),
    "a bind of that mount alone": (
        replace(HOST, recursive=False), bind("/data", "bind", "rprivate"),
    ),
    "a bind that is shared": (
        replace(HOST, propagation="rshared"), bind("/data", "rbind", "rshared"),
    ),
    "a file of its own": (
        BundleMount(target="/run/secrets/s", read_only=True, content=FileContent(data=b"x")),
        bind("/run/secrets/s", "rbind", "nosuid", "noexec", "nodev", "ro", "rprivate"),
    ),
    "a tmpfs": (
        BundleMount(target="/tmp", tmpfs_mode=0o700),
        bind("/tmp", "rbind", "nosuid", "noexec", "nodev", "rprivate"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "expected"), MOUNTS.values(), ids=list(MOUNTS))
def test_mounts(asked: BundleMount, expected: dict[str, Any]) -> None:
    assert config(replace(BUNDLE, mounts=(asked,)))["mounts"][7:] == [expected]


PROPAGATIONS = {
    "a bind that is shared": (("rprivate", "slave", "rshared"), "shared"),
    "a bind that hears of the host's mounts": (("rprivate", "rslave"), "slave"),
    "neither": (("private", ""), "private"),
}


@pytest.mark.parametrize(("asked", "expected"), PROPAGATIONS.values(), ids=list(PROPAGATIONS))
def test_the_root_is_as_loose_as_a_mount_needs_it(asked: tuple[str, ...], expected: str) -> None:
    mounts = tuple(replace(HOST, propagation=one) for one in asked)
    assert config(replace(BUNDLE, mounts=mounts))["linux"]["rootfsPropagation"] == expected


NETWORKS = {
    "its own": ("", [{"type": "network"}]),
    "one that is there": ("/run/netns/x", [{"type": "network", "path": "/run/netns/x"}]),
    "the host's": ("host", []),
}


@pytest.mark.parametrize(("asked", "expected"), NETWORKS.values(), ids=list(NETWORKS))
def test_networks(asked: str, expected: list[dict[str, str]]) -> None:
    namespaces = config(replace(BUNDLE, network_namespace=asked))["linux"]["namespaces"]
    assert [one for one in namespaces if one["type"] == "network"] == expected


def test_what_others_share_is_joined_by_the_files_that_were_opened() -> None:
    other = "container:other"
    bundle = replace(
        BUNDLE, network_namespace=other, hostname="mine", domainname="home",
        namespaces=Namespaces(pid=other, ipc="none", uts=other, cgroup="host"),
    )  # fmt: skip
    joined = {kind: f"/proc/7/fd/{kind}" for kind in ("pid", "uts", "network")}
    found = config(bundle, joined=joined)
    assert found["linux"]["namespaces"] == [
        {"type": "pid", "path": "/proc/7/fd/pid"},
        {"type": "ipc"},
        {"type": "uts", "path": "/proc/7/fd/uts"},
        {"type": "mount"},
        {"type": "network", "path": "/proc/7/fd/network"},
    ]


@pytest.mark.parametrize("uts", ["host", "container:other"])
def test_no_name_is_given_to_what_others_share(uts: str) -> None:
    bundle = replace(BUNDLE, hostname="mine", domainname="home", namespaces=Namespaces(uts=uts))
    found = config(bundle, joined={"uts": "/proc/7/fd/3"} if uts != "host" else {})
    assert "hostname" not in found
    assert "domainname" not in found
    alone = config(replace(bundle, namespaces=Namespaces()))
    assert (alone["hostname"], alone["domainname"]) == ("mine", "home")


def test_a_user_has_groups_home_and_no_capabilities() -> None:
    bundle = replace(BUNDLE, capabilities=DEFAULT_CAPABILITIES, env=("A=1", "A=2"), cwd="/srv")
    process = config(bundle, User(1000, 100, [100, 77], "/home/app"))["process"]
    assert process["user"] == {"uid": 1000, "gid": 100, "additionalGids": [100, 77], "umask": 18}
    assert process["env"][0] == "A=2"
    assert process["env"][-1] == "HOME=/home/app"
    assert process["cwd"] == "/srv"
    assert set(process["capabilities"]["bounding"]) == DEFAULT_CAPABILITIES
    assert process["capabilities"]["effective"] == process["capabilities"]["permitted"] == []


def test_limits_go_by_their_names_and_have_no_end_at_minus_one() -> None:
    bundle = replace(BUNDLE, ulimits={"nofile": (10, 20), "core": (-1, -1), "rttime": (1, 2)})
    assert config(bundle)["process"]["rlimits"] == [
        {"type": "RLIMIT_CORE", "soft": LIMIT_INFINITE, "hard": LIMIT_INFINITE},
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
        {"type": "RLIMIT_RTTIME", "soft": 1, "hard": 2},
    ]


def test_v1_groups_are_a_bind() -> None:
    (groups,) = config(BUNDLE, cgroup_bind="/view/cgroup")["mounts"][6:]
    assert groups["source"] == "/view/cgroup"
    assert groups["options"] == ("rbind", "nosuid", "noexec", "nodev", "ro")


def test_what_else_is_said() -> None:
    rootfs = replace(BUNDLE.rootfs, read_only=True)
    bundle = replace(
        BUNDLE, rootfs=rootfs, hostname="web", no_new_privileges=True, oom_score_adj=7,
        sysctls={"net.core.somaxconn": "5"}, shm_bytes=4096,
    )  # fmt: skip
    found = config(bundle)
    assert found["root"]["readonly"]
    assert found["hostname"] == "web"
    assert found["process"]["noNewPrivileges"]
    assert found["process"]["oomScoreAdj"] == 7
    assert found["linux"]["sysctl"] == {"net.core.somaxconn": "5"}
    assert "size=4096" in found["mounts"][4]["options"]


def test_devices_and_their_rules() -> None:
    node = DeviceNode(path="/dev/fuse", kind="c", major=10, minor=229, mode=0o600, gid=7)
    linux = config(replace(BUNDLE, devices=(node,), device_rules=("a",)))["linux"]
    assert linux["devices"] == [
        {
            "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229,
            "fileMode": 0o600, "uid": 0, "gid": 7,
        }
    ]  # fmt: skip
    assert linux["resources"]["devices"][len(DEFAULT_DEVICE_RULES) + 1 :] == [
        {"allow": True, "type": "c", "access": "rwm", "major": 10, "minor": 229},
        {"allow": True, "type": "a", "access": "rwm"},
    ]


def test_a_privileged_one_can_write_to_what_the_kernel_shows() -> None:
    found = config(replace(BUNDLE, privileged=True, masked_paths=(), read_only_paths=()))
    assert found["linux"]["maskedPaths"] == found["linux"]["readonlyPaths"] == []
    options = {one["destination"]: one["options"] for one in found["mounts"]}
    assert "ro" not in options["/sys"]
    assert "ro" not in options["/sys/fs/cgroup"]


def test_the_filter_is_said_in_words_and_as_a_program() -> None:
    found = config(replace(BUNDLE, seccomp=b"\x01\x02", seccomp_rules=b'{"defaultAction":"X"}'))
    assert found["linux"]["seccomp"] == b'{"defaultAction":"X"}'
    assert found["annotations"] == {"run.oci.seccomp_bpf_data": "AQI="}
